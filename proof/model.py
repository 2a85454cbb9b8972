"""The protocol of runs, batches, messages and callers as rules over a small state.

This text has two readers. Python executes it, to walk through the states and to compare them with the real code
(`proof/replay.py`). `proof/murphi.py` translates it, line by line, to Murphi, whose checker visits every state. The
translation knows only what is used here: dataclasses of enumerations, ranges, Booleans and dicts indexed by ranges;
functions of one expression; rules and procedures of assignments, `if`, `for` and `assert`.

The docstring of a rule names the functions that it models. A rule is atomic, as is the transaction that it models; a
process may crash between any two rules.

The model leaves out what does not decide who may do what when: rows, tokens, budgets, look-ups, account states. Times
are reduced to "in the future" and "passed". All batches need the same family of requests.
"""

from __future__ import annotations  # a rule's parameters are named by their ranges

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

# Ranges. Two runs of one account, two worker processes, two callers, and per run two batches and the final task.
Slot: TypeAlias = int
Proc: TypeAlias = int
Position: TypeAlias = int
Caller: TypeAlias = int
Holder: TypeAlias = int
Count: TypeAlias = int
Budget: TypeAlias = int

FINISH = 2  # the position of a run whose batches are all committed
NONE = 0  # no process; 1 and 2 are the processes
GONE = 3  # a process that has died
TROUBLES = 2  # faults and interventions in one history: any, in any order
MOST_ATTEMPTS = 2  # 5 in the code
ONE_KIND = False  # whether all callers ask for a full sync

SLOTS = range(2)
PROCS = range(1, 3)
POSITIONS = range(FINISH + 1)
CALLERS = range(2)
HOLDERS = range(4)
COUNTS = range(4)
BUDGETS = range(TROUBLES + 1)
RANGES = {
    "Slot": SLOTS,
    "Proc": PROCS,
    "Position": POSITIONS,
    "Caller": CALLERS,
    "Holder": HOLDERS,
    "Count": COUNTS,
    "Budget": BUDGETS,
}


class Status(IntEnum):
    """`sync_history.status`. ABSENT: no such row."""

    ABSENT = 0
    PENDING = 1
    IN_PROGRESS = 2
    RATE_LIMITED = 3
    SUCCESS = 4
    FAILED = 5
    CANCELLED = 6


class Kind(IntEnum):
    FULL = 0
    INCREMENTAL = 1


class Timer(IntEnum):
    NEVER = 0
    LATER = 1
    PASSED = 2


class Job(IntEnum):
    """What a process does next. From CLAIMED to RESEND, it has a batch's message that it has not acknowledged."""

    IDLE = 0
    CLAIMED = 1  # send the request
    SENT = 2  # await the reply
    FETCHED = 3  # commit
    MUST_WAIT = 4  # release the claim because of a cooldown
    TRANSIENT = 5  # release the claim because of an error
    FATAL = 6  # fail the run
    PUBLISH_NEXT = 7  # publish the batch after the committed one
    PUBLISH_AGAIN = 8  # publish the same message again
    RESEND = 9  # publish the due batch of a run whose message may be lost
    PUBLISH_RUN = 10  # publish a run that was created, resumed or taken by sweep
    ANSWER = 11  # send a caller's follow-ups
    LINKED = 12  # store a caller's result
    STORED = 13  # mark a caller answered


class Call(IntEnum):
    UNKNOWN = 0  # no row of `waiters`
    WAITING = 1
    ANSWERED = 2


@dataclass
class Run:
    """A row of `sync_history`. `at`: phase and seq. `owner`: claim_pid. `held`: `not_before` is in the future."""

    status: Status = Status.ABSENT
    kind: Kind = Kind.FULL
    at: Position = 0
    claim: Holder = NONE
    owner: Holder = NONE
    wake: Timer = Timer.NEVER
    held: bool = False
    attempts: Count = 0


@dataclass
class Worker:
    """The memory of a process. `again`: its message was redelivered, or its caller was tried before."""

    job: Job = Job.IDLE
    run: Slot = 0
    at: Position = 0
    again: bool = False
    caller: Caller = 0


