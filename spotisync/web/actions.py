"""Start, resume and cancel runs. The API and the forms of the pages both use this."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Depends, Request

from spotisync.errors import Fatal, IllegalMove
from spotisync.status import call_costs
from spotisync.store.runs import Run
from spotisync.sync import Context, removals, runs
from spotisync.sync.runs import SyncType, Trigger
from spotisync.web.labels import KINDS, STATES

NOT_PUBLISHED: Final = (
    "The broker can't be reached. The run is stored and starts automatically within a minute after the broker is back, "
    "if the scheduler and a worker run. Check with: spotisync doctor"
)
SPENDS_RESERVE: Final = "Run {} continues within seconds, with the reserve of the budget."


@dataclass(frozen=True)
class ActionResult:
    """The run; whether this request started it (false: it was already unfinished); a note for the user.

    `cost`: what a started sync is expected to cost.
    """

    run: Run
    started: bool
    note: str | None = None
    cost: str | None = None


@dataclass(frozen=True)
class SyncActions:
    """`publish` and `request_sweep` send messages; if the broker is down the run is stored anyway."""

    context: Context
    publish: Callable[[Run], bool]
    request_sweep: Callable[[], None]

    def start(self, account: str | None, sync_type: SyncType, by: Trigger, key: str | None = None) -> ActionResult:
        with self.context.database.begin() as connection:
            cost = call_costs.describe_cost(connection, self.context.settings, account, sync_type)
        triggered = runs.trigger(self.context, account, sync_type, by, idempotency_key=key)
        result = self._publish(triggered)
        if triggered.spends_reserve:
            self.request_sweep()
            return replace(result, cost=cost, note=SPENDS_RESERVE.format(triggered.run.id))
        return replace(result, cost=cost) if result.started else result

    def resume(self, sync_id: int) -> ActionResult:
        return self._publish(runs.resume(self.context, sync_id))

    def confirm_removal(self, account: str | None, by: Trigger) -> ActionResult:
        return self._publish(removals.confirm(self.context, account, by).triggered)

    def cancel(self, sync_id: int) -> Run:
        run = runs.cancel(self.context, sync_id)
        self.request_sweep()
        return run

    def _publish(self, triggered: runs.Triggered) -> ActionResult:
        published = not triggered.created or self.publish(triggered.run)
        return ActionResult(triggered.run, triggered.created, None if published else NOT_PUBLISHED)


def _get_actions(request: Request) -> SyncActions:
    found: SyncActions = request.app.state.actions
    return found


ActionsDep = Annotated[SyncActions, Depends(_get_actions)]


# ---- form handlers: they return what the page has to tell the user, if anything --------------------------------------


def start_from_form(
    actions: SyncActions, account: str | None, sync_type: SyncType, *, with_cost: bool = False
) -> str | None:
    try:
        result = actions.start(account, sync_type, "web")
    except Fatal as error:
        return as_sentence(error)
    run = result.run
    told = " ".join(filter(None, (result.cost if with_cost else None, result.note))) or None
    return (
        told
        if result.started or result.cost
        else f"Already covered by run {run.id} ({KINDS[run.sync_type].lower()}, {STATES[run.status]})."
    )


def confirm_removal_from_form(actions: SyncActions, account: str | None) -> str | None:
    try:
        result = actions.confirm_removal(account, "web")
    except Fatal as error:
        return as_sentence(error)
    return result.note or f"Confirmed. Run {result.run.id} removes the items, or the next one if it has read the list."


def cancel_from_form(actions: SyncActions, sync_id: int) -> str | None:
    try:
        actions.cancel(sync_id)
    except IllegalMove as error:
        return _explain_refusal(actions, sync_id, "cancelled", error)
    except Fatal as error:
        return as_sentence(error)
    return f"Run {sync_id} was cancelled. The items that it has read are stored, and it can be resumed."


def resume_from_form(actions: SyncActions, sync_id: int) -> str | None:
    try:
        result = actions.resume(sync_id)
    except IllegalMove as error:
        return _explain_refusal(actions, sync_id, "resumed", error)
    except Fatal as error:
        return as_sentence(error)
    return result.note if result.started else f"Run {sync_id} is already active."


def _explain_refusal(actions: SyncActions, sync_id: int, verb: str, error: IllegalMove) -> str:
    run = runs.get_run(actions.context, sync_id)
    if run is None or (verb == "resumed" and run.status != "success"):
        return as_sentence(error)
    return f"Run {sync_id} can't be {verb}: it is already {STATES[run.status]}."


def as_sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
