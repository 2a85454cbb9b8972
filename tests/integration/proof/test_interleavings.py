"""Two processes at one row: every order of their statements and commits, in real transactions that block each other."""

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from threading import Event, Semaphore, Thread
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from spotisync.core.states import Status
from spotisync.store import runs, waiters
from spotisync.store.database import LEASE_ONLY, Connection, Database
from spotisync.store.runs import Run
from spotisync.sync.fetch import ClaimLost
from tests.support.store import LEASE, Store

PAST = "now() - interval '1 second'"
Work = Callable[[Database], Any]
# What each of the two processes does, and whether their results, and the rows, are right.
Scenario = tuple[list[Work], Callable[[Any, Any], bool]]


# ---- the exploration ------------------------------------------------------------------------------------------------


class Process:
    """Works in a thread, on a database session of its own, and stops before each statement and each commit."""

    def __init__(self, url: str, bug: tuple[str, str]) -> None:
        self.database, self.pid, self.bug = Database(url), 0, bug
        self._turn, self._stopped, self._closed = Semaphore(0), Event(), False
        event.listen(self.database._engine, "before_cursor_execute", self._before_statement, retval=True)
        event.listen(self.database._engine, "commit", lambda _: self._stop("COMMIT"))

    def start(self, work: Work) -> None:
        self.over = False
        self.result: Any = None
        self._stopped.clear()
        self._thread = Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Work) -> None:
        try:
            self.result = work(self.database)
        except Exception as error:  # noqa: BLE001 (a result that no scenario allows, a deadlock for example)
            self.result = error
        self.over = True
        self._stopped.set()

    def _before_statement(self, connection: Connection, _: Any, sql: str, values: Any, *__: Any) -> tuple[str, Any]:
        self.pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        self._stop(" ".join(sql.split())[:120])
        correct, wrong = self.bug
        return sql.replace(correct, wrong) if correct else sql, values

    def _stop(self, before: str) -> None:
        self.next = before
        self._stopped.set()
        self._turn.acquire()
        assert not self._closed

    def step(self) -> str:
        self._stopped.clear()
        self._turn.release()
        return self.next

    def settle(self, store: Store, deadline: float) -> bool:
        """Wait until it has stopped again. False: it can't, since it waits for a lock of the other process."""
        while not self._stopped.wait(0.002):
            if store.one("SELECT cardinality(pg_blocking_pids(:pid)) > 0", pid=self.pid):
                return False
            assert monotonic() < deadline, f"no end of {self.next}"
        return True

    def close(self) -> None:
        self._closed = True
        self._turn.release()
        self._thread.join(10)
        self.database.close()


def follow(
    store: Store, processes: list[Process], scenario: Callable[[Store], Scenario], beginning: list[int]
) -> list[tuple[int, list[int]]]:
    """Begin anew, in this order at first. Returns which process made each step, and which could have."""
    store.sql("DELETE FROM waiters")
    store.sql("DELETE FROM accounts")
    store.account_id = store.account()
    works, is_right = scenario(store)
    for process, work in zip(processes, works, strict=True):
        process.start(work)
    steps: list[tuple[int, list[int]]] = []
    story: list[str] = []
    latest, deadline = 0, monotonic() + 30
    while not all(process.over for process in processes):
        # The latest first: its commit may have ended the wait of the other.
        settled = {i: processes[i].settle(store, deadline) for i in (latest, 1 - latest)}
        ready = [i for i in (0, 1) if settled[i] and not processes[i].over]
        # Without any, both wait for each other, until Postgres ends this deadlock with an error.
        if ready:
            latest = beginning[len(steps)] if len(steps) < len(beginning) else ready[0]
            assert latest in ready, "the same order has led to another place"
            steps.append((latest, ready))
            story.append(f"{'AB'[latest]}: {processes[latest].step()}")
        assert monotonic() < deadline, story
    results = [process.result for process in processes]
    assert is_right(*results), "\n".join(["", *story, f"results: {results}"])
    return steps


def explore(url: str, store: Store, scenario: Callable[[Store], Scenario], bug: tuple[str, str] = ("", "")) -> int:
    """Follow every order of the steps of two processes. Returns how many there are."""
    with ExitStack() as stack:
        processes = [stack.enter_context(closing(Process(url, bug))) for _ in range(2)]
        beginnings: list[list[int]] = [[]]
        followed = 0
        while followed < len(beginnings):
            beginning = beginnings[followed]
            steps = follow(store, processes, scenario, beginning)
            for i in range(len(beginning), len(steps)):
                taken = [chosen for chosen, _ in steps[:i]]
                beginnings += [[*taken, other] for other in steps[i][1] if other != steps[i][0]]
            followed += 1
        return followed


# ---- what the processes do ------------------------------------------------------------------------------------------


def claim(database: Database, run: Run) -> UUID | None:
    token = uuid4()
    with database.begin() as connection:
        return token if runs.claim(connection, run, token, LEASE_ONLY, LEASE) else None


def commit(database: Database, run: Run, token: UUID) -> bool:
    with suppress(ClaimLost), database.begin() as connection:
        write_batch(connection, run, token)
        return True
    return False


def write_batch(connection: Connection, run: Run, token: UUID) -> None:
    """As `spotisync.sync.commit`, without rows."""
    if not runs.lock_claim(connection, run.id, token):
        raise ClaimLost
    runs.save_checkpoint(connection, run, cursor=None, offset=1, total=None, deferred=0, over=False)
    if not runs.advance(connection, run, token, "tracks", run.seq + 1, "library"):
        raise ClaimLost


