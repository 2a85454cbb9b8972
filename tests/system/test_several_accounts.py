"""Two accounts that share half of their artists, with real workers."""

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]
QUEUE = "spotisync.sync"
NAMES = ("user01", "user02")


def trigger(deployment: Deployment) -> list[Any]:
    accounts = [deployment.account(name) for name in NAMES]
    return [send(deployment, account) for account in accounts]


def send(deployment: Deployment, account: Account) -> Any:
    return deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)


def asked(deployment: Deployment, path: str) -> list[dict[str, Any]]:
    return [each for each in deployment.simulator.control.requests() if each["path"].rstrip("/") == path]


@pytest.mark.slow
def test_looks_up_no_id_twice_although_one_account_has_to_wait(deploy: Deploy) -> None:
    deployment = deploy(
        160, accounts=2, lease_seconds=120, api_timeout=120, artists_batch_size=20, albums_batch_size=20
    )
    control = deployment.simulator.control
    control.add_fault(kind="hold", family="artists", account="user02", path="ids=")
    deployment.worker(concurrency=2)
    first, second = (deployment.account(name) for name in NAMES)
    # In this order: if the first run finished its look-ups before the second one starts, neither would wait.
    results = [send(deployment, second)]
    wait_until(control.held_requests, "the held look-up")
    results.insert(0, send(deployment, first))
    waits = "SELECT 1 FROM run_events WHERE kind = 'wait' AND family IS NULL"
    wait_until(lambda: deployment.sql(waits), "one run to wait for the other")
    assert control.release() == 1
    for result, name in zip(results, NAMES, strict=True):
        summary = result.get(timeout=60)
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
        assert_tables_equal_truth(deployment.context, Account(name), deployment.simulator.world.truth(name))
    times = Counter(
        id_
        for entity in ("artists", "albums")
        for each in asked(deployment, f"/v1/{entity}")
        for id_ in parse_qs(each["query"])["ids"][0].split(",")
    )
    assert set(times.values()) == {1}
    # Followed artists and saved albums need no look-up; all other rows have one.
    assert len(times) > 100
    for entity in ("artists", "albums"):
        assert deployment.scalar(f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'") == 0
    assert deployment.scalar("SELECT sum(failures) FROM sync_state") == 0
    # Waiting for another run counts neither as a limit of Spotify nor as pacing.
    assert deployment.sql("SELECT DISTINCT family FROM run_events WHERE kind = 'wait'") == [(None,)]
    assert deployment.sql("SELECT 1 FROM tallies WHERE name = 'waits'") == []


@pytest.mark.slow
def test_two_accounts_take_turns_on_the_only_worker(deploy: Deploy) -> None:
    deployment = deploy(600, accounts=2, tracks_batch_size=50)
    results = trigger(deployment)
    deployment.worker(concurrency=1)
    for result in results:
        assert result.get(timeout=60)["status"] == "success"
    turns = [(account, len(list(each))) for account, each in groupby(asked(deployment, "/v1/me/tracks"), _account)]
    second = [number for number, (account, _) in enumerate(turns) if account == NAMES[1]]
    assert len(second) >= 5
    # While both have tracks to read, no account gets more than two batches in a row.
    assert max(requests for _, requests in turns[: second[-1]]) <= 4


def _account(request: dict[str, Any]) -> Any:
    return request["account"]
