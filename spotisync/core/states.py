"""The states of a run, and of each of its phases. Every legal move stands here; any other is refused."""

from typing import Literal

from spotisync.errors import IllegalMove

Status = Literal["pending", "in_progress", "rate_limited", "success", "failed", "cancelled"]
Phase = Literal["tracks", "artists", "albums", "playlists", "finish"]

PHASES: tuple[Phase, ...] = ("tracks", "artists", "albums", "playlists")
UNFINISHED: tuple[Status, ...] = ("pending", "in_progress", "rate_limited")
OVER: tuple[Status, ...] = ("success", "failed", "cancelled")

MOVES: dict[Status, tuple[Status, ...]] = {
    # Made while another run of the account was going; or made, and not yet claimed by a worker.
    "pending": ("in_progress", "failed", "cancelled"),
    # A worker has claimed a batch, or a message is on its way to one. Short waits and retries stay in here.
    "in_progress": ("rate_limited", "success", "failed", "cancelled"),
    # Parked in Postgres: Spotify said to wait for longer than a countdown lasts. Sweep wakes it.
    "rate_limited": ("in_progress", "failed", "cancelled"),
    # Over, and right: never touched again.
    "success": (),
    # Over; a person or a caller may resume it from its checkpoints, as long as it is the newest of its type.
    "failed": ("in_progress", "pending"),
    "cancelled": ("in_progress", "pending"),
}


def check_move(current: Status, to: Status) -> None:
    """Raise `IllegalMove`, in words, if a run can't go from `current` to `to`."""
    if to in MOVES[current]:
        return
    allowed = " or ".join(MOVES[current]) or "nothing: it is over"
    raise IllegalMove(f"a run that is {current} can't become {to}; it can become {allowed}")


def allowed_sources(to: Status) -> tuple[Status, ...]:
    """The states from which a run may become `to`: the guard of every UPDATE of a status."""
    return tuple(current for current, targets in MOVES.items() if to in targets)


def next_phase(phase: Phase) -> Phase:
    after = PHASES.index(phase) + 1
    return PHASES[after] if after < len(PHASES) else "finish"


def later_phases(phase: Phase) -> tuple[Phase, ...]:
    return PHASES[PHASES.index(phase) + 1 :] if phase in PHASES else ()
