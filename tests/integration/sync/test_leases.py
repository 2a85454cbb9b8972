"""A claimed batch while Spotify answers late, a worker dies again and again, or its run is cancelled and resumed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from spotisync.core.outcomes import RunEnded, Stale
from spotisync.core.requests import Request
from spotisync.errors import IllegalMove
from spotisync.simulator import Server
from spotisync.store import runs
from spotisync.sync import Context
from spotisync.sync import runs as lifecycle
from spotisync.sync.batch import MOST_ATTEMPTS
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import GONE, Store
from tests.support.waiting import wait_until

LEASE_SECONDS = 4


@pytest.fixture
def simulator(simulator: Server) -> Iterator[Server]:
    yield simulator
    simulator.control.release()


def test_the_lease_is_renewed_while_spotify_does_not_answer(
    simulator: Server, account: Account, make_context: Callable[..., Context], store: Store
) -> None:
    context = make_context(simulator, lease_seconds=LEASE_SECONDS)
    run = driver.start(context, account)
    simulator.control.add_fault(kind="hold", path="/me/tracks")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(driver.step, context, run)
        wait_until(simulator.control.held_requests, "a held request")
        ends = store.column(run, "wake_at")
        renewed = wait_until(lambda: (now := store.column(run, "wake_at")) > ends and now, "the lease to be renewed")
        simulator.control.release()
        done.result(60)
    assert (renewed - ends).total_seconds() < LEASE_SECONDS, "before it had ended"


def test_nothing_is_locked_while_spotify_does_not_answer(
    simulator: Server, context: Context, account: Account, store: Store
) -> None:
    run = driver.start(context, account)
    simulator.control.add_fault(kind="hold", path="/me/tracks")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(driver.step, context, run)
        wait_until(simulator.control.held_requests, "a held request")
        found = store.sql(
            """SELECT query FROM pg_stat_activity WHERE datname = current_database()
            AND state LIKE 'idle in transaction%'"""
        )
        simulator.control.release()
        done.result(60)
    assert found == []


def test_a_batch_that_has_killed_five_workers_fails_its_run(context: Context, account: Account, store: Store) -> None:
    run = driver.start(context, account)
    for _ in range(MOST_ATTEMPTS):
        assert store.claim(run, GONE)
    ended = driver.step(context, run)
    assert isinstance(ended, RunEnded)
    assert ended.result.error_message == "this batch has killed its worker 5 times"
    assert driver.get_run(context, run).status == "failed"


def test_a_cancelled_run_has_no_look_ups_to_defer(
    context: Context, simulator: Server, account: Account, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driver.start(context, account)
    stage = "SELECT cursor->>'stage' FROM sync_state WHERE entity_type = 'artists'"
    while store.one(stage) != "lookups":
        driver.step(context, run)
    simulator.control.add_fault(status=429, retry_after=86_400, path="/v1/artists", times=None)
    get = context.spotify.get

    def cancel_and_get(request: Request, token: str) -> Any:
        with suppress(IllegalMove):
            lifecycle.cancel(context, run.id)
        return get(request, token)

    monkeypatch.setattr(context.spotify, "get", cancel_and_get)
    assert isinstance(driver.step(context, run), Stale)
    assert driver.get_run(context, run).status == "cancelled"


def test_a_batch_of_a_cancelled_run_is_lost_after_a_resume(context: Context, account: Account, store: Store) -> None:
    run = driver.start(context, account)
    token = store.claim(run)
    assert token
    lifecycle.cancel(context, run.id)
    assert not lifecycle.resume(context, run.id).run.claimed
    with store.database.begin() as connection:
        assert not runs.lock_claim(connection, run.id, token)
