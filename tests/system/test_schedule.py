"""Two real beats side by side, both killed, one back much later: every time that had come was taken once."""

from collections.abc import Callable
from datetime import UTC
from itertools import pairwise
from typing import Any

from tests.system.programs import Deployment, until

# Notes each time that was taken, the one after it, and whose run it became.
JOURNAL = """
    CREATE TABLE journal (n serial, account_id bigint, due timestamptz, next_due timestamptz, sync_id bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO journal (account_id, due, next_due, sync_id)
            VALUES (NEW.account_id, OLD.due_at, NEW.due_at, NEW.sync_id);
        RETURN NEW; END $$;
    CREATE TRIGGER note AFTER UPDATE OF last_at ON schedules FOR EACH ROW EXECUTE FUNCTION note()"""


def test_two_beats_one_killed_one_back_after_an_hour(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(20, accounts=2, incremental_interval=1)
    accounts = [deployment.account(name) for name in deployment.simulator.world.accounts]
    deployment.sql(JOURNAL)
    first, second = (deployment.beat(SPOTISYNC_DATA_DIR=str(deployment.directory / name)) for name in "ab")
    deployment.worker()
    more_times(deployment, 3)
    first.kill()
    more_times(deployment, 2)
    second.kill()
    # What an hour without a beat would come to.
    deployment.sql("UPDATE schedules SET due_at = due_at - interval '1 hour'")
    deployment.beat()
    more_times(deployment, 2)
    for entries in journals(deployment).values():
        check(deployment, entries)
    assert len(journals(deployment)) == len(accounts)


def journals(deployment: Deployment) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for entry in deployment.sql("SELECT account_id, due, next_due, sync_id FROM journal ORDER BY n"):
        found.setdefault(entry.account_id, []).append(entry)
    return found


def more_times(deployment: Deployment, number: int) -> None:
    """Of each account."""
    before = {account: len(entries) for account, entries in journals(deployment).items()}

    def enough() -> bool:
        now = journals(deployment)
        return len(now) == 2 and all(len(now[account]) >= before.get(account, 0) + number for account in now)

    until(enough, f"{number} more times")


def check(deployment: Deployment, entries: list[Any]) -> None:
    """From each time to the next one, with one step back, which is the hour; and for each time its own run.

    Or the one before it, where that was not over.
    """
    steps = [(after.due - before.next_due).total_seconds() for before, after in pairwise(entries)]
    assert sorted(steps) == [-3600.0, *([0.0] * (len(steps) - 1))]
    runs = deployment.sql(
        """SELECT id, idempotency_key FROM sync_history WHERE account_id = :account AND trigger = 'beat'
        AND id <= :last ORDER BY id""",
        account=entries[0].account_id,
        last=entries[-1].sync_id,
    )
    own = [(entry.sync_id, f"schedule incremental {entry.due.astimezone(UTC).isoformat()}") for entry in entries]
    joined = {entry for entry, before in zip(own[1:], own, strict=False) if entry[0] == before[0]}
    assert [tuple(run) for run in runs] == [entry for entry in own if entry not in joined]
