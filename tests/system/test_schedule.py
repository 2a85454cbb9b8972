"""Two schedulers run at the same time, both are killed and one is restarted: each due time is taken once."""

from collections.abc import Callable
from datetime import UTC
from itertools import pairwise
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.system.programs import Deployment

# Records each time that was taken, the following one, and its run.
JOURNAL = """
    CREATE TABLE journal (n serial, due timestamptz, next_due timestamptz, sync_id bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO journal (due, next_due, sync_id) VALUES (OLD.due_at, NEW.due_at, NEW.sync_id);
        RETURN NEW; END $$;
    CREATE TRIGGER note AFTER UPDATE OF last_at ON schedules FOR EACH ROW EXECUTE FUNCTION note()"""


@pytest.mark.slow
def test_two_beats_killed_and_restarted_after_an_hour_run_each_time_once(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(20, incremental_interval=1)
    deployment.account()
    deployment.sql(JOURNAL)
    places = [{"SPOTISYNC_DATA_DIR": str(deployment.directory / name)} for name in "ab"]
    first, second = (deployment.beat(**place) for place in places)
    deployment.worker(concurrency=1)
    more_times(deployment, 1)
    first.kill()
    deployment.beat(**places[0])
    more_times(deployment, 1)
    second.kill()
    # The state after an hour without a scheduler; the restarted one may still be starting.
    deployment.sql("UPDATE schedules SET due_at = due_at - interval '1 hour'")
    more_times(deployment, 2)
    check(deployment, journal(deployment))


def journal(deployment: Deployment) -> list[Any]:
    return deployment.sql("SELECT due, next_due, sync_id FROM journal ORDER BY n")


def more_times(deployment: Deployment, number: int) -> None:
    enough = len(journal(deployment)) + number
    wait_until(lambda: len(journal(deployment)) >= enough, f"{number} more times")


def check(deployment: Deployment, entries: list[Any]) -> None:
    """Check that due times follow each other, with one step back for the hour, and that each time has its own run.

    A time may also have joined the previous run if that had not ended.
    """
    steps = [(after.due - before.next_due).total_seconds() for before, after in pairwise(entries)]
    assert sorted(steps) == [-3600.0, *([0.0] * (len(steps) - 1))]
    own = [(entry.sync_id, f"schedule incremental {entry.due.astimezone(UTC).isoformat()}") for entry in entries]
    joined = {entry for entry, before in zip(own[1:], own, strict=False) if entry[0] == before[0]}
    runs = deployment.sql(
        "SELECT id, idempotency_key FROM sync_history WHERE id <= :last ORDER BY id", last=entries[-1].sync_id
    )
    assert [tuple(run) for run in runs] == [entry for entry in own if entry not in joined]
