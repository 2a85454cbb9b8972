"""Accounts: connect, log in again, disconnect, delete."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from spotisync.core import consent
from spotisync.errors import Fatal, Unavailable
from spotisync.spotify import Attempt
from spotisync.store import accounts, belongings
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.sync import Sync, enrol
from spotisync.web import csrf
from spotisync.web.acts import Acting, Acts
from spotisync.web.pocket import Pocket
from spotisync.web.returning import CALLBACK, returning
from spotisync.web.shared import Looking, Using, page

router = APIRouter(include_in_schema=False)

# A person reads Spotify's page, and may have to find their password first.
ATTEMPT: Final = Pocket("spotisync_login", CALLBACK, 900)
SAID: Final = Pocket("spotisync_said", "/accounts", 120)
NO_ATTEMPT: Final = (
    "Spotify's answer belongs to no login that this browser has begun in the last quarter of an hour. Begin again: "
    "the button below."
)
LONGEST: Final = 900
Name = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True)
class Shown:
    account: Account
    standing: consent.Standing

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
        return [consent.SCOPES[scope] for scope in self.standing.missing]

    @property
    def warning(self) -> str | None:
        return _here(self.standing.warning) if self.standing.warning else None


@router.get("/accounts")
def every(request: Request, connection: Looking, sync: Using) -> Response:
    said = SAID.take(request, sync.vault) or {}
    shown = page(
        request,
        "accounts.html",
        accounts=_shown(connection),
        returning=returning(sync.settings, request.headers.get("host", "")),
        said=said.get("words"),
        look=said.get("look"),
        connected=said.get("connected"),
    )
    if said:
        SAID.empty(shown)
    return shown


def _shown(connection: Connection) -> list[Shown]:
    standing = {each.account: each for each in accounts.standing(connection)}
    found = accounts.every(connection)
    return [Shown(each, standing[each.spotify_user_id]) for each in found if each.spotify_user_id in standing]


# ---- to Spotify and back --------------------------------------------------------------------------------------------


@router.get("/accounts/connect")
def where_to_connect() -> Response:
    """For a link or a reload: a login begins with the button."""
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/connect", dependencies=[csrf.FromThePage])
def connect(request: Request, sync: Using, only: Name = "") -> Response:
    """`only`: the account that logs in again; nobody else is let in."""
    here = returning(sync.settings, request.headers.get("host", ""))
    if here.uri is None:
        return RedirectResponse("/accounts", 303)
    try:
        attempt = enrol.begin(sync, here.uri, only or None)
    except Fatal as error:
        return _said(request, sync, _here(str(error)))
    response = RedirectResponse(attempt.url, 303)
    kept = {"state": attempt.state, "verifier": attempt.verifier, "uri": here.uri, "only": only or None}
    ATTEMPT.put(request, response, sync.vault, kept)
    return response


@router.get(CALLBACK)
def back(request: Request, sync: Using) -> Response:
    """Spotify's answer. Its address holds a code, so the browser is sent on at once."""
    kept = ATTEMPT.take(request, sync.vault)
    if kept is None:
        response = _said(request, sync, NO_ATTEMPT)
    else:
        response = _completed(request, sync, Attempt("", kept["uri"], kept["state"], kept["verifier"]), kept["only"])
        ATTEMPT.empty(response)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _completed(request: Request, sync: Sync, attempt: Attempt, only: str | None) -> Response:
    try:
        added = enrol.complete(sync, attempt, str(request.url), only)
    except (Fatal, Unavailable) as error:
        return _said(request, sync, _here(str(error)))
    who = added.display_name or added.spotify_user_id
    return _said(request, sync, f"{who} is connected.", look="good", connected=added.spotify_user_id)


# ---- on, off, gone --------------------------------------------------------------------------------------------------


@router.post("/accounts/enable", dependencies=[csrf.FromThePage])
def enable(request: Request, acts: Acting, account: Name) -> Response:
    return _switched(request, acts, account, "active", "{} is synced again.")


@router.post("/accounts/disable", dependencies=[csrf.FromThePage])
def disable(request: Request, acts: Acting, account: Name) -> Response:
    words = "{} is switched off: nothing of it is read any more. What is stored stays."
    return _switched(request, acts, account, "disabled", words)


def _switched(request: Request, acts: Acts, account: str, status: str, words: str) -> Response:
    try:
        enrol.set_status(acts.sync, account, status)
    except Fatal as error:
        return _said(request, acts.sync, _here(str(error)))
    acts.sweep_soon()
    return _said(request, acts.sync, words.format(account), look="good")


@router.get("/accounts/remove")
def ask(request: Request, sync: Using, account: Annotated[str, Query(max_length=200)] = "") -> Response:
    return _asked(request, sync, account)


@router.post("/accounts/remove", dependencies=[csrf.FromThePage])
def remove(request: Request, sync: Using, acts: Acting, account: Name, sure: Name = "") -> Response:
    if sure != "yes":
        return _asked(request, sync, account, unsure=True)
    try:
        enrol.remove(sync, account)
    except Fatal as error:
        return _said(request, sync, _here(str(error)))
    acts.sweep_soon()
    return _said(request, sync, f"{account} is disconnected, and what was stored of it is deleted.", look="good")


def _asked(request: Request, sync: Sync, name: str, *, unsure: bool = False) -> Response:
    """The second step: what would be deleted, by name and number."""
    try:
        with sync.database.begin() as connection:
            found = accounts.named(connection, name)
            counts = belongings.count(connection, found.id)
    except Fatal as error:
        return _said(request, sync, _here(str(error)))
    status = 400 if unsure else 200
    return page(request, "accounts_remove.html", status_code=status, account=found, counts=counts, unsure=unsure)


# ---- words ----------------------------------------------------------------------------------------------------------


def _said(request: Request, sync: Sync, words: str, look: str = "bad", **more: Any) -> Response:
    """Back to the list, which says so once."""
    response = RedirectResponse("/accounts", 303)
    SAID.put(request, response, sync.vault, {"words": words[:1].upper() + words[1:LONGEST], "look": look, **more})
    return response


def _here(words: str) -> str:
    """The cure, as it is done on this page."""
    return words.replace(consent.LOGIN, "the button below")
