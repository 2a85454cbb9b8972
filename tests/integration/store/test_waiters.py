"""Waiting callers: recorded once, claimed once, answered again if an attempt did not finish."""

import pytest
from sqlalchemy import text

from spotisync.core.states import Status
from spotisync.store import waiters
from tests.support.store import Store


def add(store: Store, task_id: str, sync_id: int, envelope: dict[str, object] | None = None) -> None:
    with store.database.begin() as connection:
        waiters.add_waiter(connection, task_id, sync_id, envelope or {"id": task_id})


def take(store: Store, limit: int = 50) -> list[waiters.Waiter]:
    with store.database.begin() as connection:
        return waiters.claim_unanswered(connection, limit)


def test_records_a_repeated_message_once(store: Store) -> None:
    run = store.run()
    add(store, "one", run.id, {"first": True})
    add(store, "one", run.id, {"first": False})
    assert store.sql("SELECT envelope FROM waiters") == [('{"first": true}',)]
    with store.database.begin() as connection:
        assert waiters.is_known(connection, "one")
        assert waiters.find_run_id(connection, "one") == run.id
        assert not waiters.is_known(connection, "two")
        assert waiters.find_run_id(connection, "two") is None


@pytest.mark.parametrize("status", ["pending", "in_progress", "rate_limited"])
def test_no_caller_is_answered_before_the_run_has_ended(store: Store, status: Status) -> None:
    add(store, "one", store.run(status=status).id)
    assert take(store) == []


@pytest.mark.parametrize("status", ["success", "failed", "cancelled"])
def test_every_waiting_caller_is_told_how_the_run_ended(store: Store, status: Status) -> None:
    run = store.run(status=status, last_error="no reason")
    for task_id in ("one", "two"):
        add(store, task_id, run.id)
    found = take(store)
    assert sorted(waiter.task_id for waiter in found) == ["one", "two"]
    assert {(waiter.status, waiter.last_error, waiter.tries) for waiter in found} == {(status, "no reason", 1)}
    assert take(store) == []


def test_one_process_at_a_time_claims_a_waiter(store: Store) -> None:
    add(store, "one", store.run(status="success").id)
    with store.database.begin() as one, store.database.begin() as other:
        assert len(waiters.claim_unanswered(one)) == 1
        assert waiters.claim_unanswered(other) == []


def test_an_unanswered_waiter_is_claimed_again_and_tries_are_counted(store: Store) -> None:
    add(store, "one", store.run(status="success").id)
    for tries in (1, 2, 3):
        assert [waiter.tries for waiter in take(store)] == [tries]
        store.sql("UPDATE waiters SET wake_at = now()")


def test_an_answered_waiter_is_never_claimed_again(store: Store) -> None:
    add(store, "one", store.run(status="success").id)
    take(store)
    with store.database.begin() as connection:
        waiters.mark_answered(connection, "one")
    store.sql("UPDATE waiters SET wake_at = now()")
    assert take(store) == []


