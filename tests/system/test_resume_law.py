"""Resuming: with any library, crash between two statements, duplicate, loss or redelivery, and any interleaving of two
workers, every row is stored exactly once and the due batch never moves back.

Workers are threads that pause before each transaction and each request until Hypothesis lets them continue. A crash
ends the thread there, or at one of the next statements inside a transaction, together with its database sessions.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Phase_
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy import event as sql_event

from spotisync.core.outcomes import More, Outcome, PhaseEnded, Retry, Stale
from spotisync.core.requests import Request
from spotisync.core.states import PHASES, Phase
from spotisync.gate import Gate
from spotisync.settings import Settings
from spotisync.simulator import Server, start
from spotisync.store.database import Database
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from spotisync.sync.apps import Apps
from spotisync.sync.batch import run_batch
from tests.support import driver
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth

ACTIONS = ("go", "go", "go", "go", "run", "run", "kill", "die", "copy", "lose", "sweep", "time")
EVENTS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ACTIONS), st.integers(0, 999)), max_size=120)
SIZES = (3, 49, 50, 51, 98, 99, 120, 260)
ORDER = [*PHASES, "finish"]


class Killed(BaseException):
    """The process was killed. No code catches this."""


@dataclass(frozen=True)
class Message:
    phase: Phase
    seq: int
    redelivered: bool = False


@dataclass
class Pauses:
    """The points at which the thread of a worker pauses, and the faults injected there."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    killed: bool = False
    dies_after: int | None = None

    def pause(self) -> None:
        if self.killed:
            raise Killed
        self.stopped.release()
        self.go.acquire()
        if self.killed:
            raise Killed

    def wait(self) -> None:
        assert self.stopped.acquire(timeout=60), "a worker neither pauses nor ends"

    def statement(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                self.killed = True
                raise Killed


class PausingDatabase(Database):
    def __init__(self, url: str, pauses: Pauses) -> None:
        super().__init__(url)
        self.pauses = pauses
        sql_event.listen(self._engine, "before_cursor_execute", lambda *_: pauses.statement())

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self.pauses.pause()
        with super().begin() as connection:
            yield connection
            self.pauses.statement()  # a crash between the last statement and the commit


class Worker:
    """A process that handles one message at a time."""

    def __init__(self, configured: Settings) -> None:
        self.pauses = Pauses()
        database = PausingDatabase(configured.database, self.pauses)
        made = Context.from_settings(configured)
        made.database.close()
        apps = Apps(configured, database, made.vault)
        apps.default = replace(apps.default, gate=Gate(Database.begin.__get__(database), "simulated"))
        self.context = replace(made, database=database, apps=apps)
        self._client_get = made.spotify.get
        made.spotify.get = self._get  # type: ignore[method-assign]
        self.message: Message | None = None
        self.outcome: Outcome | None = None
        self._thread: threading.Thread | None = None

    def _get(self, request: Request, access_token: str) -> Any:
        self.pauses.pause()
        return self._client_get(request, access_token)

    @property
    def idle(self) -> bool:
        return self.message is None

    def take(self, message: Message, sync_id: int) -> None:
        self.message, self.outcome = message, None
        self._thread = threading.Thread(target=self._work, args=(message, sync_id), daemon=True)
        self._thread.start()
        self.pauses.wait()

    def _work(self, message: Message, sync_id: int) -> None:
        try:
            self.outcome = run_batch(self.context, sync_id, message.phase, message.seq)
        except Killed:
            pass
        finally:
            self.pauses.stopped.release()

    def step(self) -> None:
        """Continue to the next pause or to the outcome."""
        self.pauses.go.release()
        self.pauses.wait()

    @property
    def dead(self) -> bool:
        return self.pauses.killed

    def kill(self) -> None:
        self.pauses.killed = True
        self.pauses.go.release(100)  # the thread itself and the threads that send its requests
        if self._thread:
            self._thread.join(60)
            assert not self._thread.is_alive(), "a killed worker does not end"
        self.close()

    def close(self) -> None:
        self.context.close()


class Cluster:
    """Two workers, their messages, and the invariants after each event."""

    def __init__(self, context: Context, run: Run, configured: Settings) -> None:
        self.context, self.run, self.configured = context, run, configured
        self.messages = [Message(run.phase, run.seq)]
        self.workers = [Worker(configured), Worker(configured)]
        self.due = (0, 0)

    def look(self) -> Run:
        run = driver.get_run(self.context, self.run)
        due = (ORDER.index(run.phase), run.seq)
        assert due >= self.due, "the due batch has moved back"
        self.due = due
        return run

    def act(self, which: int, action: str, number: int) -> None:
        worker = self.workers[which]
        match action:
            case "go":
                self.go(worker)
            case "run":
                while not worker.idle:
                    self.go(worker)
                self.go(worker)
            case "kill" if not worker.idle:
                self.kill(worker)
            case "die" if not worker.idle:
                worker.pauses.dies_after = number % 13
            case "copy" if self.messages:
                self.messages.append(self.messages[number % len(self.messages)])
            case "lose" if self.messages:
                self.messages.pop(number % len(self.messages))
            case "sweep":
                self.sweep()
            case "time":
                driver.expire_waits(self.context, self.run)
                self.sweep()
        if (run := self.look()).status == "failed":
            self.resume(run)

    def go(self, worker: Worker) -> None:
        if worker.idle:
            if self.messages:
                self.deliver(worker, self.messages.pop(0))
        elif worker.outcome is not None:
            self.publish(worker)
        else:
            worker.step()
            if worker.dead:
                self.kill(worker)

    def deliver(self, worker: Worker, message: Message) -> None:
        if message.phase == "finish":
            runs.finish(self.context, self.run.id)
        else:
            worker.take(message, self.run.id)

    def publish(self, worker: Worker) -> None:
        """Do with an outcome what `workflow.publish_next` does."""
        assert worker.message
        match worker.outcome:
            case More(phase, seq, _):
                self.messages.append(Message(phase, seq))
            case PhaseEnded():
                at = ORDER.index(worker.message.phase) + 1
                self.messages.append(Message(ORDER[at], 0))
            case Retry():
                self.messages.append(worker.message)
            case Stale(orphaned=True) if worker.message.redelivered:
                due = self.look()
                if due.status == "in_progress":
                    self.messages.append(Message(due.phase, due.seq))
        worker.message = None

    def kill(self, worker: Worker) -> None:
        """Kill a worker; the broker redelivers its unacknowledged message."""
        worker.kill()
        if worker.message:
            self.messages.append(replace(worker.message, redelivered=True))
            worker.message = None
        self.workers[self.workers.index(worker)] = Worker(self.configured)

    def sweep(self) -> None:
        self.messages += [Message(run.phase, run.seq) for run in runs.take_due_runs(self.context)]

    def drain(self) -> None:
        """Run to the end without further faults."""
        for worker in list(self.workers):
            if worker.pauses.dies_after is not None:
                self.kill(worker)
        for _ in range(2000):
            run = self.look()
            if run.status == "failed":
                self.resume(run)
            if run.status == "success" and all(worker.idle for worker in self.workers):
                return
            for worker in self.workers:
                self.go(worker)
            if not self.messages and all(worker.idle for worker in self.workers):
                driver.expire_waits(self.context, self.run)
                self.sweep()
        workers = [(worker.message, worker.outcome, worker.dead) for worker in self.workers]
        raise AssertionError(f"the run does not end: {self.look()}, {self.messages}, {workers}")

    def resume(self, run: Run) -> None:
        """Resume a run that failed after too many crashes in one batch, as a user would."""
        assert "has killed its worker" in str(run.last_error)
        resumed = runs.resume(self.context, run.id).run
        self.messages.append(Message(resumed.phase, resumed.seq))

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


@pytest.fixture(scope="module")
def simulators() -> Iterator[dict[int, Server]]:
    made = {size: start(size, seed=3) for size in SIZES}
    yield made
    for server in made.values():
        server.stop()


def check(data: Any, simulators: dict[int, Server], make_settings: Callable[..., Settings]) -> None:
    # Everything is drawn in advance, so that events don't depend on the speed of threads.
    simulator = simulators[data.draw(st.sampled_from(SIZES), label="saved tracks")]
    events = data.draw(EVENTS, label="events")
    configured = make_settings(
        simulator.url,
        tracks_batch_size=data.draw(st.sampled_from([50, 100, 200])),
        artists_batch_size=50,
        albums_batch_size=20,
        api_concurrency=1,
    )
    context = Context.from_settings(configured)
    try:
        _forget(context)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        run = driver.start(context, account)
        cluster = Cluster(context, run, configured)
        try:
            for event in events:
                cluster.act(*event)
            cluster.drain()
        finally:
            cluster.close()
        truth = simulator.world.truth(account.name)
        assert_tables_equal_truth(context, account, truth)
        _check_counted_once(driver.summary(context, run), truth)
    finally:
        context.close()


def _forget(context: Context) -> None:
    with context.database.begin() as connection:
        connection.execute(text("TRUNCATE accounts, artists, albums, tracks, playlists, rate_limits CASCADE"))


def _check_counted_once(summary: dict[str, Any], truth: dict[str, Any]) -> None:
    assert summary["status"] == "success"
    assert summary["phases"]["tracks"]["items_processed"] == len(truth["saved_tracks"])
    assert summary["phases"]["tracks"]["items_added"] == len(truth["saved_tracks"])
    assert summary["phases"]["playlists"]["items_processed"] == len(truth["playlists"])


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=QUIET, phases=[Phase_.explicit, Phase_.generate])
def test_resuming_after_any_interruption_completes_the_library(
    data: Any, simulators: dict[int, Server], make_settings: Callable[..., Settings]
) -> None:
    check(data, simulators, make_settings)


@pytest.mark.chaos
@given(data=st.data())
@settings(max_examples=500, suppress_health_check=QUIET)
def test_resuming_after_many_interruptions_completes_the_library(
    data: Any, simulators: dict[int, Server], make_settings: Callable[..., Settings]
) -> None:
    check(data, simulators, make_settings)
