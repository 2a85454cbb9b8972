"""Execute a path through the model on the real code and a real Postgres; compare the two after every step.

Each process of the model is a `Context` with its own connections and its own claimant's session. Between two rules, the
objects that the real functions have returned are a process' memory; a crash drops them and ends the session. The
broker is a table of messages, and the result backend is Celery's own, in memory. Times of the database are moved by
setting columns, so that each timer passes when the model says so.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias
from unittest import mock
from uuid import uuid4

import psycopg
from celery.backends.cache import CacheBackend
from psycopg.rows import namedtuple_row
from sqlalchemy.engine import make_url

from proof import murphi
from spotisync import callers as answers
from spotisync import canvas, result_backend, workflow
from spotisync.celery import app
from spotisync.core.outcomes import More, Outcome, Parked, PhaseEnded, Retry, RunEnded, Stale
from spotisync.core.states import Phase
from spotisync.core.steps import DeferralStep
from spotisync.errors import Fatal, Transient, Wait
from spotisync.settings import Settings
from spotisync.store.database import Connection
from spotisync.store.runs import Counts, Run
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, batch, callers, commit, runs
from spotisync.sync.callers import Caller
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import ClaimedBatch, Written
from spotisync.sync.fetch import ClaimLost

Step = tuple[str, dict[str, Any]]
Observer: TypeAlias = "psycopg.Connection[Any]"
# A run of the replay: two batches in the first phase, one in each of the others.
BATCHES: tuple[tuple[Phase, int], ...] = (
    ("tracks", 0), ("tracks", 1), ("artists", 0), ("albums", 0), ("playlists", 0), ("finish", 0),
)  # fmt: skip
CONSTANTS = {"FINISH": str(len(BATCHES) - 1)}
GONE = 3
LATER = "interval '1 day'"
LEASE_SECONDS = 4 * 86_400
LONG = 1_000_000
_SEEN = """SELECT EXISTS (SELECT 1 FROM rate_limits WHERE blocked_until > now()) AS blocked,
    ARRAY(SELECT to_jsonb(found) FROM (
        SELECT r.status, r.sync_type, r.phase, r.seq, r.claim, r.claim_pid, r.attempts, r.wake_at <= now() AS passed,
            COALESCE(r.not_before > now(), false) AS held, p.batches, p.items
        FROM sync_history r JOIN accounts a ON a.id = r.account_id, LATERAL (
            SELECT sum(batches) AS batches, sum(items_processed) AS items FROM sync_state s WHERE s.sync_id = r.id) p
        WHERE a.spotify_user_id = %(account)s ORDER BY r.id) found) AS runs,
    ARRAY(SELECT to_jsonb(found) FROM (
        SELECT task_id, sync_id, tries, ended, answered_at IS NOT NULL AS answered, wake_at > now() AS busy
        FROM waiters WHERE task_id = ANY(%(task_ids)s)) found) AS waiters"""
_REAL_FAIL = batch._fail


class Difference(Exception):
    """The real code has done something else than the model."""


# ---- the broker and the result backend -------------------------------------------------------------------------------


@dataclass
class Broker:
    """Messages by task: the batches of runs, and the follow-ups of callers."""

    batches: set[tuple[int, str, int]] = field(default_factory=set)
    redelivered: set[tuple[int, str, int]] = field(default_factory=set)
    chains: dict[tuple[int, str, int], list[Any]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    def send(self, _: Any, name: str, message: Any, **__: Any) -> None:
        """Celery's `send_task_message`."""
        _args, kwargs, embedded = message.body
        if name == "caller.link":
            self.links.append(message.headers["id"])
            app.backend.store_result(message.headers["id"], None, "STARTED")
            return
        key = (kwargs["sync_id"], kwargs.get("phase", "finish"), kwargs.get("seq", 0))
        self.batches.add(key)
        self.chains[key] = embedded["chain"] or []


class _RetriedError(Exception):
    """As Celery's `Retry`."""


@dataclass
class Task:
    """What `workflow` uses of a Celery task. Its message names the batch `key`."""

    broker: Broker
    key: tuple[int, str, int]
    request: Any
    name: str = "spotisync.batch"

    def send_event(self, *_: Any, **__: Any) -> None:
        pass

    def retry(self, **_: Any) -> Exception:
        self.broker.batches.add(self.key)
        return _RetriedError()


