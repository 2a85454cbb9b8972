"""`history` and `schedule` on a database: which account and how many runs."""

from pathlib import Path

import pytest

from tests.support.store import Store
from tests.system.command_line import InProcess, bare_environment


@pytest.fixture
def spotisync(tmp_path: Path, database_url: str) -> InProcess:
    return InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path), SPOTISYNC_DATABASE_URL=database_url))


@pytest.mark.parametrize("account", ["me", "an-account-id", ""])
def test_an_account_is_found_by_each_of_its_ids(spotisync: InProcess, store: Store, account: str) -> None:
    store.sql("UPDATE accounts SET spotify_account_id = 'an-account-id'")
    run = store.run(status="success", completed_at="now()")
    runs = spotisync("history", f"--account={account}", "--json").json
    assert [each["sync_id"] for each in runs] == [run.id]
    entries = spotisync("schedule", f"--account={account}", "--json").json
    assert {each["account"] for each in entries if "kind" in each} == {"me"}


@pytest.mark.parametrize("limit", [2, 10**10, 10**30])
def test_any_large_limit_lists_all_runs(spotisync: InProcess, store: Store, limit: int) -> None:
    for _ in range(2):
        store.run(status="success", completed_at="now()")
    assert len(spotisync("history", "--limit", str(limit), "--json").json) == 2
