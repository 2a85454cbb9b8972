"""The front page: what goes on, why it waits, what to do."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from spotisync import status
from spotisync.core.states import OVER
from spotisync.status import Document
from spotisync.store import accounts
from spotisync.store.database import Connection
from spotisync.web import presses
from spotisync.web.actions import Acting
from spotisync.web.dependencies import TEMPLATES, Looking, Using, page
from spotisync.web.security import csrf

router = APIRouter(include_in_schema=False)

PAGE: Final = 10
Account = Annotated[str | None, Query(max_length=200)]
Before = Annotated[int | None, Query(ge=1, le=2**62)]


def install(app: FastAPI) -> None:
    """Once the hub of events is there: how it stands is rendered once a change, for all who look on."""
    app.state.hub.register("page", render_status)


def render_status(documents: list[Document]) -> str:
    return TEMPLATES.get_template("status.html").render(documents=documents)


@router.get("/")
def home(
    request: Request, connection: Looking, context: Using, account: Account = None, before: Before = None
) -> Response:
    return page(request, "home.html", **_shown(connection, context, account, before))


@router.get("/fragments/status")
def status_fragment(connection: Looking, context: Using, account: Account = None) -> Response:
    """For whoever hears no events."""
    return HTMLResponse(render_status(status.documents(connection, context.settings, _known(connection, account))))


@router.get("/fragments/history")
def history_fragment(
    request: Request, connection: Looking, context: Using, account: Account = None, before: Before = None
) -> Response:
    account = _known(connection, account)
    documents = status.documents(connection, context.settings, account)
    return page(request, "history.html", **_history(connection, documents, account, before))


# ---- buttons --------------------------------------------------------------------------------------------------------


@router.post("/runs", dependencies=[csrf.FromThePage])
def start(
    request: Request,
    connection: Looking,
    context: Using,
    acts: Acting,
    sync_type: Annotated[Literal["full", "incremental"], Form()],
    account: Account = None,
) -> Response:
    return after_action(request, connection, context, account, presses.start(acts, account or None, sync_type))


def after_action(
    request: Request, connection: Connection, sync: Any, account: str | None, said: str | None
) -> Response:
    """How it stands now; whoever asked without a script, and has nothing to be told, is sent back to the page."""
    account = account or None
    shown = {**_shown(connection, sync, _known(connection, account), None), "said": said}
    if "HX-Request" in request.headers:
        return page(request, "pressed.html", **shown, within="status.html")
    if said:
        return page(request, "home.html", **shown)
    return RedirectResponse(f"/{_query(account=account)}", 303)


# ---- what is shown --------------------------------------------------------------------------------------------------


def _shown(connection: Connection, sync: Any, account: str | None, before: int | None) -> dict[str, Any]:
    documents = status.documents(connection, sync.settings, account)
    return {
        "documents": documents,
        "names": [each.spotify_user_id for each in accounts.list_accounts(connection)],
        "account": account,
        "restless": any(each["status"] not in {None, *OVER} for each in documents),
        **_history(connection, documents, account, before),
    }


def _history(
    connection: Connection, documents: list[Document], account: str | None, before: int | None
) -> dict[str, Any]:
    runs = status.history(connection, account, PAGE + 1, before)
    further = len(runs) > PAGE
    return {
        "runs": runs[:PAGE],
        "clockwork": documents[0],
        "several": account is None and len(documents) > 1,
        "before": before,
        "query": _query(account=account),
        "again": _query(account=account, before=before),
        "older": _query(account=account, before=runs[PAGE - 1]["sync_id"]) if further else None,
    }


def _query(**values: object) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _known(connection: Connection, account: str | None) -> str | None:
    """An account that has been removed meanwhile is no reason to show nothing."""
    names = {each.spotify_user_id for each in accounts.list_accounts(connection)}
    return account if account in names else None