@dataclass
class Waiter:
    """A caller: its message in the broker, its row of `waiters`, and what the result backend knows of it.

    `busy`: `wake_at` is in the future. `links`: how often its follow-ups were sent. `overtaken`: history, whether its
    claim was lost to another process.
    """

    message: bool = True
    state: Call = Call.UNKNOWN
    run: Slot = 0
    busy: bool = False
    tries: Count = 0
    ended: Status = Status.ABSENT
    links: Count = 0
    result: Status = Status.ABSENT
    overtaken: bool = False


def for_each_position() -> dict[Position, bool]:
    return dict.fromkeys(POSITIONS, False)


@dataclass
class State:
    """`queue`, `redelivered`: the messages of batches in the broker. `done`: history, the batches committed."""

    run: dict[Slot, Run] = field(default_factory=lambda: {r: Run() for r in SLOTS})
    worker: dict[Proc, Worker] = field(default_factory=lambda: {w: Worker() for w in PROCS})
    waiter: dict[Caller, Waiter] = field(default_factory=lambda: {c: Waiter() for c in CALLERS})
    queue: dict[Slot, dict[Position, bool]] = field(default_factory=lambda: {r: for_each_position() for r in SLOTS})
    redelivered: dict[Slot, dict[Position, bool]] = field(
        default_factory=lambda: {r: for_each_position() for r in SLOTS}
    )
    done: dict[Slot, dict[Position, bool]] = field(default_factory=lambda: {r: for_each_position() for r in SLOTS})
    blocked: bool = False
    troubles: Budget = TROUBLES


# ---- the registry of rules and properties ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    name: str
    guard: Callable[..., bool]
    body: Callable[..., None]

    @property
    def models(self) -> str:
        return (self.body.__doc__ or "").strip()


@dataclass(frozen=True)
class Property:
    """`invariant`: holds in every state. `liveness`: can be reached from every state. `cover`: in at least one."""

    kind: str
    name: str
    holds: Callable[[State], bool]


RULES: list[Rule] = []
PROPERTIES: list[Property] = []


