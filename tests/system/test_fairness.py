"""A large library delays no small one, with real workers."""

from collections.abc import Callable, Sequence

import pytest

from spotisync.store.runs import Run
from spotisync.sync import runs
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]
LARGE, SMALL = 6_000, 40
NAMES = [f"user{number:02}" for number in range(1, 12)]


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    """One large library and ten small ones, that of `user01` is the large one."""
    made = deploy(LARGE, accounts=len(NAMES), others=SMALL, tracks_batch_size=50, sweep_interval=10, lease_seconds=120)
    for name in NAMES:
        made.account(name)
    return made


def begin(deployment: Deployment, names: Sequence[str], sync_type: str, trigger: str) -> list[Run]:
    """Let a worker publish new runs, as after a tick."""
    begun = [runs.trigger(deployment.context, name, sync_type, trigger).run for name in names]  # type: ignore[arg-type]
    deployment.sql("UPDATE sync_history SET wake_at = now() WHERE id = ANY(:ids)", ids=[run.id for run in begun])
    deployment.foreign.send_task("spotisync.sweep", queue="spotisync.control")
    return begun


def wait_for_success(deployment: Deployment, begun: Sequence[Run]) -> None:
    ids = [run.id for run in begun]
    unfinished = "SELECT 1 FROM sync_history WHERE id = ANY(:ids) AND completed_at IS NULL"
    wait_until(lambda: not deployment.sql(unfinished, ids=ids), "the runs to end", 120)
    assert deployment.sql("SELECT DISTINCT status FROM sync_history WHERE id = ANY(:ids)", ids=ids) == [("success",)]


def count_batches(deployment: Deployment, begun: Sequence[Run]) -> int:
    ids = [run.id for run in begun]
    sql = "SELECT count(*) FROM run_events WHERE kind = 'batch' AND sync_id = ANY(:ids)"
    return int(deployment.scalar(sql, ids=ids))


@pytest.mark.slow
@pytest.mark.parametrize("trigger", ["beat", "cli"])
def test_a_large_first_sync_takes_few_turns_of_incrementals(deployment: Deployment, trigger: str) -> None:
    """In the queue of scheduled full syncs or, if someone asked for it, in the one of incrementals."""
    deployment.worker(concurrency=2)
    wait_for_success(deployment, begin(deployment, NAMES[1:], "full", "beat"))
    (large,) = begin(deployment, NAMES[:1], "full", trigger)
    wait_until(lambda: count_batches(deployment, [large]), "the large sync to begin")
    before = count_batches(deployment, [large])
    small = begin(deployment, NAMES[1:], "incremental", "beat")
    wait_for_success(deployment, small)
    taken, batches = count_batches(deployment, [large]) - before, count_batches(deployment, small)
    assert deployment.scalar("SELECT status FROM sync_history WHERE id = :id", id=large.id) == "in_progress"
    # Its share by turns is a ninth or a tenth, an equal one would be a half; it takes all while nothing else waits.
    assert taken <= batches / 8 + 10


@pytest.mark.slow
def test_a_small_first_sync_ends_beside_a_large_one(deployment: Deployment) -> None:
    """It waits for none of the artists and albums that the large one has to look up."""
    deployment.worker(concurrency=2)
    (large,) = begin(deployment, NAMES[:1], "full", "cli")
    stubs = "SELECT count(*) FROM artists WHERE enrichment = 'stub'"
    wait_until(lambda: deployment.scalar(stubs) > 300, "stubs of the large library")
    small = begin(deployment, NAMES[1:4], "full", "cli")
    wait_for_success(deployment, small)
    assert deployment.scalar("SELECT status FROM sync_history WHERE id = :id", id=large.id) == "in_progress"
    assert deployment.scalar(stubs) > 100
    for name in NAMES[1:4]:
        assert_tables_equal_truth(deployment.context, Account(name), deployment.simulator.world.truth(name))
    deferred = "SELECT sum(items_deferred) FROM sync_state WHERE sync_id = ANY(:ids)"
    assert deployment.scalar(deferred, ids=[run.id for run in small]) == 0
    wait_for_success(deployment, [large])
    assert_tables_equal_truth(deployment.context, Account(NAMES[0]), deployment.simulator.world.truth(NAMES[0]))
    assert deployment.scalar(stubs) == 0
    assert deployment.scalar("SELECT count(*) FROM pending_lookups") == 0


@pytest.mark.slow
def test_a_worker_of_the_former_queue_syncs_all_kinds(deployment: Deployment) -> None:
    """During an upgrade, with the command line of the version before."""
    deployment.worker(options=("-Q", "spotisync.sync"))
    deployment.worker(options=("-Q", "spotisync.control"))
    wait_for_success(deployment, begin(deployment, NAMES[1:3], "full", "beat"))
    wait_for_success(deployment, begin(deployment, NAMES[1:2], "incremental", "beat"))
    wait_for_success(deployment, begin(deployment, NAMES[2:3], "incremental", "cli"))
    wait_for_success(deployment, begin(deployment, NAMES[3:4], "full", "cli"))
