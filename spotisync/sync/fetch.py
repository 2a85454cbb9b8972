"""Send the requests of one batch concurrently, each through the gate, and return the contiguous prefix of answers."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import get_args

from spotisync.core.cursors import ListName
from spotisync.core.pace import Turn
from spotisync.core.requests import Request
from spotisync.core.steps import Answer
from spotisync.errors import NeedsLogin, Refused, SpotisyncError, Stopping, Transient, Unavailable
from spotisync.gate import BatchTurns
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.sync.calls import BatchCalls
from spotisync.sync.context import Context
from spotisync.sync.tokens import AccountAccess, IssuedToken

# Shows whether Spotify answers at all.
PROBE = Request("profile")
# Kinds whose scope a login may lack; the other kinds are still read. Contents are not among them: a refusal of each
# playlist would be remembered.
SCOPE_OPTIONAL = {"saved_tracks", *get_args(ListName), "top_artists", "top_tracks"}
# Seconds between checks for a shutdown while a batch waits for replies.
STOP_CHECK_SECONDS = 0.2


class ClaimLost(SpotisyncError):
    """Another worker holds the claim, so this worker's result must be discarded."""


@dataclass(frozen=True)
class Fetched:
    """The answers in order up to the first error, and that error."""

    answers: list[Answer]
    error: SpotisyncError | None


def fetch(
    context: Context, access: AccountAccess, requests: Sequence[Request], calls: BatchCalls, renew: Callable[[], bool]
) -> Fetched:
    """Fetch the answers; `renew` extends the lease meanwhile. Raises `ClaimLost` once `renew` returns False.

    A shutdown is an error like any other: earlier answers are kept, and pending ones are not awaited.
    """
    turns = BatchTurns()
    # Each request runs in a copy of the logging context, so that its log lines name the run.
    pending = deque(
        context.threads.submit(copy_context().run, _fetch_in_turn, context, access, request, calls, turns, number)
        for number, request in enumerate(requests)
    )
    answers: list[Answer] = []
    lease = _Lease(renew, context.stopping, context.settings.lease_seconds / 3)
    try:
        while pending:
            answer = lease.await_result(pending[0])
            pending.popleft()
            answers.append(answer)
    except (ClaimLost, Unavailable):
        raise
    except SpotisyncError as error:
        return Fetched(answers, error)
    finally:
        turns.close()
        for future in pending:
            future.cancel()
        if context.stopping():
            access.wait_for_refresh()
    return Fetched(answers, None)


@dataclass
class _Lease:
    """A lease renewed every `interval` seconds, regardless of the number and duration of the requests."""

    renew: Callable[[], bool]
    stopping: Callable[[], bool]
    interval: float
    renewed_at: float = field(default_factory=time.monotonic)

    def await_result(self, future: Future[Answer]) -> Answer:
        while True:
            remaining = self.renewed_at + self.interval - time.monotonic()
            if remaining <= 0:
                if not self.renew():
                    raise ClaimLost("the lease ran out and another worker took the batch")
                self.renewed_at = time.monotonic()
            elif wait([future], timeout=min(remaining, STOP_CHECK_SECONDS)).done:
                return future.result()
            elif self.stopping():
                raise Stopping


def _fetch_in_turn(
    context: Context, access: AccountAccess, request: Request, calls: BatchCalls, turns: BatchTurns, number: int
) -> Answer:
    with turns.ending_with_error():
        issued = access.token()
        turn = turns.take(number, issued.app.gate, request.family)
        return _fetch_one(context, access, request, calls, issued, turn)


def _fetch_one(
    context: Context, access: AccountAccess, request: Request, calls: BatchCalls, issued: IssuedToken, turn: Turn
) -> Answer:
    try:
        return _send(context, issued, request, calls, turn)
    except Unauthorised:
        issued = access.token(rejected=issued.value)
        try:
            return _send(context, issued, request, calls, issued.app.gate.take_turn(request.family))
        except Unauthorised as error:
            raise Transient(f"{error}, with a new token") from None


def _send(context: Context, issued: IssuedToken, request: Request, calls: BatchCalls, turn: Turn) -> Answer:
    app = issued.app
    sent = app.gate.await_turn(request.family, turn)
    if context.stopping():  # entering the gate can take time, and the answer is no longer awaited
        raise Stopping
    try:
        with calls.track_request(request):
            body = context.spotify.get(request, issued.value)
    except Throttled as error:
        raise app.gate.record_429(request.family, error.retry_after, quota=error.quota, sent=sent) from None
    except NeedsLogin as error:
        if request.kind not in SCOPE_OPTIONAL:
            raise
        return Answer(request, refused=Refused(403, str(error)))
    except Refused as error:
        return Answer(request, refused=error)
    app.shapes.record(request.kind, body)
    # Here, while other requests are on their way: a batch keeps its pages, and as few replies as there are threads.
    return Answer(request, body).parse_early()