def rule(guard: Callable[..., bool]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(body: Callable[..., None]) -> Callable[..., None]:
        RULES.append(Rule(body.__name__, guard, body))
        return body

    return register


Holds: TypeAlias = Callable[[State], bool]
Register: TypeAlias = Callable[[Holds], Holds]


def _property(kind: str, name: str) -> Register:
    def register(holds: Holds) -> Holds:
        PROPERTIES.append(Property(kind, name, holds))
        return holds

    return register


def invariant(name: str) -> Register:
    return _property("invariant", name)


def liveness(name: str) -> Register:
    return _property("liveness", name)


def cover(name: str) -> Register:
    return _property("cover", name)


# ---- conditions ------------------------------------------------------------------------------------------------------


def unfinished(s: State, r: Slot) -> bool:
    return s.run[r].status in (Status.PENDING, Status.IN_PROGRESS, Status.RATE_LIMITED)


def over(s: State, r: Slot) -> bool:
    return s.run[r].status in (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


def account_free(s: State, r: Slot) -> bool:
    """ACCOUNT_FREE of store/runs.py."""
    return all(q == r or s.run[q].status != Status.IN_PROGRESS for q in SLOTS)


def claimable(s: State, r: Slot) -> bool:
    """The condition of `runs.claim`, apart from phase and seq."""
    return (
        s.run[r].status in (Status.IN_PROGRESS, Status.RATE_LIMITED)
        and not s.run[r].held
        and (
            (s.run[r].claim == NONE and s.run[r].status == Status.IN_PROGRESS)
            or s.run[r].wake == Timer.PASSED
            or s.run[r].owner == GONE
        )
        and account_free(s, r)
    )


def due(s: State, r: Slot) -> bool:
    """_DUE of store/runs.py, the condition of sweep."""
    return (
        unfinished(s, r)
        and account_free(s, r)
        and (
            (s.run[r].status == Status.IN_PROGRESS and (s.run[r].wake == Timer.PASSED or s.run[r].owner == GONE))
            or (s.run[r].status == Status.RATE_LIMITED and not s.blocked and not s.run[r].held)
            or s.run[r].status == Status.PENDING
        )
    )


def precedes(s: State, q: Slot, r: Slot) -> bool:
    """The order in which sweep takes the runs of one account; a run in progress excludes the others."""
    return (s.run[q].kind == Kind.FULL and s.run[r].kind == Kind.INCREMENTAL) or (
        s.run[q].kind == s.run[r].kind and q < r
    )


def fenced(s: State, w: Proc) -> bool:
    """Whether the row still has the token of this process. Each claim has a new token, and a process has one claim."""
    return s.run[s.worker[w].run].claim == w and s.run[s.worker[w].run].status == Status.IN_PROGRESS


def working(s: State, w: Proc) -> bool:
    return s.worker[w].job in (Job.CLAIMED, Job.SENT, Job.FETCHED, Job.MUST_WAIT, Job.TRANSIENT, Job.FATAL)


def publishing(s: State, w: Proc) -> bool:
    return s.worker[w].job in (Job.PUBLISH_NEXT, Job.PUBLISH_AGAIN, Job.RESEND, Job.PUBLISH_RUN)


def answering(s: State, w: Proc) -> bool:
    return s.worker[w].job in (Job.ANSWER, Job.LINKED, Job.STORED)


def kind_of(c: Caller) -> Kind:
    return Kind.FULL if c == 0 or ONE_KIND else Kind.INCREMENTAL


def joinable(s: State, c: Caller, r: Slot) -> bool:
    """_REFERRED of store/runs.py, without idempotency keys."""
    return (unfinished(s, r) and s.run[r].kind == kind_of(c)) or (
        kind_of(c) == Kind.INCREMENTAL and s.run[r].kind == Kind.FULL and s.run[r].status == Status.IN_PROGRESS
    )


# ---- steps that several rules have in common -------------------------------------------------------------------------


def rest(s: State, w: Proc) -> None:
    s.worker[w].job = Job.IDLE
    s.worker[w].run = 0
    s.worker[w].at = 0
    s.worker[w].again = False
    s.worker[w].caller = 0


def take_up(s: State, w: Proc, r: Slot, p: Position, job: Job) -> None:
    s.worker[w].job = job
    s.worker[w].run = r
    s.worker[w].at = p


def end_run(s: State, r: Slot, status: Status) -> None:
    """`runs.end`."""
    run = s.run[r]
    assert unfinished(s, r), "only resume changes a run that is over"
    run.status = status
    run.claim = NONE
    run.owner = NONE
    run.wake = Timer.NEVER


def release(s: State, r: Slot, status: Status, held: bool) -> None:
    """`runs.release`."""
    run = s.run[r]
    assert unfinished(s, r), "only resume changes a run that is over"
    run.status = status
    run.claim = NONE
    run.owner = NONE
    run.attempts = 0
    run.wake = Timer.LATER
    run.held = held


def advance(s: State, w: Proc) -> None:
    """`commit.commit`: compare-and-set, then the next batch is due. The owner stays: it has to publish that batch."""
    worker = s.worker[w]
    if fenced(s, w):
        assert not s.done[worker.run][worker.at], "each batch commits once"
        s.done[worker.run][worker.at] = True
        s.run[worker.run].at = worker.at + 1
        s.run[worker.run].claim = NONE
        s.run[worker.run].attempts = 0
        s.run[worker.run].wake = Timer.LATER
        worker.at = worker.at + 1
        worker.job = Job.PUBLISH_NEXT
    else:
        rest(s, w)


# ---- a caller's message ----------------------------------------------------------------------------------------------


@rule(
    lambda s, w, c, copy: (
        s.worker[w].job == Job.IDLE
        and s.waiter[c].message
        and (not copy or s.troubles > 0)
        and (s.waiter[c].state != Call.UNKNOWN or any(s.run[r].status == Status.ABSENT for r in SLOTS))
    )
)
def trigger(s: State, w: Proc, c: Caller, copy: bool) -> None:
    """sync/runs.py trigger, find_or_create; store/runs.py find, create; store/waiters.py add_waiter"""
    waiter = s.waiter[c]
    waiter.message = copy
    if copy:
        s.troubles = s.troubles - 1
    if waiter.state == Call.UNKNOWN:
        waiter.state = Call.WAITING
        if joinable(s, c, 1):
            waiter.run = 1
        elif joinable(s, c, 0):
            waiter.run = 0
        else:
            waiter.run = 0 if s.run[0].status == Status.ABSENT else 1
            create(s, waiter.run, kind_of(c))
            take_up(s, w, waiter.run, 0, Job.PUBLISH_RUN)


def create(s: State, r: Slot, kind: Kind) -> None:
    run = s.run[r]
    run.status = Status.IN_PROGRESS if account_free(s, r) else Status.PENDING
    run.kind = kind
    run.wake = Timer.LATER


# ---- a batch ---------------------------------------------------------------------------------------------------------


@rule(
    lambda s, w, r, p, again, copy: (
        s.worker[w].job == Job.IDLE
        and p != FINISH
        and ((again and s.redelivered[r][p]) or (not again and s.queue[r][p]))
        and (not copy or s.troubles > 0)
    )
)
def deliver(s: State, w: Proc, r: Slot, p: Position, again: bool, copy: bool) -> None:
    """sync/batch.py _claim; store/runs.py claim; workflow.py publish_next"""
    run = s.run[r]
    if copy:
        s.troubles = s.troubles - 1
    elif again:
        s.redelivered[r][p] = False
    else:
        s.queue[r][p] = False
    if unfinished(s, r) and run.at != p:
        if again and run.claim == NONE and run.status == Status.IN_PROGRESS:
            take_up(s, w, r, p, Job.RESEND)
    elif unfinished(s, r) and run.held and run.status == Status.IN_PROGRESS and run.claim == NONE:
        take_up(s, w, r, p, Job.PUBLISH_AGAIN)
    elif unfinished(s, r) and claimable(s, r):
        claim(s, w, r, p)


def claim(s: State, w: Proc, r: Slot, p: Position) -> None:
    """`runs.claim`."""
    run = s.run[r]
    run.claim = w
    run.owner = w
    run.status = Status.IN_PROGRESS
    run.wake = Timer.LATER
    run.attempts = run.attempts + 1 if run.attempts <= MOST_ATTEMPTS else run.attempts
    take_up(s, w, r, p, Job.FATAL if run.attempts > MOST_ATTEMPTS else Job.CLAIMED)


@rule(lambda s, w, r, copy: s.worker[w].job == Job.IDLE and s.queue[r][FINISH] and (not copy or s.troubles > 0))
def finish(s: State, w: Proc, r: Slot, copy: bool) -> None:
    """sync/runs.py finish; store/runs.py end"""
    s.queue[r][FINISH] = copy
    if copy:
        s.troubles = s.troubles - 1
    if s.run[r].status == Status.IN_PROGRESS and s.run[r].at == FINISH:
        end_run(s, r, Status.SUCCESS)


@rule(lambda s, w: s.worker[w].job == Job.CLAIMED)
def send_request(s: State, w: Proc) -> None:
    """gate/gate.py check_cooldown"""
    if s.blocked:
        s.worker[w].job = Job.MUST_WAIT
    else:
        assert not s.blocked, "no request of a blocked family"
        s.worker[w].job = Job.SENT


@rule(lambda s, w: s.worker[w].job == Job.SENT)
def receive_page(s: State, w: Proc) -> None:
    """sync/fetch.py fetch"""
    s.worker[w].job = Job.FETCHED


@rule(lambda s, w: s.worker[w].job == Job.SENT and s.troubles > 0)
def receive_429(s: State, w: Proc) -> None:
    """gate/gate.py record_429"""
    s.troubles = s.troubles - 1
    s.blocked = True
    s.worker[w].job = Job.MUST_WAIT


@rule(lambda s, w, fatal: s.worker[w].job == Job.SENT and s.troubles > 0)
def receive_error(s: State, w: Proc, fatal: bool) -> None:
    """sync/fetch.py fetch; sync/batch.py _handle_error"""
    s.troubles = s.troubles - 1
    s.worker[w].job = Job.FATAL if fatal else Job.TRANSIENT


@rule(lambda s, w: s.worker[w].job == Job.SENT and (s.run[s.worker[w].run].wake != Timer.LATER or not fenced(s, w)))
def renew_lease(s: State, w: Proc) -> None:
    """sync/batch.py _renew; store/runs.py renew"""
    if fenced(s, w):
        s.run[s.worker[w].run].wake = Timer.LATER
    else:
        rest(s, w)


@rule(lambda s, w: s.worker[w].job == Job.FETCHED)
def commit(s: State, w: Proc) -> None:
    """sync/batch.py _commit; sync/commit.py commit; store/runs.py lock_claim, save_checkpoint, advance"""
    advance(s, w)


@rule(lambda s, w, long: s.worker[w].job == Job.MUST_WAIT and (not long or s.blocked))
def wait(s: State, w: Proc, long: bool) -> None:
    """sync/batch.py _wait; core/backoff.py choose_wait; store/runs.py release"""
    worker = s.worker[w]
    if long and s.run[worker.run].kind == Kind.INCREMENTAL:
        advance(s, w)
    elif not fenced(s, w):
        rest(s, w)
    elif long:
        release(s, worker.run, Status.RATE_LIMITED, False)
        rest(s, w)
    else:
        release(s, worker.run, Status.IN_PROGRESS, s.blocked)
        worker.job = Job.PUBLISH_AGAIN


@rule(lambda s, w: s.worker[w].job == Job.TRANSIENT)
def retry(s: State, w: Proc) -> None:
    """sync/batch.py _retry_later; store/runs.py release"""
    if fenced(s, w):
        release(s, s.worker[w].run, Status.IN_PROGRESS, True)
        s.worker[w].job = Job.PUBLISH_AGAIN
    else:
        rest(s, w)


@rule(lambda s, w: s.worker[w].job == Job.FATAL)
def fail(s: State, w: Proc) -> None:
    """sync/batch.py _fail; store/runs.py end"""
    if fenced(s, w):
        end_run(s, s.worker[w].run, Status.FAILED)
    rest(s, w)


# ---- messages --------------------------------------------------------------------------------------------------------


@rule(lambda s, w: publishing(s, w))
def publish(s: State, w: Proc) -> None:
    """workflow.py publish_next; canvas.py publish"""
    worker = s.worker[w]
    if worker.job != Job.RESEND:
        s.queue[worker.run][worker.at] = True
    elif s.run[worker.run].status == Status.IN_PROGRESS:
        s.queue[worker.run][s.run[worker.run].at] = True
    rest(s, w)


@rule(lambda s, r, p: s.troubles > 0 and (s.queue[r][p] or s.redelivered[r][p]))
def lose_message(s: State, r: Slot, p: Position) -> None:
    """the broker"""
    s.troubles = s.troubles - 1
    s.queue[r][p] = False
    s.redelivered[r][p] = False


@rule(lambda s, w: s.worker[w].job == Job.IDLE and any(due(s, r) for r in SLOTS))
def sweep(s: State, w: Proc) -> None:
    """sync/runs.py take_due_runs; store/runs.py take_due"""
    for r in SLOTS:
        if (
            s.worker[w].job == Job.IDLE
            and due(s, r)
            and not any(q != r and due(s, q) and precedes(s, q, r) for q in SLOTS)
        ):
            s.run[r].status = Status.IN_PROGRESS
            s.run[r].claim = NONE
            s.run[r].owner = NONE
            s.run[r].held = False
            s.run[r].wake = Timer.LATER
            take_up(s, w, r, s.run[r].at, Job.PUBLISH_RUN)


# ---- interventions ---------------------------------------------------------------------------------------------------


@rule(lambda s, r: s.troubles > 0 and unfinished(s, r))
def cancel(s: State, r: Slot) -> None:
    """sync/runs.py cancel; store/runs.py end"""
    s.troubles = s.troubles - 1
    end_run(s, r, Status.CANCELLED)


@rule(
    lambda s, w, r: (
        s.worker[w].job == Job.IDLE
        and s.troubles > 0
        and s.run[r].status in (Status.FAILED, Status.CANCELLED)
        and all(q <= r or s.run[q].status == Status.ABSENT or s.run[q].kind != s.run[r].kind for q in SLOTS)
    )
)
def resume(s: State, w: Proc, r: Slot) -> None:
    """sync/runs.py resume; store/runs.py reopen"""
    run = s.run[r]
    s.troubles = s.troubles - 1
    run.status = Status.IN_PROGRESS if account_free(s, r) else Status.PENDING
    run.held = False
    run.attempts = 0
    run.wake = Timer.LATER
    take_up(s, w, r, run.at, Job.PUBLISH_RUN)


@rule(lambda s, w: s.troubles > 0)
def crash(s: State, w: Proc) -> None:
    """store/database.py drop_claims: the end of the claimant's session. The broker delivers its message again"""
    worker = s.worker[w]
    s.troubles = s.troubles - 1
    for r in SLOTS:
        if s.run[r].claim == w:
            s.run[r].claim = GONE
        if s.run[r].owner == w:
            s.run[r].owner = GONE
    if worker.job == Job.PUBLISH_NEXT:
        s.redelivered[worker.run][worker.at - 1] = True
    elif working(s, w) or worker.job in (Job.PUBLISH_AGAIN, Job.RESEND):
        s.redelivered[worker.run][worker.at] = True
    rest(s, w)


@rule(lambda s: s.troubles > 0)
def calm_down(s: State) -> None:
    """no further fault or intervention"""
    s.troubles = 0


# ---- time ------------------------------------------------------------------------------------------------------------


@rule(
    lambda s, r: (
        s.run[r].wake == Timer.LATER and not s.run[r].held and (s.troubles > 0 or s.run[r].claim in (NONE, GONE))
    )
)
def pass_wake_at(s: State, r: Slot) -> None:
    """sync_history.wake_at. The lease of a live process ends early only if the process is stuck"""
    if s.run[r].claim not in (NONE, GONE):
        s.troubles = s.troubles - 1
    s.run[r].wake = Timer.PASSED


@rule(lambda s, r: s.run[r].held)
def pass_not_before(s: State, r: Slot) -> None:
    """sync_history.not_before"""
    s.run[r].held = False


@rule(lambda s: s.blocked)
def end_cooldown(s: State) -> None:
    """rate_limits.blocked_until"""
    s.blocked = False


@rule(
    lambda s, c: (
        s.waiter[c].busy
        and s.waiter[c].state == Call.WAITING
        and (s.troubles > 0 or not any(answering(s, w) and s.worker[w].caller == c for w in PROCS))
    )
)
def pass_waiter_claim(s: State, c: Caller) -> None:
    """waiters.wake_at"""
    s.waiter[c].busy = False
    if any(answering(s, w) and s.worker[w].caller == c for w in PROCS):
        s.troubles = s.troubles - 1
        s.waiter[c].overtaken = True


# ---- answers ---------------------------------------------------------------------------------------------------------


@rule(
    lambda s, w, c: (
        s.worker[w].job == Job.IDLE
        and s.waiter[c].state == Call.WAITING
        and not s.waiter[c].busy
        and (s.waiter[c].ended != Status.ABSENT or over(s, s.waiter[c].run))
    )
)
def claim_waiter(s: State, w: Proc, c: Caller) -> None:
    """callers.py _answer_all; store/waiters.py claim_unanswered"""
    waiter = s.waiter[c]
    waiter.busy = True
    if waiter.ended == Status.ABSENT:
        waiter.ended = s.run[waiter.run].status
    s.worker[w].job = Job.ANSWER
    s.worker[w].caller = c
    s.worker[w].again = waiter.tries > 0
    waiter.tries = 1


@rule(lambda s, w: s.worker[w].job == Job.ANSWER)
def send_follow_ups(s: State, w: Proc) -> None:
    """callers.py _answer_one, find_unsent"""
    waiter = s.waiter[s.worker[w].caller]
    if not s.worker[w].again or (waiter.result == Status.ABSENT and waiter.links == 0):
        waiter.links = waiter.links + 1
    s.worker[w].job = Job.LINKED


@rule(lambda s, w: s.worker[w].job == Job.LINKED)
def store_result(s: State, w: Proc) -> None:
    """result_backend.py store_result"""
    waiter = s.waiter[s.worker[w].caller]
    assert waiter.result in (Status.ABSENT, waiter.ended), "an answer never changes"
    waiter.result = waiter.ended
    s.worker[w].job = Job.STORED


@rule(lambda s, w: s.worker[w].job == Job.STORED)
def mark_answered(s: State, w: Proc) -> None:
    """store/waiters.py mark_answered"""
    s.waiter[s.worker[w].caller].state = Call.ANSWERED
    rest(s, w)


# ---- properties ------------------------------------------------------------------------------------------------------


@invariant("no batch is skipped, and the due batch never moves back")
def position_is_history(s: State) -> bool:
    return all(all(s.done[r][p] == (p < s.run[r].at) for p in POSITIONS) for r in SLOTS)


@invariant("at most one run of an account is in progress")
def one_in_progress(s: State) -> bool:
    return all(s.run[r].status != Status.IN_PROGRESS or account_free(s, r) for r in SLOTS)


@invariant("only a run in progress is claimed, by a process that works on it")
def claims_have_a_worker(s: State) -> bool:
    return all(
        s.run[r].claim == NONE
        or (
            s.run[r].status == Status.IN_PROGRESS
            and (
                s.run[r].claim == GONE
                or any(s.run[r].claim == w and working(s, w) and s.worker[w].run == r for w in PROCS)
            )
        )
        for r in SLOTS
    )


@invariant("an unfinished run has a time at which sweep publishes it")
def unfinished_runs_wake(s: State) -> bool:
    return all(unfinished(s, r) == (s.run[r].wake != Timer.NEVER) for r in SLOTS)


@invariant("a run that succeeds has committed every batch")
def success_is_complete(s: State) -> bool:
    return all(s.run[r].status != Status.SUCCESS or s.run[r].at == FINISH for r in SLOTS)


@invariant("a caller is answered once its run is over, with its follow-ups and its result")
def answers_are_complete(s: State) -> bool:
    return all(
        s.waiter[c].state != Call.ANSWERED or (s.waiter[c].links > 0 and s.waiter[c].result == s.waiter[c].ended)
        for c in CALLERS
    )


@invariant("follow-ups are sent once, unless a stuck process lost its claim on the caller")
def follow_ups_once(s: State) -> bool:
    return all(s.waiter[c].links <= 1 or s.waiter[c].overtaken for c in CALLERS)


@invariant("triggers of one kind join one unfinished run")
def one_unfinished_of_a_kind(s: State) -> bool:
    return not (unfinished(s, 0) and unfinished(s, 1) and s.run[0].kind == s.run[1].kind)


@liveness("when faults end, every run ends and every caller is answered")
def settled(s: State) -> bool:
    return (
        s.troubles == 0
        and all(not unfinished(s, r) for r in SLOTS)
        and all(s.waiter[c].state == Call.ANSWERED for c in CALLERS)
    )


@cover("a stuck process commits after another one took its batch over")
def overtaken_commit(s: State) -> bool:
    return s.worker[1].job == Job.FETCHED and not fenced(s, 1) and s.run[s.worker[1].run].claim == 2


@cover("a batch is given up because it has killed its workers")
def poisoned(s: State) -> bool:
    return any(s.worker[w].job == Job.FATAL and s.run[s.worker[w].run].attempts > MOST_ATTEMPTS for w in PROCS)


@cover("a parked run waits behind another run of its account")
def parked_behind(s: State) -> bool:
    return s.run[0].status == Status.RATE_LIMITED and s.run[1].status == Status.IN_PROGRESS and not s.blocked


@cover("two callers joined one run")
def joined(s: State) -> bool:
    return all(s.waiter[c].state == Call.WAITING and s.waiter[c].run == 0 for c in CALLERS)


@cover("a resumed run waits for the other run of its account")
def resumed_behind(s: State) -> bool:
    return s.run[0].status == Status.PENDING and s.run[1].status == Status.IN_PROGRESS


@cover("a caller gets the failure of a run that was resumed meanwhile")
def answered_in_between(s: State) -> bool:
    return any(s.waiter[c].result == Status.CANCELLED and unfinished(s, s.waiter[c].run) for c in CALLERS)


@cover("a redelivered message shows that the next batch was never published")
def orphaned(s: State) -> bool:
    return any(s.worker[w].job == Job.RESEND for w in PROCS)


@cover("follow-ups are sent twice after a process was stuck")
def sent_twice(s: State) -> bool:
    return any(s.waiter[c].links > 1 for c in CALLERS)
