"""The front page: current status, history, and the buttons that start, cancel and resume runs."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from spotisync import status
from spotisync.core.states import OVER
from spotisync.status import Document
from spotisync.store import accounts
from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.sync.runs import SyncType
from spotisync.web.actions import ActionsDep, confirm_removal_from_form, start_from_form
from spotisync.web.dependencies import Before, ConnectionDep, ContextDep
from spotisync.web.live.events import get_broadcast
from spotisync.web.paths import get_root, redirect
from spotisync.web.security.csrf import RequireCsrfToken
from spotisync.web.templating import TEMPLATES, render_page

router = APIRouter(include_in_schema=False)

RUNS_PER_PAGE: Final = 10
AccountName = Annotated[str | None, Query(max_length=200)]


def install(app: FastAPI) -> None:
    """Register the status fragment with the broadcast, which renders it once per change for all viewers."""
    get_broadcast(app).register("page", render_status)


def render_status(documents: list[Document], root: str = "") -> str:
    return TEMPLATES.get_template("status.html").render(documents=documents, root=root)


@router.get("/")
def show_home(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    account: AccountName = None,
    before: Before = None,
) -> Response:
    return render_page(request, "home.html", **_load_home(connection, context, account, before))


@router.get("/fragments/status")
def show_status_fragment(
    request: Request, connection: ConnectionDep, context: ContextDep, account: AccountName = None
) -> Response:
    """Used by a browser that receives no events."""
    known = _find_known(connection, account)
    documents = status.documents(connection, context.settings, known)
    return HTMLResponse(render_status(documents, get_root(request.scope)))


@router.get("/fragments/history")
def show_history_fragment(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    account: AccountName = None,
    before: Before = None,
) -> Response:
    known = _find_known(connection, account)
    return render_page(request, "history.html", **_load_history(connection, context, known, before))


# ---- buttons --------------------------------------------------------------------------------------------------------


@router.post("/runs", dependencies=[RequireCsrfToken])
def start(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    actions: ActionsDep,
    sync_type: Annotated[SyncType, Form()],
    account: AccountName = None,
) -> Response:
    # Without JavaScript a notice would replace the redirect, and a reload would start another sync.
    notice = start_from_form(actions, account or None, sync_type, with_cost="HX-Request" in request.headers)
    return respond_to_action(request, connection, context, account, notice)


@router.post("/accounts/confirm-removal", dependencies=[RequireCsrfToken])
def confirm_removal(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    actions: ActionsDep,
    account: AccountName = None,
) -> Response:
    notice = confirm_removal_from_form(actions, account or None)
    return respond_to_action(request, connection, context, account, notice)


def respond_to_action(
    request: Request, connection: Connection, context: Context, account: str | None, notice: str | None
) -> Response:
    """Return the new status and the notice; without JavaScript and notice, redirect to the page."""
    account = account or None
    values = {**_load_home(connection, context, _find_known(connection, account)), "notice": notice}
    if "HX-Request" in request.headers:
        return render_page(request, "action_result.html", **values, content="status.html")
    if notice:
        return render_page(request, "home.html", **values)
    return redirect(request, f"/{_format_query(account=account)}")


# ---- data of the templates ------------------------------------------------------------------------------------------


def _load_home(
    connection: Connection, context: Context, account: str | None, before: int | None = None
) -> dict[str, Any]:
    documents = status.documents(connection, context.settings, account)
    names = accounts.list_names(connection, status.MOST_ACCOUNTS, account)
    return {
        "documents": documents,
        "names": names,
        "has_more_accounts": len(names) >= status.MOST_ACCOUNTS,
        "account": account,
        "is_unfinished": any(each["status"] not in {None, *OVER} for each in documents),
        **_load_history(connection, context, account, before),
    }


def _load_history(connection: Connection, context: Context, account: str | None, before: int | None) -> dict[str, Any]:
    runs = status.history(connection, account, RUNS_PER_PAGE + 1, before)
    has_more = len(runs) > RUNS_PER_PAGE
    return {
        "runs": runs[:RUNS_PER_PAGE],
        "clock_source": status.read_clock(connection, context.settings),
        "has_several_accounts": account is None and accounts.count_accounts(connection) > 1,
        "before": before,
        "query": _format_query(account=account),
        "history_query": _format_query(account=account, before=before),
        "older_query": _format_query(account=account, before=runs[RUNS_PER_PAGE - 1]["sync_id"]) if has_more else None,
    }


def _format_query(**values: object) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _find_known(connection: Connection, account: str | None) -> str | None:
    """Return None for an account that has been removed, so that the page shows the others."""
    return accounts.find_name(connection, account)