class _StoringResult(Exception):
    def __init__(self, waiter: Waiter, result: Any) -> None:
        self.waiter, self.result = waiter, result


# ---- a process -------------------------------------------------------------------------------------------------------


@dataclass
class Process:
    """`job`: named as in the model, as shown by what the real functions returned. The rest is what it remembers."""

    context: Context
    job: str = "IDLE"
    message: tuple[int, str, int] | None = None
    task: Task | None = None
    claimed: ClaimedBatch | None = None
    outcome: Outcome | None = None
    waiting: Wait | None = None
    publish: Callable[[], object] | None = None
    failing: Callable[[], Outcome] | None = None
    waiter: Waiter | None = None
    result: Any = None

    def rest(self) -> None:
        self.__dict__.update(vars(Process(self.context)))


def _job_after(outcome: Outcome | ClaimedBatch, *, redelivered: bool = False) -> str:
    match outcome:
        case ClaimedBatch():
            return "CLAIMED"
        case More() | PhaseEnded():
            return "PUBLISH_NEXT"
        case Retry():
            return "PUBLISH_AGAIN"
        case Stale(orphaned=orphaned):
            return "RESEND" if orphaned and redelivered else "IDLE"
        case Parked() | RunEnded():
            return "IDLE"


# ---- the replay ------------------------------------------------------------------------------------------------------


