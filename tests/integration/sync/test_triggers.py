"""Triggers of callers: who joins a run waits for it under its own id, and a message counts once."""

from spotisync.sync import Context, runs
from spotisync.sync.callers import Caller
from spotisync.sync.runs import Triggered
from tests.support.driver import Account
from tests.support.store import Store


def trigger(context: Context, account: Account, task_id: str) -> Triggered:
    return runs.trigger(context, account.name, "full", "task", caller=Caller(task_id, {"id": task_id}))


def test_whoever_joins_a_run_waits_under_its_own_id(context: Context, account: Account, store: Store) -> None:
    first, second = trigger(context, account, "first"), trigger(context, account, "second")
    assert (first.created, second.created) == (True, False)
    found = store.sql("SELECT task_id, sync_id FROM waiters ORDER BY task_id")
    assert [tuple(each) for each in found] == [("first", first.run.id), ("second", first.run.id)]


def test_a_message_delivered_again_starts_no_other_run(context: Context, account: Account, store: Store) -> None:
    """Its worker may have died after the run was created, however long ago that was."""
    first = trigger(context, account, "only")
    runs.cancel(context, first.run.id)
    again = trigger(context, account, "only")
    assert (again.run.id, again.created) == (first.run.id, False)
    assert store.one("SELECT count(*) FROM sync_history") == 1
