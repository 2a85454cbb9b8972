"""The run events of one attempt at a batch, written in the transaction of the state change that they report."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from spotisync import telemetry
from spotisync.core.requests import Family
from spotisync.core.steps import DeferralStep, Step
from spotisync.store import events
from spotisync.store.database import Connection
from spotisync.store.events import Event, Kind
from spotisync.store.runs import Run


@dataclass(frozen=True)
class BatchEvents:
    """`family`: of the batch's requests. `since`: `monotonic()` of this process when the attempt began."""

    run: Run
    family: Family
    attempt: int
    since: float

    def get_seconds(self) -> float:
        return monotonic() - self.since

    def record_commit(self, connection: Connection, step: Step, *, items: int, deferred: int, calls: int) -> None:
        run = self.run
        event = Event(
            "batch", phase=run.phase, seq=run.seq, attempt=self.attempt, family=self.family,
            seconds=self.get_seconds(), items=items, calls=calls,
        )  # fmt: skip
        events.add_event(connection, run.id, event)
        telemetry.set_attributes(items=items, calls=calls, deferred=deferred)
        if isinstance(step, DeferralStep):
            self._add(connection, "put_off", step.reason or None, self.family, items=deferred)

    def record_release(
        self, connection: Connection, kind: Kind, seconds: float, message: str, family: str | None = None
    ) -> None:
        """The batch was released and is due again in `seconds`."""
        self._add(connection, kind, message, family or self.family, seconds=seconds)
        _trace_wait(kind, seconds, message)

    def record_wait(self, connection: Connection, seconds: float, message: str) -> None:
        """A wait for other runs. It has no family: neither a cooldown nor the pace causes it."""
        self._add(connection, "wait", message, None, seconds=seconds)
        _trace_wait("wait", seconds, message)

    def _add(
        self,
        connection: Connection,
        kind: Kind,
        message: str | None,
        family: str | None,
        *,
        seconds: float | None = None,
        items: int | None = None,
    ) -> None:
        run = self.run
        event = Event(kind, phase=run.phase, seq=run.seq, message=message, family=family, seconds=seconds, items=items)
        events.add_event(connection, run.id, event)


def _trace_wait(kind: Kind, seconds: float, message: str) -> None:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    telemetry.add_event(kind, until=until.isoformat(timespec="seconds"), reason=message)