class Replay:
    """One history of one account. `step` executes a rule of the model, named as there."""

    def __init__(self, contexts: Sequence[Context], connection: Observer, broker: Broker) -> None:
        """`connection`: to look at the database and to move its times."""
        self._connection = connection
        self.sessions: dict[int, int] = {}  # the backends of claimants
        self.processes = {w: Process(context) for w, context in enumerate(contexts, 1)}
        self.broker = broker
        self.account = str(uuid4())
        # Unique, since Celery's result backend in memory is one for the whole process.
        self.task_ids = [str(uuid4()) for _ in range(2)]
        self.messages = set(self.task_ids)
        self.sync_ids: list[int] = []
        self._sql("INSERT INTO accounts (spotify_user_id) VALUES (%(name)s)", name=self.account)

    def step(self, name: str, values: dict[str, Any]) -> None:
        for process in self.processes.values():
            process.context.default_app.gate._read_at = float("-inf")  # a second has passed
        getattr(self, f"_{name}")(**values)
        if name in {"retry", "wait"}:  # a backoff of half a second must not end before the model says so
            self._sql(f"UPDATE sync_history SET not_before = now() + {LATER} WHERE not_before > now()")

    def _sql(self, statement: str, **values: Any) -> list[Any]:
        cursor = self._connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def _key(self, r: int, p: int) -> tuple[int, str, int]:
        return (self.sync_ids[r], *BATCHES[p])

    # ---- triggers and interventions

    def _trigger(self, w: int, c: int, copy: bool) -> None:
        process, task_id = self.processes[w], self.task_ids[c]
        if not copy:
            self.messages.discard(task_id)
        link = {"task": "caller.link", "args": [], "kwargs": {}, "options": {"task_id": f"{task_id}-link"}}
        caller = Caller(task_id, {"id": task_id, "chain": [link], "errbacks": [_errback(task_id)]})
        if callers.is_known_waiter(process.context, task_id):
            return
        kind: runs.SyncType = "full" if c == 0 else "incremental"
        triggered = runs.trigger(process.context, self.account, kind, "task", caller=caller)
        if triggered.created:
            self.sync_ids.append(triggered.run.id)
            self._will_publish(process, triggered.run)

    def _will_publish(self, process: Process, run: Run) -> None:
        process.job, process.publish = "PUBLISH_RUN", partial(canvas.publish, run)

    def _resume(self, w: int, r: int) -> None:
        triggered = runs.resume(self.processes[w].context, self.sync_ids[r])
        if triggered.created:
            self._will_publish(self.processes[w], triggered.run)

    def _cancel(self, r: int) -> None:
        runs.cancel(self.processes[1].context, self.sync_ids[r])

    def _sweep(self, w: int) -> None:
        for run in runs.take_due_runs(self.processes[w].context):
            self._will_publish(self.processes[w], run)

    def _crash(self, w: int) -> None:
        process = self.processes[w]
        process.context.database.drop_claims()
        pid = self.sessions.pop(w, None)
        while self._sql("SELECT 1 FROM pg_stat_activity WHERE pid = %(pid)s", pid=pid):
            pass
        if process.message:
            self.broker.redelivered.add(process.message)
        process.rest()

    # ---- a batch

    def _deliver(self, w: int, r: int, p: int, again: bool, copy: bool) -> None:
        process, key = self.processes[w], self._key(r, p)
        if not copy:
            (self.broker.redelivered if again else self.broker.batches).discard(key)
        request = SimpleNamespace(
            chain=list(self.broker.chains[key]),
            root_id="root",
            id="id",
            delivery_info={"redelivered": again},
            get=lambda _: None,
        )
        process.task, process.message = Task(self.broker, key, request), key
        with mock.patch.object(batch, "_fail", partial(self._fail_later, process)):
            outcome = batch._claim(process.context, *key)  # type: ignore[arg-type]
        if process.failing or isinstance(outcome, ClaimedBatch):
            self.sessions[w] = process.context.database.get_claimant().pid or 0
        if process.failing:
            process.job = "FATAL"
        else:
            process.job = _job_after(outcome, redelivered=again)
            self._remember(process, outcome)

    def _finish(self, w: int, r: int, copy: bool) -> None:
        if not copy:
            self.broker.batches.discard(self._key(r, len(BATCHES) - 1))
        runs.finish(self.processes[w].context, self.sync_ids[r])

    def _fail_later(self, process: Process, *arguments: Any) -> Any:
        """`_claim` fails a batch that has killed its workers; the model does that in its next step."""
        process.claimed, process.failing = arguments[0], partial(_REAL_FAIL, *arguments)
        return batch._stale("")

    def _remember(self, process: Process, outcome: Outcome | ClaimedBatch) -> None:
        if isinstance(outcome, ClaimedBatch):
            process.claimed = outcome
            return
        process.outcome = outcome
        if process.job == "IDLE":
            self._publish_outcome(process)
            process.rest()

    def _publish_outcome(self, process: Process) -> None:
        """`workflow`, and then what Celery does after a task has returned: publish the next link."""
        assert process.task
        assert process.outcome
        assert process.message
        answer = mock.patch.object(workflow, "answer", return_value=None)  # a rule of its own
        with answer, suppress(_RetriedError):
            workflow.publish_next(process.task, process.context, process.message[0], process.outcome)  # type: ignore[arg-type]
            if process.task.request.chain:
                *rest, link = process.task.request.chain
                app.signature(link).apply_async((), chain=rest)

    def _send_request(self, w: int) -> None:
        process = self.processes[w]
        assert process.claimed
        try:
            process.claimed.app.gate.check_cooldown(process.claimed.cursor.family)
        except Wait as wait:
            process.job, process.waiting = "MUST_WAIT", wait
        else:
            process.job = "SENT"

    def _receive_page(self, w: int) -> None:
        self.processes[w].job = "FETCHED"

    def _receive_429(self, w: int) -> None:
        process = self.processes[w]
        assert process.claimed
        gate = process.claimed.app.gate
        process.waiting = gate.record_429(process.claimed.cursor.family, "60", quota=False)
        process.job = "MUST_WAIT"

    def _receive_error(self, w: int, fatal: bool) -> None:
        process = self.processes[w]
        process.job = "FATAL" if fatal else "TRANSIENT"
        if fatal:
            process.failing = partial(self._handle, process, process.context, Fatal("forbidden"))

    def _handle(self, process: Process, context: Context, error: Any) -> Outcome:
        assert process.claimed
        return batch._handle_error(context, process.claimed, BatchCalls(), error)

    def _renew_lease(self, w: int) -> None:
        process = self.processes[w]
        assert process.claimed
        if not batch._renew(process.context, process.claimed):
            self._go_on(process, self._handle(process, process.context, ClaimLost("lost")))

    def _go_on(self, process: Process, outcome: Outcome) -> None:
        process.job, process.claimed = _job_after(outcome), None
        self._remember(process, outcome)

    def _commit(self, w: int) -> None:
        process = self.processes[w]
        assert process.claimed
        try:
            done = batch._commit(process.context, process.claimed, BatchCalls(), DeferralStep(reason="replayed"))
        except ClaimLost as error:
            done = self._handle(process, process.context, error)
        self._go_on(process, done)

    def _wait(self, w: int, long: bool) -> None:
        process = self.processes[w]
        settings = process.context.settings.model_copy(update={"max_countdown": 0 if long else LONG})
        context = replace(process.context, settings=settings)
        try:
            outcome = self._handle(process, context, process.waiting)
        except ClaimLost as error:
            outcome = self._handle(process, context, error)
        self._go_on(process, outcome)

    def _retry(self, w: int) -> None:
        process = self.processes[w]
        self._go_on(process, self._handle(process, process.context, Transient("no answer")))

    def _fail(self, w: int) -> None:
        process = self.processes[w]
        assert process.failing
        self._go_on(process, process.failing())

    # ---- messages and time

    def _publish(self, w: int) -> None:
        process = self.processes[w]
        if process.publish:
            process.publish()
        else:
            self._publish_outcome(process)
        process.rest()

    def _lose_message(self, r: int, p: int) -> None:
        self.broker.batches.discard(self._key(r, p))
        self.broker.redelivered.discard(self._key(r, p))

    def _calm_down(self) -> None:
        pass

    def _pass_wake_at(self, r: int) -> None:
        self._sql("UPDATE sync_history SET wake_at = now() - interval '1 s' WHERE id = %(id)s", id=self.sync_ids[r])

    def _pass_not_before(self, r: int) -> None:
        self._sql("UPDATE sync_history SET not_before = now() - interval '1 s' WHERE id = %(id)s", id=self.sync_ids[r])

    def _end_cooldown(self) -> None:
        self._sql("DELETE FROM rate_limits")

    def _pass_waiter_claim(self, c: int) -> None:
        self._sql("UPDATE waiters SET wake_at = now() - interval '1 s' WHERE task_id = %(id)s", id=self.task_ids[c])

    # ---- answers

    def _claim_waiter(self, w: int, c: int) -> None:
        # The oldest is claimed first.
        self._sql(f"UPDATE waiters SET wake_at = wake_at - {LATER} WHERE task_id = %(id)s", id=self.task_ids[c])
        process = self.processes[w]
        process.waiter = callers.claim_waiter(process.context)
        process.job = "ANSWER" if process.waiter and process.waiter.task_id == self.task_ids[c] else "IDLE"

    def _send_follow_ups(self, w: int) -> None:
        process = self.processes[w]

        def pause(waiter: Waiter, result: Any) -> None:
            raise _StoringResult(waiter, result)

        assert process.waiter
        with mock.patch.object(result_backend, "store_result", pause):
            try:
                answers._answer_one(process.context, process.waiter)
            except _StoringResult as storing:
                process.result, process.job = storing.result, "LINKED"

    def _store_result(self, w: int) -> None:
        process = self.processes[w]
        assert process.waiter
        result_backend.store_result(process.waiter, process.result)
        process.job = "STORED"

    def _mark_answered(self, w: int) -> None:
        process = self.processes[w]
        assert process.waiter
        callers.mark_answered(process.context, process.waiter.task_id)
        process.rest()

    # ---- what is to be seen

    def compare(self, state: Any) -> None:
        """Raise `Difference` unless the database, the broker and the processes are as in the model's state."""
        seen = self.observe()
        wanted = {path: murphi.show(value) for path, value in murphi.leaves(state) if path in seen}
        if differences := {path: value for path, value in wanted.items() if seen[path] != value}:
            told = (f"{path} is {seen[path]}, in the model {value}" for path, value in differences.items())
            raise Difference("; ".join(told))

    def observe(self) -> dict[str, str]:
        seen: dict[str, Any] = {f"worker[{w}].job": process.job for w, process in self.processes.items()}
        (found,) = self._sql(_SEEN, account=self.account, task_ids=self.task_ids)
        seen["blocked"] = found.blocked
        seen.update({f"run[{r}].status": "ABSENT" for r in range(2)})
        for r, row in enumerate(found.runs):
            seen.update(self._observe_run(r, SimpleNamespace(**row)))
        for c, task_id in enumerate(self.task_ids):
            seen[f"waiter[{c}].message"] = task_id in self.messages
            seen[f"waiter[{c}].links"] = sum(link.startswith(f"{task_id}-") for link in self.broker.links)
            seen[f"waiter[{c}].result"] = _read_result(task_id)
            seen[f"waiter[{c}].state"] = "UNKNOWN"
        for row in (SimpleNamespace(**each) for each in found.waiters):
            name = f"waiter[{self.task_ids.index(row.task_id)}]"
            seen[f"{name}.state"] = "ANSWERED" if row.answered else "WAITING"
            seen[f"{name}.run"] = self.sync_ids.index(row.sync_id)
            seen[f"{name}.busy"], seen[f"{name}.tries"] = row.busy, min(row.tries, 1)
            seen[f"{name}.ended"] = (row.ended or "absent").upper()
        return {path: murphi.show(value) for path, value in seen.items()}

    def _observe_run(self, r: int, row: Any) -> Iterator[tuple[str, Any]]:
        name = f"run[{r}]"
        yield f"{name}.status", row.status.upper()
        yield f"{name}.kind", row.sync_type.upper()
        yield f"{name}.at", BATCHES.index((row.phase, row.seq))
        yield f"{name}.wake", "NEVER" if row.passed is None else "PASSED" if row.passed else "LATER"
        yield f"{name}.held", row.held
        yield f"{name}.attempts", min(row.attempts, batch.MOST_ATTEMPTS + 1)
        holders = [w for w, each in self.processes.items() if each.claimed and str(each.claimed.token) == row.claim]
        yield f"{name}.claim", 0 if row.claim is None else holders[0] if holders else GONE
        owners = [w for w, pid in self.sessions.items() if pid == row.claim_pid]
        yield f"{name}.owner", 0 if row.claim_pid is None else owners[0] if owners else GONE
        for p in range(len(BATCHES)):
            yield f"queue[{r}][{p}]", self._key(r, p) in self.broker.batches
            yield f"redelivered[{r}][{p}]", self._key(r, p) in self.broker.redelivered
            yield f"done[{r}][{p}]", p < row.batches
        if row.items != row.batches:
            raise Difference(f"run {r} has {row.items} items after {row.batches} batches of one item")

    def close(self) -> None:
        self._sql("DELETE FROM waiters")
        self._sql("DELETE FROM rate_limits")
        self._sql("DELETE FROM accounts")


