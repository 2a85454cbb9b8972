"""Arguments of the public tasks, checked by the publisher and by the task."""

from collections.abc import Mapping, Sequence
from typing import Any

from spotisync.core.states import PHASES
from spotisync.errors import Fatal

LONGEST_TEXT = 255  # fits into a Postgres index in any script
LARGEST_NUMBER = 2**63 - 1
LARGEST_SEQ = 2**31 - 1
QUEUES: Mapping[str, str] = {
    "spotisync.full_sync": "spotisync.sync",
    "spotisync.incremental_sync": "spotisync.sync",
    "spotisync.resume_sync": "spotisync.sync",
    "spotisync.cancel_sync": "spotisync.control",
    "spotisync.enrich": "spotisync.backlog",
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
    """Raise `Fatal` unless the task accepts these arguments."""
    if task not in QUEUES:
        raise Fatal(f"no public task {task!r}; use one of {', '.join(QUEUES)}")
    if args:
        raise Fatal(
            f"{task} takes keyword arguments only; make its signature immutable in a chain, "
            "which would pass the previous result"
        )
    _check_names(task, kwargs)
    for name, value in kwargs.items():
        _check_value(f"{name} of {task}", name, value)


def check_batch(task: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `Fatal` unless these name a batch, or the run to finish. Postgres' error would be retried forever."""
    for name, value in kwargs.items():
        if name == "sync_id":
            _check_value(f"{name} of {task}", name, value)
        elif name == "phase" and value not in PHASES:
            raise Fatal(f"phase of {task} must be one of {', '.join(PHASES)}, not {_shorten(value)}")
        elif name == "seq" and not (type(value) is int and 0 <= value <= LARGEST_SEQ):
            raise Fatal(f"seq of {task} must be the number of a batch, not {_shorten(value)}")


def _check_names(task: str, kwargs: Mapping[str, Any]) -> None:
    takes = (*REQUIRED.get(task, ()), *OPTIONAL.get(task, ()))
    if unknown := [name for name in kwargs if name not in takes]:
        raise Fatal(f"{task} takes {' and '.join(takes) or 'no arguments'}, not {', '.join(map(str, unknown))}")
    if missing := [name for name in REQUIRED.get(task, ()) if name not in kwargs]:
        raise Fatal(f"{task} needs {' and '.join(missing)}")


def _check_value(what: str, name: str, value: Any) -> None:
    if name == "sync_id":
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_NUMBER:
            raise Fatal(f"{what} must be the number of a run (list them: spotisync history), not {_shorten(value)}")
    elif value is not None and not _is_text(value):
        raise Fatal(f"{what} must be a string of 1 to {LONGEST_TEXT} characters or null, not {_shorten(value)}")


def _is_text(value: Any) -> bool:
    """Postgres stores no null characters and no lone surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
