"""Events of a run, each written in the transaction of the change it records.

`seconds`: duration of a batch, or planned length of a wait. `attempt`: number of the attempt at a batch, or number of
consecutive waits that the event stands for. Calls of an unsuccessful attempt are added to the run's last event, so
that the calls of all events sum up to the run's, except for those of a killed worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from spotisync.store.database import Connection, execute

Kind = Literal[
    "begun", "batch", "wait", "parked", "woken", "retried", "lost", "resumed", "put_off", "success", "failed",
    "cancelled",
]  # fmt: skip
# Characters that are kept of a message, which can contain a server's response.
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
_INSERT = f"""INSERT INTO run_events (sync_id, kind, {", ".join(_COLUMNS)})
    SELECT :sync_id, :kind, {", ".join(f"CAST(:{name} AS {type_})" for name, type_ in _COLUMNS.items())}"""
# Consecutive waits of one batch are one event with their total length: a wait for the pace can be as short as 1 s.
_INSERT_WAIT = f"""WITH last AS (SELECT * FROM run_events WHERE sync_id = :sync_id ORDER BY id DESC LIMIT 1),
    longer AS (UPDATE run_events e SET seconds = e.seconds + :seconds, attempt = e.attempt + 1, message = :message
        FROM last WHERE e.id = last.id AND last.kind = 'wait' AND last.phase = :phase AND last.seq = :seq
        AND last.family IS NOT DISTINCT FROM :family RETURNING e.id)
    {_INSERT} WHERE NOT EXISTS (SELECT 1 FROM longer)"""
# Messages of the kind "woken": `spotisync up` or `demo` stopped and started the processes.
STOPPED: Final = "stopped"
STARTED: Final = "started"
_LAST_EVENTS = """sync_history h JOIN LATERAL (
        SELECT * FROM run_events WHERE sync_id = h.id ORDER BY id DESC LIMIT 1) e
    ON h.status IN ('pending', 'in_progress', 'rate_limited')"""
_INSERT_STACK_EVENT = f"""INSERT INTO run_events (sync_id, kind, message)
    SELECT h.id, 'woken', :message FROM {_LAST_EVENTS}
    WHERE NOT (e.kind = 'woken' AND e.message = :message)"""


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
    if event.kind == "wait":
        execute(connection, _INSERT_WAIT, {**_values(sync_id, event), "attempt": 1})
    else:
        add_events(connection, [(sync_id, event)])


def add_events(connection: Connection, added: Sequence[tuple[int, Event]]) -> None:
    """Add events of several runs; none of them a wait."""
    if added:
        execute(connection, _INSERT, [_values(sync_id, event) for sync_id, event in added])


def _values(sync_id: int, event: Event) -> dict[str, Any]:
    return {**vars(event), "sync_id": sync_id, "message": event.message[:LONGEST] if event.message else None}


def add_start_of_processes(connection: Connection) -> None:
    """Add an event to each unfinished run."""
    execute(connection, _INSERT_STACK_EVENT, {"message": STARTED})


def add_stop_of_processes(connection: Connection) -> None:
    """Add an event to each unfinished run. Starts after which nothing happened are removed: they may be many."""
    execute(
        connection,
        f"""DELETE FROM run_events WHERE id IN (SELECT e.id FROM {_LAST_EVENTS} WHERE e.kind = 'woken'
            AND e.message = :message AND e.calls IS NULL)""",
        {"message": STARTED},
    )
    execute(connection, _INSERT_STACK_EVENT, {"message": STOPPED})


def add_unsuccessful_calls(connection: Connection, sync_id: int, calls: int) -> None:
    """Add the requests of an unsuccessful attempt to the run's last event."""
    execute(
        connection,
        """UPDATE run_events SET calls = COALESCE(calls, 0) + :calls WHERE id = (
            SELECT id FROM run_events WHERE sync_id = :sync_id ORDER BY id DESC LIMIT 1)""",
        {"sync_id": sync_id, "calls": calls},
    )
