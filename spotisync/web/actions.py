"""What a form or a request sets off: a run begins, goes on, ends. The API and the pages do it by the same words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from spotisync.store.runs import Run
from spotisync.sync import Context, runs
from spotisync.sync.runs import SyncType, Trigger

STARTS_LATER: Final = (
    "The broker can't be reached. The run is stored, and starts by itself within a minute of the broker's return, if "
    "beat and a worker run. See what is wrong: spotisync doctor"
)


@dataclass(frozen=True)
class Triggered:
    """The run that was meant; whether it was begun now, or joined; and what has to be said beside that."""

    run: Run
    begun: bool
    note: str | None = None


@dataclass(frozen=True)
class SyncActions:
    """`publish` and `sweep_soon` are the workflow's; without a broker the run is stored all the same."""

    sync: Context
    publish: Callable[[Run], bool]
    sweep_soon: Callable[[], None]

    def start(self, account: str | None, sync_type: SyncType, by: Trigger, key: str | None = None) -> Triggered:
        return self._go(runs.trigger(self.sync, account, sync_type, by, idempotency_key=key))

    def resume(self, sync_id: int) -> Triggered:
        return self._go(runs.resume(self.sync, sync_id))

    def cancel(self, sync_id: int) -> Run:
        run = runs.cancel(self.sync, sync_id)
        self.sweep_soon()
        return run

    def _go(self, triggered: runs.Triggered) -> Triggered:
        sent = not triggered.created or self.publish(triggered.run)
        return Triggered(triggered.run, triggered.created, None if sent else STARTS_LATER)


def _acts(request: Request) -> SyncActions:
    found: SyncActions = request.app.state.acts
    return found


Acting = Annotated[SyncActions, Depends(_acts)]
