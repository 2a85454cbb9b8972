"""The budget page: calls of the last and the next 24 hours, and forms to block a family and to clear a cooldown."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from spotisync.core.durations import parse_duration
from spotisync.core.requests import LimitedFamily
from spotisync.errors import Fatal
from spotisync.status import budget
from spotisync.store import accounts
from spotisync.sync import cooldowns
from spotisync.web import charts
from spotisync.web.actions import as_sentence
from spotisync.web.dependencies import ConnectionDep, ContextDep
from spotisync.web.pages.home import AccountName
from spotisync.web.paths import redirect
from spotisync.web.security.csrf import RequireCsrfToken
from spotisync.web.security.encrypted_cookie import EncryptedCookie
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

NOTICE_COOKIE: Final = EncryptedCookie("spotisync_budget_notice", "/budget", 120)
DURATIONS: Final = {"30m": "30 minutes", "2h": "2 hours", "6h": "6 hours", "1d": "24 hours"}


@router.get("/budget")
def show_budget(
    request: Request, connection: ConnectionDep, context: ContextDep, account: AccountName = None
) -> Response:
    notice: dict[str, Any] = NOTICE_COOKIE.get(request) or {}
    chosen = accounts.find_name(connection, account)
    document = budget.read_document(connection, context.settings, chosen)
    owned = [each["developer"] for each in document["developers"] if not each["is_default"]]
    response = render_page(
        request,
        "budget.html",
        document=document,
        developers=document["developers"],
        hidden=document["more_developers"],
        names=accounts.find_owners(connection, owned),
        account=chosen,
        charts=charts,
        durations=DURATIONS,
        notice=notice.get("text"),
        level=notice.get("level"),
    )
    if notice:
        NOTICE_COOKIE.delete(request, response)
    return response


@router.post("/budget/block", dependencies=[RequireCsrfToken])
def block(
    request: Request,
    context: ContextDep,
    family: Annotated[LimitedFamily, Form()],
    duration: Annotated[str, Form(alias="for", max_length=20)],
    owner: Annotated[str, Form(max_length=200)] = "",
    account: AccountName = None,
) -> Response:
    """`owner`: an account whose own app is meant; empty: the default app."""
    try:
        cooldowns.block(context, family, parse_duration(duration), owner or None)
    except (Fatal, ValueError) as error:
        return _redirect(request, account, as_sentence(error), "bad")
    return _redirect(request, account, f"{budget.LABELS.get(family, 'All requests')}: blocked by hand.", "good")


@router.post("/budget/clear", dependencies=[RequireCsrfToken])
def clear(
    request: Request,
    context: ContextDep,
    family: Annotated[LimitedFamily, Form()],
    owner: Annotated[str, Form(max_length=200)] = "",
    account: AccountName = None,
) -> Response:
    try:
        cleared = cooldowns.clear(context, family, owner or None)
    except Fatal as error:
        return _redirect(request, account, as_sentence(error), "bad")
    if not cleared:
        return _redirect(request, account, "The block is over already.", "good")
    return _redirect(request, account, "The block is cleared. Waiting runs resume within seconds.", "good")


def _redirect(request: Request, account: str | None, text: str, level: str) -> Response:
    """Return to the page, which shows the notice once."""
    response = redirect(request, f"/budget?{urlencode({'account': account})}" if account else "/budget")
    NOTICE_COOKIE.set(request, response, {"text": text, "level": level})
    return response
