"""What happened in a run: written with each of its moves, in the same transaction: one is there iff the other is.

`seconds` is how long a batch took, or a wait is to last; `attempt` which try at a batch it was, or how many waits in a
row are one event. The calls of what brought nothing stand with the event that was the last when they were counted:
the sum of all calls is what the run has counted, but for what a killed worker took with it.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, text

Kind = Literal[
    "begun", "batch", "wait", "parked", "woken", "retried", "lost", "resumed", "put_off", "success", "failed",
    "cancelled",
]  # fmt: skip
# Of an error no more than this, whatever a server has sent.
LONGEST = 500

_COLUMNS = {
    "phase": "text",
    "seq": "integer",
    "attempt": "integer",
    "family": "text",
    "seconds": "float",
    "items": "integer",
    "calls": "integer",
    "message": "text",
}
_TELL = f"""INSERT INTO run_events (sync_id, kind, {", ".join(_COLUMNS)})
    SELECT :sync_id, :kind, {", ".join(f"CAST(:{name} AS {type_})" for name, type_ in _COLUMNS.items())}"""
# Waits of one batch, one after the other, are one event that lasts longer: nobody wants to read a second of each.
_WAITS = f"""WITH last AS (SELECT * FROM run_events WHERE sync_id = :sync_id ORDER BY id DESC LIMIT 1),
    longer AS (UPDATE run_events e SET seconds = e.seconds + :seconds, attempt = e.attempt + 1, message = :message
        FROM last WHERE e.id = last.id AND last.kind = 'wait' AND last.phase = :phase AND last.seq = :seq
        AND last.family IS NOT DISTINCT FROM :family RETURNING e.id)
    {_TELL} WHERE NOT EXISTS (SELECT 1 FROM longer)"""


@dataclass(frozen=True)
class Event:
    kind: Kind
    message: str | None = None
    phase: str | None = None
    seq: int | None = None
    attempt: int | None = None
    family: str | None = None
    seconds: float | None = None
    items: int | None = None
    calls: int | None = None


def add_event(connection: Connection, sync_id: int, event: Event) -> None:
    told = {**vars(event), "sync_id": sync_id, "message": event.message[:LONGEST] if event.message else None}
    if event.kind == "wait":
        connection.execute(text(_WAITS), {**told, "attempt": 1})
    else:
        connection.execute(text(_TELL), told)


def add_unsuccessful_calls(connection: Connection, sync_id: int, calls: int) -> None:
    """Requests that brought nothing."""
    connection.execute(
        text(
            """UPDATE run_events SET calls = COALESCE(calls, 0) + :calls WHERE id = (
                SELECT id FROM run_events WHERE sync_id = :sync_id ORDER BY id DESC LIMIT 1)"""
        ),
        {"sync_id": sync_id, "calls": calls},
    )
