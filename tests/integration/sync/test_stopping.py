"""A stopping worker hands back its batch without a failure, an attempt or a lost login."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text

from spotisync.core.outcomes import More, Outcome, PhaseEnded, Retry
from spotisync.errors import Stopping
from spotisync.simulator import Server, start
from spotisync.store.runs import Run
from spotisync.sync import Context, playback
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until


@dataclass
class Worker:
    """A worker that can be told to stop, like its signal handler does."""

    context: Context
    simulator: Server
    asked: threading.Event

    def stopped_while(self, work: Callable[[], Any], **hold: Any) -> "Future[Any]":
        """Start the work, stop while Spotify does not answer, and return the result. The reply is not awaited."""
        self.simulator.control.add_fault(kind="hold", **hold)
        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(work)
            wait_until(self.simulator.control.held_requests, "a held request")
            self.asked.set()
            assert done.exception(60) or True
        return done


@pytest.fixture
def library() -> str | int:
    return "tiny"


@pytest.fixture
def simulator(library: str | int) -> Iterator[Server]:
    with start(library, seed=7) as server:
        yield server


@pytest.fixture
def worker(context: Context, simulator: Server) -> Iterator[Worker]:
    asked = threading.Event()
    yield Worker(replace(context, stopping=asked.is_set), simulator, asked)
    simulator.control.release()


def row(context: Context, sql: str) -> Any:
    with context.database.begin() as connection:
        return connection.execute(text(sql)).one()


def test_a_stop_releases_the_batch_at_once_without_a_failure(
    worker: Worker, context: Context, simulator: Server, account: Account
) -> None:
    run = driver.start(context, account)
    handed_back: Outcome = worker.stopped_while(lambda: driver.step(worker.context, run), path="/me/tracks").result()
    assert isinstance(handed_back, Retry)
    assert handed_back.seconds == 0
    found = row(context, "SELECT attempts, claim, claim_pid, last_error, status, api_calls FROM sync_history")
    assert (found.attempts, found.claim, found.claim_pid, found.last_error) == (0, None, None, None)
    assert found.status == "in_progress"
    assert row(context, "SELECT sum(failures) AS failures FROM sync_state").failures == 0
    # The sent request is counted although its reply is not awaited.
    assert found.api_calls == 1
    # A message that reaches it now claims nothing and is passed to another worker.
    assert isinstance(driver.step(worker.context, run), Retry)
    assert isinstance(driver.step(context, run), PhaseEnded)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("library", [260])
def test_a_stop_keeps_pages_read_before_it(worker: Worker, context: Context, account: Account) -> None:
    run = driver.start(context, account)
    driver.step(context, run)
    before = row(context, "SELECT count(*) FROM saved_tracks")[0]
    half = worker.stopped_while(lambda: driver.step(worker.context, run), path="offset=1[0-9][0-9]")
    assert isinstance(half.result(), More)
    assert row(context, "SELECT seq, claim FROM sync_history") == (2, None)
    assert row(context, "SELECT count(*) FROM saved_tracks")[0] > before


def test_a_stop_releases_claimed_look_ups(
    worker: Worker, context: Context, simulator: Server, account: Account
) -> None:
    run = driver.start(context, account)
    worker.stopped_while(lambda: _go_on(worker.context, run), path="/v1/artists").result()
    assert row(context, "SELECT count(*) FROM artists WHERE lookup_until IS NOT NULL")[0] == 0


def _go_on(context: Context, run: Run) -> None:
    while not isinstance(driver.step(context, run), Retry):
        pass


def test_a_stop_waits_for_a_refresh_in_progress(
    worker: Worker, context: Context, simulator: Server, account: Account
) -> None:
    """Only the reply contains the rotated token."""
    simulator.control.settings(refresh_reply="rotate")
    before = row(context, "UPDATE accounts SET access_token = NULL RETURNING refresh_token").refresh_token
    run = driver.start(context, account)
    simulator.control.add_fault(kind="hold", path="/api/token", when="reply")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(driver.step, worker.context, run)
        wait_until(simulator.control.held_requests, "a held request")
        worker.asked.set()
        with pytest.raises(TimeoutError):
            done.result(0.6)
        simulator.control.release()
        assert isinstance(done.result(60), Retry)
    assert row(context, "SELECT refresh_token FROM accounts").refresh_token != before
    assert driver.run_to_end(context, run)["status"] == "success"


def test_a_stop_leaves_a_read_of_plays_to_another_worker(worker: Worker, context: Context, account: Account) -> None:
    stopped = worker.stopped_while(lambda: playback.track_plays(worker.context), path="recently-played")
    assert isinstance(stopped.exception(), Stopping)
    assert playback.track_plays(context)["plays_added"] > 0


def test_a_stop_leaves_the_backlog_to_another_worker(worker: Worker, context: Context, account: Account) -> None:
    with context.database.begin() as connection:
        connection.execute(text("INSERT INTO artists (id, uri) VALUES ('0' || repeat('a', 21), 'spotify:artist:x')"))
    assert worker.stopped_while(lambda: enrich(worker.context), path="/v1/artists").result().looked_up == 0
    assert row(context, "SELECT lookup_until FROM artists").lookup_until is None
    assert enrich(context).family == "artists"
