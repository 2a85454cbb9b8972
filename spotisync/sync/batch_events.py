"""What a batch tells of itself, in the transaction of its move."""

from dataclasses import dataclass
from time import monotonic
from typing import Any

from spotisync.core.phases import Step
from spotisync.store import events
from spotisync.store.database import Connection
from spotisync.store.events import Event, Kind
from spotisync.store.runs import Run
from spotisync.sync.commit import Written


@dataclass(frozen=True)
class BatchEvents:
    """Of one try at a batch, which began at `since` by this process' own clock."""

    run: Run
    attempt: int
    since: float

    def committed(self, connection: Connection, step: Step, written: Written, calls: int) -> None:
        self._tell(
            connection,
            "batch",
            attempt=self.attempt,
            family=step.looked_up,
            seconds=monotonic() - self.since,
            items=written.counts.processed,
            calls=calls,
        )
        if step.put_off or step.deferred:
            self._tell(connection, "put_off", message=step.why or None, family=step.looked_up, items=written.deferred)

    def released(
        self, connection: Connection, kind: Kind, seconds: float, message: str, family: str | None = None
    ) -> None:
        """Until the same batch is tried again."""
        self._tell(connection, kind, message=message, family=family, seconds=seconds)

    def waiting_for_others(self, connection: Connection, seconds: float, message: str) -> None:
        """For other runs: a wait that is neither Spotify's nor our pace's, so it is of no family."""
        events.add_event(
            connection,
            self.run.id,
            Event("wait", phase=self.run.phase, seq=self.run.seq, seconds=seconds, message=message),
        )

    def _tell(self, connection: Connection, kind: Kind, *, family: str | None = None, **of_it: Any) -> None:
        run = self.run
        event = Event(kind, phase=run.phase, seq=run.seq, family=family or run.family, **of_it)
        events.add_event(connection, run.id, event)
