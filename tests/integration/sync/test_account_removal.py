"""An account is disabled or removed during a sync: the run ends, and messages in flight write nothing."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from spotisync.core.outcomes import Outcome, Stale
from spotisync.errors import Fatal, IllegalMove
from spotisync.simulator import Server, start
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, callers, runs
from spotisync.sync.batch import run_batch
from spotisync.sync.callers import Caller
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until

OWN = (
    "saved_tracks",
    "account_playlists",
    "saved_albums",
    "followed_artists",
    "sync_history",
    "sync_state",
    "accounts",
)


@pytest.fixture
def store(context: Context) -> Store:
    """A store without an account."""
    return Store(context.database)


def held(context: Context, simulator: Server, run: Run) -> Any:
    """Start a batch whose request Spotify holds until `release` is called."""
    simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    threads = ThreadPoolExecutor(1)
    future: Future[Outcome] = threads.submit(run_batch, context, run.id, run.phase, run.seq)
    wait_until(simulator.control.held_requests, "a held request")

    def release() -> Outcome:
        simulator.control.release()
        with threads:
            return future.result(60)

    return release


@pytest.mark.parametrize("end", [accounts.remove, lambda context, name: accounts.set_status(context, name, "disabled")])
def test_a_batch_in_flight_writes_nothing(
    end: Callable[[Context, str], Any], context: Context, simulator: Server, account: Account, store: Store
) -> None:
    release = held(context, simulator, driver.start(context, account))
    end(context, account.name)
    assert isinstance(release(), Stale)
    assert store.sql("SELECT 1 FROM saved_tracks") == []
    assert store.sql("SELECT 1 FROM tracks") == []


def test_removing_an_account_keeps_only_unanswered_callers(context: Context, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    run = runs.trigger(context, account.name, "full", "task", caller=Caller("one", {"id": "one"})).run
    for _ in range(2):
        driver.step(context, run)
    accounts.remove(context, account.name)
    assert [table for table in OWN if store.sql(f"SELECT 1 FROM {table}")] == []
    waiter = callers.claim_waiter(context)
    assert waiter
    assert (waiter.task_id, waiter.status, waiter.last_error) == ("one", "cancelled", "the account was removed")
    callers.mark_answered(context, waiter.task_id)
    assert store.sql("SELECT 1 FROM waiters") == []
    # Messages that were in flight, in any order.
    for phase in ("tracks", "artists", "albums", "playlists"):
        assert isinstance(run_batch(context, run.id, phase, 0), Stale)
    assert not runs.finish(context, run.id)
    assert runs.take_due_runs(context) == []
    with pytest.raises(Fatal, match="No account yet"):
        runs.trigger(context, account.name, "full", "task")


def test_removing_an_account_deletes_the_playlists_that_only_it_had(
    make_context: Callable[..., Context], store: Store
) -> None:
    with start("tiny", seed=7, accounts=2) as simulator:
        context = make_context(simulator)
        one, two = (
            Account(accounts.add(context, simulator.refresh_token(name), None).spotify_user_id)
            for name in ("user01", "user02")
        )
        for account in (one, two):
            driver.full_sync(context, account)
        shared = store.one("SELECT max(id) FROM playlists p JOIN account_playlists a ON a.playlist_id = p.id")
        store.sql(
            """INSERT INTO account_playlists (account_id, playlist_id, position)
            SELECT id, :shared, 999 FROM accounts ON CONFLICT DO NOTHING""",
            shared=shared,
        )
        accounts.remove(context, one.name)
        assert_tables_equal_truth(context, two, simulator.control.truth(two.name))
        listed = {row.playlist_id for row in store.sql("SELECT playlist_id FROM account_playlists")}
        assert shared in listed
        for table, key in (
            ("playlists", "id"),
            ("playlist_items", "playlist_id"),
            ("playlist_versions", "playlist_id"),
        ):
            assert {row[0] for row in store.sql(f"SELECT {key} FROM {table}")} <= listed
        accounts.remove(context, two.name)
        for table in ("playlists", "playlist_items", "playlist_versions", "playlist_spans"):
            assert store.sql(f"SELECT 1 FROM {table}") == []


def test_requests_no_token_for_a_removed_account(context: Context, account: Account, store: Store) -> None:
    """The account is removed between the claim and the first request."""
    run = driver.start(context, account)
    plan = context.default_app.gate.check_cooldown

    def gone(*_: Any) -> None:
        context.default_app.gate.check_cooldown = plan  # type: ignore[method-assign]
        accounts.remove(context, account.name)

    context.default_app.gate.check_cooldown = gone  # type: ignore[method-assign, assignment]
    assert isinstance(driver.step(context, run), Stale)
    assert store.sql("SELECT 1 FROM saved_tracks") == []


def test_a_disabled_account_ends_its_run_which_resumes_once_enabled(
    context: Context, account: Account, store: Store
) -> None:
    run = driver.start(context, account)
    driver.step(context, run)
    accounts.set_status(context, account.name, "disabled")
    assert store.sql("SELECT status, last_error FROM sync_history") == [
        ("cancelled", accounts.disabled_message(account.name))
    ]
    with pytest.raises(Fatal, match="spotisync accounts enable"):
        runs.resume(context, run.id)
    with pytest.raises(Fatal, match="spotisync accounts enable"):
        runs.trigger(context, account.name, "full", "task")
    accounts.set_status(context, account.name, "active")
    runs.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"


def test_a_run_that_cannot_be_resumed_says_what_to_do(context: Context, account: Account) -> None:
    first, second = driver.start(context, account), None
    runs.cancel(context, first.id)
    second = driver.start(context, account)
    runs.cancel(context, second.id)
    with pytest.raises(IllegalMove, match="Resume the newest one, or start another"):
        runs.resume(context, first.id)
    with pytest.raises(Fatal, match="spotisync history"):
        runs.resume(context, 999)


def test_concurrent_removals_and_triggers_leave_no_caller_unanswered(
    make_context: Callable[..., Context], context: Context, simulator: Server, account: Account, store: Store
) -> None:
    """Every caller is rejected with a message or told that the account was removed."""
    others = [make_context(simulator) for _ in range(4)]

    def trigger(number: int) -> str | None:
        try:
            caller = Caller(str(number), {"id": str(number)})
            runs.trigger(others[number % 4], account.name, "full", "task", caller=caller)
        except Fatal as error:
            return str(error)
        return None

    with ThreadPoolExecutor(5) as threads:
        triggers = [threads.submit(trigger, number) for number in range(8)]
        removal = threads.submit(accounts.remove, context, account.name)
        refused = [each.result(60) for each in triggers]
        removal.result(60)
    assert all(words is None or "No account yet" in words for words in refused)
    assert store.one("SELECT count(*) FROM waiters WHERE ended = 'cancelled'") == refused.count(None)
    assert store.sql("SELECT 1 FROM sync_history") == []


def test_a_removal_succeeds_despite_a_concurrent_write(context: Context, account: Account, store: Store) -> None:
    """One transaction locks a child row and then the account, the other one in the opposite order."""
    id_ = store.one("SELECT id FROM accounts")
    store.sql("INSERT INTO playback (account_id) VALUES (:id) ON CONFLICT DO NOTHING", id=id_)
    removing = Thread(target=accounts.remove, args=(context, account.name))
    with suppress(OperationalError), store.database.begin() as connection:
        # The session that detects a deadlock is aborted: this one never checks, and on a slow machine times out first.
        connection.execute(text("SET LOCAL deadlock_timeout = '1h'"))
        connection.execute(text("SET LOCAL lock_timeout = '3s'"))
        connection.execute(text("UPDATE playback SET last_error = 'x' WHERE account_id = :id"), {"id": id_})
        removing.start()
        store.wait_until_blocked_by(connection)
        connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR KEY SHARE"), {"id": id_})
    removing.join(60)
    assert store.sql("SELECT 1 FROM accounts") == []
