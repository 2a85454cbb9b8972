"""The states of a run and of its phases, and the legal moves between them."""

from typing import Literal

from spotisync.errors import IllegalMove

Status = Literal["pending", "in_progress", "rate_limited", "success", "failed", "cancelled"]
Phase = Literal["tracks", "artists", "albums", "playlists", "finish"]

PHASES: tuple[Phase, ...] = ("tracks", "artists", "albums", "playlists")
UNFINISHED: tuple[Status, ...] = ("pending", "in_progress", "rate_limited")
OVER: tuple[Status, ...] = ("success", "failed", "cancelled")

MOVES: dict[Status, tuple[Status, ...]] = {
    # Created while another run of the account is in progress, or not yet claimed by a worker.
    "pending": ("in_progress", "failed", "cancelled"),
    # A worker has claimed a batch, or a message is on its way to one; also during short waits and retries.
    "in_progress": ("rate_limited", "success", "failed", "cancelled"),
    # Parked in Postgres: the wait exceeds the longest countdown. Sweep publishes it when the wait is over.
    "rate_limited": ("in_progress", "failed", "cancelled"),
    # Over; never changed again.
    "success": (),
    # Over; can be resumed from its checkpoints while it is the newest run of its type.
    "failed": ("in_progress", "pending"),
    "cancelled": ("in_progress", "pending"),
}


_DESCRIPTIONS: dict[Status, str] = {
    "pending": "is queued",
    "in_progress": "is running",
    "rate_limited": "is waiting for Spotify's rate limit",
    "success": "has already succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
}


def check_move(sync_id: int, current: Status, to: Literal["in_progress", "cancelled"]) -> None:
    """Raise `IllegalMove` if the run can't be resumed or cancelled."""
    if to not in MOVES[current]:
        verb = "cancelled" if to == "cancelled" else "resumed"
        raise IllegalMove(f"Run {sync_id} {_DESCRIPTIONS[current]}, so it can't be {verb}.")


def allowed_sources(to: Status) -> tuple[Status, ...]:
    """The states from which a run may become `to`, the guard of every UPDATE of a status."""
    return tuple(current for current, targets in MOVES.items() if to in targets)


def next_phase(phase: Phase) -> Phase:
    after = PHASES.index(phase) + 1
    return PHASES[after] if after < len(PHASES) else "finish"


def later_phases(phase: Phase) -> tuple[Phase, ...]:
    return PHASES[PHASES.index(phase) + 1 :] if phase in PHASES else ()