def claim_and_commit(database: Database, run: Run) -> bool | None:
    """None: the claim was refused."""
    token = claim(database, run)
    return commit(database, run, token) if token else None


def end(database: Database, run: Run, status: Status, token: UUID | None = None) -> bool:
    with database.begin() as connection:
        return runs.end(connection, run.id, status, token=token)


def sweep(database: Database) -> bool:
    return bool(Store(database).take_due_runs())


def trigger(database: Database, store: Store) -> int:
    with database.begin() as connection:
        found = runs.find(connection, store.account_id, "full", None)
        return found.id if found else runs.create(connection, store.account_id, "full", "cli", None, None)


def answer(database: Database) -> list[str]:
    with database.begin() as connection:
        claimed = [waiter.task_id for waiter in waiters.claim_unanswered(connection)]
    for task_id in claimed:
        with database.begin() as connection:
            waiters.mark_answered(connection, task_id)
    return claimed


def batches(store: Store, run: Run) -> int:
    """The batches that were committed; -1 if the two places that count them differ."""
    state = "SELECT batches FROM sync_state WHERE sync_id = :id AND entity_type = 'tracks'"
    seq = store.get_run(run.id).seq
    return seq if seq == store.one(state, id=run.id) else -1


# ---- scenarios ------------------------------------------------------------------------------------------------------


def two_claims(store: Store) -> Scenario:
    run = store.run()
    work = lambda database: claim_and_commit(database, run)  # noqa: E731
    return [work, work], lambda a, b: {a, b} == {True, None} and batches(store, run) == 1


def late(store: Store) -> tuple[Run, UUID]:
    """A run whose claimant's lease has ended; the claimant doesn't know."""
    run = store.run()
    token = claim(store.database, run)
    assert token
    store.set(run.id, wake_at=PAST)
    return run, token


def late_commit(store: Store) -> Scenario:
    run, token = late(store)
    works = [lambda database: commit(database, run, token), lambda database: claim_and_commit(database, run)]
    return works, lambda a, b: (a, b) in {(True, None), (False, True)} and batches(store, run) == 1


def late_release(store: Store) -> Scenario:
    run, token = late(store)

    def release(database: Database) -> bool:
        with database.begin() as connection:
            return runs.release(connection, run, token, 600, error="no reason") is not None

    works = [release, lambda database: claim_and_commit(database, run)]
    return works, lambda a, b: (a, b) in {(True, None), (False, True)} and batches(store, run) == (b is True)


def late_renewal(store: Store) -> Scenario:
    """A renewed lease holds: then sweep doesn't publish the batch again, and its commit counts."""
    run, token = late(store)

    def renew_and_commit(database: Database) -> bool | None:
        with database.begin() as connection:
            renewed = runs.renew(connection, run.id, token, LEASE)
        return commit(database, run, token) if renewed else None

    return [renew_and_commit, sweep], lambda a, b: (a, b) in {(True, False), (None, True)}


def cancel(store: Store) -> Scenario:
    run = store.run()
    works = [lambda database: end(database, run, "cancelled"), lambda database: claim_and_commit(database, run)]

    def is_right(a: bool, b: bool | None) -> bool:
        after = store.get_run(run.id)
        return a and (after.status, after.claimed) == ("cancelled", False) and batches(store, run) == (b is True)

    return works, is_right


def finish_or_cancel(store: Store) -> Scenario:
    run = store.run(phase="finish")
    token = claim(store.database, store.get_run(run.id))
    works = [lambda database: end(database, run, "success", token), lambda database: end(database, run, "cancelled")]
    return works, lambda a, b: a != b and store.get_run(run.id).status == ("success" if a else "cancelled")


def two_triggers(store: Store) -> Scenario:
    work = lambda database: trigger(database, store)  # noqa: E731
    return [work, work], lambda a, b: store.sql("SELECT id FROM sync_history") == [(a,)] == [(b,)]


def two_answers(store: Store) -> Scenario:
    run = store.run(status="success")
    with store.database.begin() as connection:
        for task_id in ("one", "two"):
            waiters.add_waiter(connection, task_id, run.id, {})
    return [answer, answer], lambda a, b: sorted(a + b) == ["one", "two"]


SCENARIOS = [
    two_claims, late_commit, late_release, late_renewal, cancel, finish_or_cancel, two_triggers, two_answers,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_order_of_two_processes(scenario: Callable[[Store], Scenario], store: Store, database_url: str) -> None:
    orders = explore(database_url, store, scenario)
    print(f"{scenario.__name__}: {orders} orders")
    assert orders > 3


# Text of a statement, and what replaces it.
TOKEN = ("claim = %(token)s AND", "claim IS NOT NULL AND")
BUGS = {
    "claim of a claimed batch": (two_claims, "r.claim IS NULL AND r.status =", "r.status ="),
    "claim without a lock": (two_claims, "FOR NO KEY UPDATE)\n    UPDATE", ") UPDATE"),
    "commit without a token": (late_commit, *TOKEN),
    "release without a token": (late_release, *TOKEN),
    "sweep without a lock": (late_renewal, "LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED", "LIMIT 1"),
    "two ends": (finish_or_cancel, "AND status = ANY(%(sources)s)", ""),
    "trigger without a lock": (two_triggers, "WHERE id = %(id)s FOR NO KEY UPDATE", "WHERE id = %(id)s"),
    "answer without a lock": (two_answers, "FOR UPDATE OF w SKIP LOCKED", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_some_order_shows_a_bug(bug: str, store: Store, database_url: str) -> None:
    scenario, correct, wrong = BUGS[bug]
    with pytest.raises(AssertionError, match="results: ") as found:
        explore(database_url, store, scenario, (correct, wrong))
    print(found.value)
