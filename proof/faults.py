"""Faults planted in the model, each as a replacement of its text, and the property that finds each one."""

from dataclasses import dataclass

from proof.check import CALM, ONE_KIND, ONE_PROCESS, ONE_RUN, TWO_RUNS, Scenario


@dataclass(frozen=True)
class Fault:
    name: str
    old: str
    new: str
    found_by: str
    scenario: Scenario = ONE_RUN
    # Of two properties that states at the same distance violate, the checker's threads report either.
    or_by: str | None = None

    def is_found_by(self, violated: str | None) -> bool:
        return violated is not None and violated in {self.found_by, self.or_by}

    def plant(self, source: str) -> str:
        if source.count(self.old) != 1:
            raise ValueError(f"the model does not have exactly once the text of the fault {self.name!r}: {self.old}")
        return source.replace(self.old, self.new)


ONCE = "each batch commits once"
HISTORY = "no batch is skipped, and the due batch never moves back"
SETTLED = "when faults end, every run ends and every caller is answered"
ONE_IN_PROGRESS = "at most one run of an account is in progress"
OVER = "only resume changes a run that is over"
FOLLOW_UPS = "follow-ups are sent once, unless a stuck process lost its claim on the caller"
UNCHANGED = "an answer never changes"
COMPLETE = "a caller is answered once its run is over, with its follow-ups and its result"

FAULTS = (
    Fault("commit without a fence", "s.run[s.worker[w].run].claim == w and ", "", ONCE),
    Fault("claim of any batch", "if unfinished(s, r) and run.at != p:", "if unfinished(s, r) and run.at < p:", ONCE),
    Fault("resume moves the run back", "    run.held = False\n    run.attempts = 0\n", "    run.at = 0\n", HISTORY),
    Fault(
        "resume skips the due batch",
        "    run.held = False\n    run.attempts = 0\n",
        "    run.at = FINISH\n",
        HISTORY,
    ),
    Fault(
        "no cooldown check before a request",
        "    if s.blocked:\n        s.worker[w].job = Job.MUST_WAIT\n",
        "    if not s.blocked and s.blocked:\n        s.worker[w].job = Job.MUST_WAIT\n",
        "no request of a blocked family",
    ),
    Fault(
        "cancel leaves the claim",
        "    run.status = status\n    run.claim = NONE\n    run.owner = NONE\n    run.wake = Timer.NEVER\n",
        "    run.status = status\n    run.wake = Timer.NEVER\n",
        "only a run in progress is claimed, by a process that works on it",
    ),
    Fault(
        "commit clears wake_at",
        "        s.run[worker.run].wake = Timer.LATER\n",
        "        s.run[worker.run].wake = Timer.NEVER\n",
        "an unfinished run has a time at which sweep publishes it",
    ),
    Fault(
        "sweep ignores wake_at",
        "(s.run[r].wake == Timer.PASSED or s.run[r].owner == GONE)",
        "s.run[r].owner == GONE",
        SETTLED,
    ),
    Fault(
        "no lease, and no check of the claimant's session",
        "(s.run[r].wake == Timer.PASSED or s.run[r].owner == GONE)",
        "s.run[r].wake == Timer.PASSED and s.run[r].claim == NONE",
        SETTLED,
    ),
    Fault(
        "sweep forgets parked runs",
        "            or (s.run[r].status == Status.RATE_LIMITED and not s.blocked and not s.run[r].held)\n",
        "",
        SETTLED,
    ),
    Fault(
        "sweep forgets pending runs",
        "            or s.run[r].status == Status.PENDING\n",
        "",
        SETTLED,
        CALM,
    ),
    Fault(
        "release without a token",
        "    elif not fenced(s, w):\n        rest(s, w)\n    elif long:",
        "    elif long:",
        OVER,
    ),
    Fault(
        "failure without a token",
        "    if fenced(s, w):\n        end_run(s, s.worker[w].run, Status.FAILED)\n",
        "    end_run(s, s.worker[w].run, Status.FAILED)\n",
        OVER,
    ),
    Fault(
        "claim beside another run of the account",
        "        and account_free(s, r)\n    )\n\n\ndef due",
        "    )\n\n\ndef due",
        ONE_IN_PROGRESS,
        TWO_RUNS,
    ),
    Fault(
        "sweep beside another run of the account",
        "        unfinished(s, r)\n        and account_free(s, r)\n",
        "        unfinished(s, r)\n",
        ONE_IN_PROGRESS,
        TWO_RUNS,
    ),
    Fault(
        "resume beside another run of the account",
        "    run.status = Status.IN_PROGRESS if account_free(s, r) else Status.PENDING\n    run.held",
        "    run.status = Status.IN_PROGRESS\n    run.held",
        ONE_IN_PROGRESS,
        ONE_PROCESS,
    ),
    Fault(
        "a trigger makes a second run",
        "(unfinished(s, r) and s.run[r].kind == kind_of(c))",
        "(s.run[r].status == Status.PENDING and s.run[r].kind == kind_of(c))",
        "triggers of one kind join one unfinished run",
        ONE_KIND,
    ),
    Fault(
        "a second delivery of a trigger starts again",
        "    if waiter.state == Call.UNKNOWN:\n        waiter.state = Call.WAITING\n",
        "    if waiter.state != Call.WAITING:\n        waiter.state = Call.WAITING\n        waiter.tries = 0\n"
        "        waiter.busy = False\n",
        FOLLOW_UPS,
    ),
    Fault("two processes answer a caller", "    waiter.busy = True\n", "", FOLLOW_UPS),
    Fault(
        "a second attempt sends the follow-ups again",
        "    if not s.worker[w].again or (waiter.result == Status.ABSENT and waiter.links == 0):\n"
        "        waiter.links = waiter.links + 1\n",
        "    waiter.links = waiter.links + 1\n",
        FOLLOW_UPS,
    ),
    Fault(
        "answered before the result is stored",
        "    s.worker[w].job = Job.LINKED\n",
        "    s.worker[w].job = Job.LINKED\n    waiter.state = Call.ANSWERED\n",
        COMPLETE,
    ),
    Fault(
        "each attempt reads the run's status anew",
        "    if waiter.ended == Status.ABSENT:\n        waiter.ended",
        "    if over(s, waiter.run):\n        waiter.ended",
        COMPLETE,
        or_by=UNCHANGED,
    ),
)