def _errback(task_id: str) -> dict[str, Any]:
    return {"task": "caller.link", "args": [], "kwargs": {}, "options": {"task_id": f"{task_id}-errback"}}


def _read_result(task_id: str) -> str:
    """The status of the run that the caller was told."""
    meta = app.backend.get_task_meta(task_id, cache=False)
    if meta["status"] != "FAILURE":
        return "SUCCESS" if meta["status"] == "SUCCESS" else "ABSENT"
    return "CANCELLED" if type(meta["result"]).__name__ == "SyncCancelled" else "FAILED"


def _write(_: Connection, claimed: ClaimedBatch, __: Any) -> Written:
    """In place of rows from Spotify: one item, and the cursor that makes the next of BATCHES due."""
    run = claimed.run
    more = BATCHES[BATCHES.index((run.phase, run.seq)) + 1][0] == run.phase
    return Written(Counts(processed=1), claimed.cursor if more else None)


@contextmanager
def replaying(settings: Settings) -> Iterator[Callable[[], Replay]]:
    """Two processes on the database of `settings`. Yields a function that begins a history with a new account."""
    changed = settings.model_copy(update={"lease_seconds": LEASE_SECONDS})
    broker = Broker()
    backend = CacheBackend(app, url="memory://")
    with ExitStack() as stack:
        for target, name, value in (
            (commit, "_write", _write),
            (batch, "MOST_ATTEMPTS", 2),
            (app.amqp, "send_task_message", broker.send),
            (app, "_backend_cache", backend),
            (result_backend, "_send", lambda *_, **__: None),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        contexts = [stack.enter_context(closing(Context.from_settings(changed))) for _ in range(2)]
        url = make_url(settings.database).set(drivername="postgresql").render_as_string(hide_password=False)
        connection: Observer = stack.enter_context(
            psycopg.connect(url, autocommit=True, row_factory=namedtuple_row, prepare_threshold=1)
        )

        def begin() -> Replay:
            broker.__dict__.update(vars(Broker()))
            return Replay(contexts, connection, broker)

        yield begin
