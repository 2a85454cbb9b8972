"""The requests of one batch: side by side, each past the gate; what comes back is the contiguous prefix."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import dataclass, field

from spotisync.core.requests import Request
from spotisync.core.steps import Answer
from spotisync.errors import Fatal, NeedsLogin, Refused, SpotisyncError, Stopping, Transient, Unavailable
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.sync.calls import BatchCalls
from spotisync.sync.context import Context
from spotisync.sync.tokens import AccountAccess

# Where Spotify may refuse one thing without meaning the rest. Elsewhere a refusal is for a person to read.
REFUSABLE = {"artists", "artist", "albums", "album", "playlist_items", "saved_albums", "followed_artists"}
# What a login may lack the scope for without harm to the rest.
OPTIONAL = {"followed_artists"}
# How often a batch that waits for its replies looks whether it is to stop.
LOOK_SECONDS = 0.2


class ClaimLost(SpotisyncError):
    """Somebody else has the batch: whatever this worker is doing is for nothing."""


@dataclass(frozen=True)
class Fetched:
    """The answers in order up to the first trouble, if there was one."""

    answers: list[Answer]
    trouble: SpotisyncError | None


def fetch(
    context: Context, access: AccountAccess, requests: Sequence[Request], calls: BatchCalls, alive: Callable[[], bool]
) -> Fetched:
    """`alive` renews the lease while we wait; when it says no, `ClaimLost` is raised.

    A stop is a trouble like any other: what came before it counts, what has not come yet is not waited for.
    """
    # Each in a copy of this context, so that its log lines say whose they are.
    futures = [
        context.threads.submit(copy_context().run, _answer, context, access, request, calls) for request in requests
    ]
    answers: list[Answer] = []
    lease = _Lease(alive, context.stopping, context.settings.lease_seconds / 3)
    try:
        for future in futures:
            answers.append(lease.await_result(future))  # noqa: PERF401 (a prefix is kept)
    except (ClaimLost, Unavailable):
        raise
    except SpotisyncError as trouble:
        return Fetched(answers, trouble)
    finally:
        for future in futures:
            future.cancel()
        if context.stopping():
            access.wait_for_refresh()
    return Fetched(answers, None)


@dataclass
class _Lease:
    """Renewed every so many seconds, however many requests a batch has and however slow each of them is."""

    renew: Callable[[], bool]
    stopping: Callable[[], bool]
    every: float
    renewed_at: float = field(default_factory=time.monotonic)

    def await_result(self, future: Future[Answer]) -> Answer:
        while True:
            left = self.renewed_at + self.every - time.monotonic()
            if left <= 0:
                if not self.renew():
                    raise ClaimLost("the lease ran out and another worker took the batch")
                self.renewed_at = time.monotonic()
            elif wait([future], timeout=min(left, LOOK_SECONDS)).done:
                return future.result()
            elif self.stopping():
                raise Stopping


def _answer(context: Context, access: AccountAccess, request: Request, calls: BatchCalls) -> Answer:
    token = access.token()
    try:
        return _ask(context, token, request, calls)
    except Unauthorised:
        try:
            return _ask(context, access.token(rejected=token), request, calls)
        except Unauthorised as error:
            raise Transient(f"{error}, with a new token") from None


def _ask(context: Context, token: str, request: Request, calls: BatchCalls) -> Answer:
    context.gate.enter(request.family)
    if context.stopping():  # nobody waits for it any more
        raise Stopping
    try:
        with calls.track_request(request.family):
            return Answer(request, context.spotify.get(request, token))
    except Throttled as told:
        raise context.gate.record_429(request.family, told.retry_after, quota=told.quota) from None
    except NeedsLogin as lacking:
        if request.kind not in OPTIONAL:
            raise
        return Answer(request, refused=Refused(403, str(lacking)))
    except Refused as refused:
        if request.kind not in REFUSABLE:
            raise Fatal(str(refused)) from None
        return Answer(request, refused=refused)
