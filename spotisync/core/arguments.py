"""What outsiders may say to a task, by the task's name. The publisher and the task ask the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from spotisync.errors import Fatal

LONGEST_TEXT = 255  # what an index of Postgres takes, in any alphabet
LARGEST_NUMBER = 2**63 - 1
# The queue of each, and its arguments: those it may have, and those it must.
QUEUES: Mapping[str, str] = {
    "spotisync.full_sync": "spotisync.sync",
    "spotisync.incremental_sync": "spotisync.sync",
    "spotisync.resume_sync": "spotisync.sync",
    "spotisync.cancel_sync": "spotisync.control",
    "spotisync.enrich": "spotisync.sync",
    "spotisync.track_playback": "spotisync.playback",
}
_TRIGGER = ("account", "idempotency_key")
OPTIONAL: Mapping[str, Sequence[str]] = {
    "spotisync.full_sync": _TRIGGER,
    "spotisync.incremental_sync": _TRIGGER,
    "spotisync.track_playback": ("account",),
}
REQUIRED: Mapping[str, Sequence[str]] = {
    "spotisync.resume_sync": ("sync_id",),
    "spotisync.cancel_sync": ("sync_id",),
}


def check(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise `Fatal`, in words, unless the task takes these."""
    if task not in QUEUES:
        raise Fatal(f"there is no task {task!r} for others to send; there are {', '.join(QUEUES)}")
    if args:
        raise Fatal(
            f"{task} takes keyword arguments only; in a chain, where it would get the result before it, "
            "make its signature immutable"
        )
    _check_names(task, kwargs)
    for name, value in kwargs.items():
        _check_value(f"{name} of {task}", name, value)


def _check_names(task: str, kwargs: Mapping[str, Any]) -> None:
    takes = (*REQUIRED.get(task, ()), *OPTIONAL.get(task, ()))
    if unknown := [name for name in kwargs if name not in takes]:
        raise Fatal(f"{task} takes {' and '.join(takes) or 'no arguments'}, not {', '.join(map(str, unknown))}")
    if missing := [name for name in REQUIRED.get(task, ()) if name not in kwargs]:
        raise Fatal(f"{task} needs {' and '.join(missing)}")


def _check_value(what: str, name: str, value: Any) -> None:
    if name == "sync_id":
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_NUMBER:
            raise Fatal(f"{what} has to be the number of a run (spotisync history), not {_shown(value)}")
    elif value is not None and not _is_text(value):
        raise Fatal(f"{what} has to be text or null, of 1 to {LONGEST_TEXT} characters, not {_shown(value)}")


def _is_text(value: Any) -> bool:
    """That Postgres can keep: no null bytes, no halves of a character."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."
