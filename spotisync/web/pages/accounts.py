"""Accounts: connect, log in again, disconnect, delete."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from spotisync.core import oauth
from spotisync.errors import Fatal, Unavailable
from spotisync.spotify import LoginAttempt
from spotisync.store import accounts
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.sync import accounts as enrol
from spotisync.web.actions import Acting, SyncActions
from spotisync.web.dependencies import Looking, Using, page
from spotisync.web.pages.redirect_uri import CALLBACK, find_redirect_target
from spotisync.web.security import csrf
from spotisync.web.security.encrypted_cookie import EncryptedCookie

router = APIRouter(include_in_schema=False)

# A person reads Spotify's page, and may have to find their password first.
ATTEMPT: Final = EncryptedCookie("spotisync_login", CALLBACK, 900)
SAID: Final = EncryptedCookie("spotisync_said", "/accounts", 120)
NO_ATTEMPT: Final = (
    "Spotify's answer belongs to no login that this browser has begun in the last quarter of an hour. Begin again: "
    "the button below."
)
LONGEST: Final = 900
Name = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True)
class AccountView:
    account: Account
    standing: oauth.LoginState

    @property
    def look(self) -> tuple[str, str, str]:
        """The colour of a status, an icon, words."""
        match self.account.status:
            case "active":
                return "success", "success", "connected"
            case "needs_login":
                return "failed", "failed", "has to log in again"
        return "pending", "pending", "switched off"

    @property
    def lacks(self) -> list[str]:
        return [oauth.SCOPES[scope] for scope in self.standing.missing]

    @property
    def warning(self) -> str | None:
        return _here(self.standing.warning) if self.standing.warning else None


@router.get("/accounts")
def list_page(request: Request, connection: Looking, context: Using) -> Response:
    said = SAID.take(request, context.vault) or {}
    shown = page(
        request,
        "accounts.html",
        accounts=_shown(connection),
        returning=find_redirect_target(context.settings, request.headers.get("host", "")),
        said=said.get("words"),
        look=said.get("look"),
        connected=said.get("connected"),
    )
    if said:
        SAID.empty(shown)
    return shown


def _shown(connection: Connection) -> list[AccountView]:
    standing = {each.account: each for each in accounts.login_states(connection)}
    found = accounts.list_accounts(connection)
    return [AccountView(each, standing[each.spotify_user_id]) for each in found if each.spotify_user_id in standing]


# ---- to Spotify and back --------------------------------------------------------------------------------------------


@router.get("/accounts/connect")
def redirect_to_list() -> Response:
    """For a link or a reload: a login begins with the button."""
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/connect", dependencies=[csrf.FromThePage])
def connect(request: Request, context: Using, only: Name = "") -> Response:
    """`only`: the account that logs in again; nobody else is let in."""
    here = find_redirect_target(context.settings, request.headers.get("host", ""))
    if here.uri is None:
        return RedirectResponse("/accounts", 303)
    try:
        attempt = enrol.begin_login(context, here.uri, only or None)
    except Fatal as error:
        return _said(request, context, _here(str(error)))
    response = RedirectResponse(attempt.url, 303)
    kept = {"state": attempt.state, "verifier": attempt.verifier, "uri": here.uri, "only": only or None}
    ATTEMPT.put(request, response, context.vault, kept)
    return response


@router.get(CALLBACK)
def callback(request: Request, context: Using) -> Response:
    """Spotify's answer. Its address holds a code, so the browser is sent on at once."""
    kept = ATTEMPT.take(request, context.vault)
    if kept is None:
        response = _said(request, context, NO_ATTEMPT)
    else:
        response = _completed(
            request, context, LoginAttempt("", kept["uri"], kept["state"], kept["verifier"]), kept["only"]
        )
        ATTEMPT.empty(response)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _completed(request: Request, context: Context, attempt: LoginAttempt, only: str | None) -> Response:
    try:
        added = enrol.complete_login(context, attempt, str(request.url), only)
    except (Fatal, Unavailable) as error:
        return _said(request, context, _here(str(error)))
    who = added.display_name or added.spotify_user_id
    return _said(request, context, f"{who} is connected.", look="good", connected=added.spotify_user_id)


# ---- on, off, gone --------------------------------------------------------------------------------------------------


@router.post("/accounts/enable", dependencies=[csrf.FromThePage])
def enable(request: Request, acts: Acting, account: Name) -> Response:
    return _switched(request, acts, account, "active", "{} is synced again.")


@router.post("/accounts/disable", dependencies=[csrf.FromThePage])
def disable(request: Request, acts: Acting, account: Name) -> Response:
    words = "{} is switched off: nothing of it is read any more. What is stored stays."
    return _switched(request, acts, account, "disabled", words)


def _switched(request: Request, acts: SyncActions, account: str, status: str, words: str) -> Response:
    try:
        enrol.set_status(acts.sync, account, status)
    except Fatal as error:
        return _said(request, acts.sync, _here(str(error)))
    acts.sweep_soon()
    return _said(request, acts.sync, words.format(account), look="good")


@router.get("/accounts/remove")
def confirm_removal(request: Request, context: Using, account: Annotated[str, Query(max_length=200)] = "") -> Response:
    return _asked(request, context, account)


@router.post("/accounts/remove", dependencies=[csrf.FromThePage])
def remove(request: Request, context: Using, acts: Acting, account: Name, sure: Name = "") -> Response:
    if sure != "yes":
        return _asked(request, context, account, unsure=True)
    try:
        enrol.remove(context, account)
    except Fatal as error:
        return _said(request, context, _here(str(error)))
    acts.sweep_soon()
    return _said(request, context, f"{account} is disconnected, and what was stored of it is deleted.", look="good")


def _asked(request: Request, context: Context, name: str, *, unsure: bool = False) -> Response:
    """The second step: what would be deleted, by name and number."""
    try:
        with context.database.begin() as connection:
            found = accounts.find_account(connection, name)
            counts = accounts.count_rows(connection, found.id)
    except Fatal as error:
        return _said(request, context, _here(str(error)))
    status = 400 if unsure else 200
    return page(request, "accounts_remove.html", status_code=status, account=found, counts=counts, unsure=unsure)


# ---- words ----------------------------------------------------------------------------------------------------------


def _said(request: Request, context: Context, words: str, look: str = "bad", **more: Any) -> Response:
    """Back to the list, which says so once."""
    response = RedirectResponse("/accounts", 303)
    SAID.put(request, response, context.vault, {"words": words[:1].upper() + words[1:LONGEST], "look": look, **more})
    return response


def _here(words: str) -> str:
    """The cure, as it is done on this page."""
    return words.replace(oauth.LOGIN, "the button below")