def test_claims_no_more_than_requested_under_any_query_plan(store: Store) -> None:
    run = store.run(status="success")
    for number in range(20):
        add(store, str(number), run.id)
    with store.database.begin() as connection:
        for way in ("hashjoin", "hashagg", "sort", "material"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        assert len(waiters.claim_unanswered(connection, 3)) == 3


def test_claims_the_longest_waiting_callers_first(store: Store) -> None:
    run = store.run(status="success")
    for task_id in ("one", "two", "three"):
        add(store, task_id, run.id)
    assert [waiter.task_id for waiter in take(store, 1)] == ["one"]
    assert {waiter.task_id for waiter in take(store)} == {"two", "three"}


def test_a_failed_attempt_moves_its_caller_behind_the_others(store: Store) -> None:
    run = store.run(status="success")
    for task_id in ("one", "two", "three"):
        add(store, task_id, run.id)
    assert [waiter.task_id for waiter in take(store, 1)] == ["one"]
    with store.database.begin() as connection:
        waiters.postpone(connection, "one", 0, failed=True)
    assert [waiter.task_id for waiter in take(store, 1)] == ["two"]
    with store.database.begin() as connection:
        waiters.postpone(connection, "two", 0, failed=False)
    assert [(each.task_id, each.failures) for _ in range(3) for each in take(store, 1)] == [
        ("three", 0),
        ("one", 1),
        ("two", 0),
    ]


def test_a_caller_that_is_given_up_is_listed_and_not_claimed_again(store: Store) -> None:
    run = store.run(status="success")
    add(store, "one", run.id)
    take(store)
    with store.database.begin() as connection:
        waiters.give_up(connection, "one", "no serializer")
        (listed,) = waiters.list_given_up(connection)
    assert (listed.task_id, listed.sync_id, listed.reason) == ("one", run.id, "no serializer")
    store.sql("UPDATE waiters SET wake_at = now()")
    lose(store)
    assert take(store) == restore(store) == []


def restore(store: Store) -> list[waiters.Waiter]:
    with store.database.begin() as connection:
        return waiters.claim_lost_results(connection)


def lose(store: Store, seconds: float = 3600) -> None:
    with store.database.begin() as connection:
        waiters.record_loss(connection, seconds)


def answer(store: Store, task_id: str) -> None:
    with store.database.begin() as connection:
        waiters.claim_unanswered(connection)
        waiters.mark_answered(connection, task_id)


def test_every_attempt_gives_the_same_answer(store: Store) -> None:
    """The run is resumed meanwhile, but its errbacks may have been sent already."""
    run = store.run(status="failed", last_error="the lights went out")
    add(store, "one", run.id)
    take(store)
    store.set(run.id, status="success", last_error=None)
    store.sql("UPDATE waiters SET wake_at = now()")
    assert [(each.status, each.last_error) for each in take(store)] == [("failed", "the lights went out")]


def test_unanswered_waiters_outlive_a_deleted_run(store: Store) -> None:
    run = store.run()
    for task_id in ("answered", "waits"):
        add(store, task_id, run.id)
    store.sql("UPDATE waiters SET answered_at = now() WHERE task_id = 'answered'")
    with store.database.begin() as connection:
        waiters.detach_account(connection, store.account_id, "gone")
    store.sql("DELETE FROM accounts")
    assert [(each.task_id, each.sync_id, each.status, each.last_error) for each in take(store)] == [
        ("waits", None, "cancelled", "gone")
    ]
    answer(store, "waits")
    assert store.sql("SELECT * FROM waiters") == []


def test_keeps_the_results_of_waiting_callers_alive_once_an_hour(store: Store) -> None:
    add(store, "one", store.run().id, {"group": "g"})

    def keep() -> list[tuple[str, dict[str, object]]]:
        with store.database.begin() as connection:
            return waiters.claim_for_renewal(connection)

    assert keep() == [("one", {"group": "g"})]
    assert keep() == []
    store.sql("UPDATE waiters SET kept_at = now() - interval '61 minutes'")
    assert keep() == [("one", {"group": "g"})]
    store.sql("UPDATE waiters SET kept_at = '-infinity', answered_at = now()")
    assert keep() == []


def test_lost_results_are_claimed_once_to_be_stored_again(store: Store) -> None:
    run = store.run(status="success")
    for task_id in ("new", "old", "being answered", "waits"):
        add(store, task_id, run.id)
    answer(store, "new")
    answer(store, "old")
    store.sql("UPDATE waiters SET answered_at = now() - interval '2 hours' WHERE task_id = 'old'")
    store.sql("UPDATE waiters SET tries = 0 WHERE task_id = 'waits'")
    assert restore(store) == []
    lose(store)
    (lost,) = restore(store)
    assert (lost.task_id, lost.status) == ("new", "success")
    assert restore(store) == [], "another process has it"
    with store.database.begin() as connection:
        waiters.mark_restored(connection, lost)
    store.sql("UPDATE waiters SET answered_at = now() WHERE task_id = 'being answered'")
    assert [each.task_id for each in restore(store)] == ["being answered"]


def test_a_result_lost_again_during_storing_is_stored_once_more(store: Store) -> None:
    add(store, "one", store.run(status="failed").id)
    answer(store, "one")
    lose(store)
    (first,) = restore(store)
    lose(store)
    with store.database.begin() as connection:
        waiters.mark_restored(connection, first)
    assert [each.task_id for each in restore(store)] == ["one"]


def test_deletes_callers_answered_long_ago(store: Store) -> None:
    run = store.run(status="success")
    for task_id in ("old", "new", "waits"):
        add(store, task_id, run.id)
    store.sql("UPDATE waiters SET answered_at = now() - interval '8 days' WHERE task_id = 'old'")
    store.sql("UPDATE waiters SET answered_at = now() - interval '6 days' WHERE task_id = 'new'")
    with store.database.begin() as connection:
        assert waiters.delete_old(connection, 10) == 1
    assert {task_id for (task_id,) in store.sql("SELECT task_id FROM waiters")} == {"new", "waits"}
