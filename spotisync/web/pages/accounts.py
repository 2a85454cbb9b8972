"""The accounts page: connect, log in again, enable, disable, disconnect."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from spotisync.core import oauth
from spotisync.core.apps import App
from spotisync.errors import Fatal, Unavailable
from spotisync.spotify import LoginAttempt
from spotisync.status import MOST_ACCOUNTS
from spotisync.status.messages import list_rows
from spotisync.store import accounts, listings
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.sync import accounts as sync_accounts
from spotisync.sync.accounts import AppChoice
from spotisync.web.actions import ActionsDep, SyncActions, as_sentence
from spotisync.web.dependencies import ConnectionDep, ContextDep
from spotisync.web.pages.home import AccountName
from spotisync.web.pages.redirect_uri import CALLBACK, RedirectTarget, find_redirect_target
from spotisync.web.paths import get_root, redirect
from spotisync.web.security.csrf import RequireCsrfToken
from spotisync.web.security.encrypted_cookie import EncryptedCookie
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

# Long enough to read Spotify's page and to look up a password.
LOGIN_COOKIE: Final = EncryptedCookie("spotisync_login", CALLBACK, 900)
NOTICE_COOKIE: Final = EncryptedCookie("spotisync_notice", "/accounts", 120)
NO_LOGIN: Final = "This browser has not started a login in the last 15 minutes. Start again with the button below."
LOGIN_COMMAND: Final = re.compile(rf"{oauth.LOGIN}( --(account|client-id) [^\s;,]+)*")
MAX_NOTICE_LENGTH: Final = 900
AccountField = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True)
class AccountView:
    account: Account
    login: oauth.LoginState
    held: dict[str, int]
    """Rows by list, of removals that wait for a confirmation."""

    @property
    def badge(self) -> tuple[str, str, str]:
        """CSS class, icon and label."""
        match self.account.status:
            case "active":
                return "success", "success", "connected"
            case "needs_login":
                return "failed", "failed", "login required"
        return "pending", "pending", "disabled"

    @property
    def missing_permissions(self) -> list[str]:
        return [oauth.SCOPES[scope] for scope in self.login.missing]

    @property
    def held_rows(self) -> str:
        """As in: 97 saved tracks and 30 playlists."""
        return list_rows([{"name": name.replace("_", " "), "rows": rows} for name, rows in self.held.items()])

    @property
    def warning(self) -> str | None:
        return _point_to_button(self.login.warning) if self.login.warning else None


@router.get("/accounts")
def show_accounts(
    request: Request, connection: ConnectionDep, context: ContextDep, account: AccountName = None
) -> Response:
    """Of very many accounts only some, as on the front page; another one is named in the address."""
    notice = NOTICE_COOKIE.get(request) or {}
    chosen = accounts.find_name(connection, account)
    shown = _load_accounts(connection, chosen)
    response = render_page(
        request,
        "accounts.html",
        accounts=shown,
        chosen=chosen,
        more=accounts.count_accounts(connection) - len(shown),
        target=_find_redirect_target(request, context),
        dashboard=oauth.DASHBOARD,
        notice=notice.get("text"),
        level=notice.get("level"),
        connected=notice.get("connected"),
    )
    if notice:
        NOTICE_COOKIE.delete(request, response)
    return response


def _find_redirect_target(request: Request, context: Context) -> RedirectTarget:
    return find_redirect_target(context.settings, request.headers.get("host", ""), get_root(request.scope))


def _load_accounts(connection: Connection, chosen: str | None) -> list[AccountView]:
    found = [accounts.find_account(connection, chosen)] if chosen else accounts.list_first(connection, MOST_ACCOUNTS)
    ids = [each.id for each in found]
    logins = {each.account: each for each in accounts.list_login_states(connection, ids)}
    held = listings.list_held(connection)
    return [
        AccountView(each, logins[each.spotify_user_id], held.get(each.id, {}))
        for each in found
        if each.spotify_user_id in logins
    ]


# ---- login with Spotify ---------------------------------------------------------------------------------------------


@router.get("/accounts/connect")
def redirect_to_list(request: Request) -> Response:
    """For links and reloads: a login is started by the button, with POST."""
    return redirect(request, "/accounts")


def choose_app(
    context: ContextDep,
    client_id: AccountField = "",
    client_secret: AccountField = "",
    developer: AccountField = "",
    default_app: AccountField = "",
) -> AppChoice | None:
    """The app that the form names; None: it names none."""
    if default_app:
        return AppChoice()
    if not client_id.strip():
        return None
    return AppChoice(context.apps.name_app(client_id.strip(), client_secret.strip() or None, developer.strip() or None))


@router.post("/accounts/connect", dependencies=[RequireCsrfToken])
def connect(
    request: Request,
    context: ContextDep,
    choice: Annotated[AppChoice | None, Depends(choose_app)],
    only: AccountField = "",
) -> Response:
    """`only`: the account that has to log in again; the login of another account is refused."""
    target = _find_redirect_target(request, context)
    if target.uri is None:
        return redirect(request, "/accounts")
    try:
        attempt = sync_accounts.begin_login(context, target.uri, only or None, choice)
    except Fatal as error:
        return _redirect_with_error(request, error)
    response = RedirectResponse(attempt.url, 303)
    login = {
        "state": attempt.state,
        "verifier": attempt.verifier,
        "uri": target.uri,
        "only": only or None,
        "app": vars(attempt.app) if attempt.app else None,
        "changes_app": attempt.changes_app,
    }
    LOGIN_COOKIE.set(request, response, login)
    return response


@router.get(CALLBACK)
def callback(request: Request, context: ContextDep) -> Response:
    """Complete the login. Always redirects, because the URL of this request contains a code."""
    login = LOGIN_COOKIE.get(request)
    if login is None:
        response = _redirect_with_notice(request, NO_LOGIN)
    else:
        app = App(**login["app"]) if login["app"] else None
        attempt = LoginAttempt("", login["uri"], login["state"], login["verifier"], app, login["changes_app"])
        response = _complete_login(request, context, attempt, login["only"])
        LOGIN_COOKIE.delete(request, response)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _complete_login(request: Request, context: Context, attempt: LoginAttempt, only: str | None) -> Response:
    try:
        added = sync_accounts.complete_login(context, attempt, str(request.url), only)
    except (Fatal, Unavailable) as error:
        return _redirect_with_error(request, error)
    name = added.display_name or added.spotify_user_id
    return _redirect_with_notice(request, f"{name} is connected.", level="good", connected=added.spotify_user_id)


# ---- enable, disable, remove ----------------------------------------------------------------------------------------


@router.post("/accounts/enable", dependencies=[RequireCsrfToken])
def enable(request: Request, actions: ActionsDep, account: AccountField) -> Response:
    return _set_status(request, actions, account, "active", "{} is enabled and will be synced.")


@router.post("/accounts/disable", dependencies=[RequireCsrfToken])
def disable(request: Request, actions: ActionsDep, account: AccountField) -> Response:
    return _set_status(request, actions, account, "disabled", "{} is disabled and no longer synced. Its data is kept.")


def _set_status(request: Request, actions: SyncActions, account: str, status: str, message: str) -> Response:
    try:
        sync_accounts.set_status(actions.context, account, status)
    except Fatal as error:
        return _redirect_with_error(request, error)
    actions.request_sweep()
    return _redirect_with_notice(request, message.format(account), level="good")


@router.get("/accounts/remove")
def confirm_removal(
    request: Request, context: ContextDep, account: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    return _render_confirmation(request, context, account)


@router.post("/accounts/remove", dependencies=[RequireCsrfToken])
def remove(request: Request, actions: ActionsDep, account: AccountField, sure: AccountField = "") -> Response:
    if sure != "yes":
        return _render_confirmation(request, actions.context, account, unconfirmed=True)
    try:
        sync_accounts.remove(actions.context, account)
    except Fatal as error:
        return _redirect_with_error(request, error)
    actions.request_sweep()
    return _redirect_with_notice(request, f"{account} is disconnected and its data is deleted.", level="good")


def _render_confirmation(request: Request, context: Context, name: str, *, unconfirmed: bool = False) -> Response:
    """List what would be deleted."""
    try:
        with context.database.begin() as connection:
            account = accounts.find_account(connection, name)
            counts = accounts.count_rows(connection, account.id)
    except Fatal as error:
        return _redirect_with_error(request, error)
    values = {"account": account, "counts": counts, "unconfirmed": unconfirmed}
    return render_page(request, "accounts_remove.html", status_code=400 if unconfirmed else 200, **values)


# ---- notices --------------------------------------------------------------------------------------------------------


def _redirect_with_error(request: Request, error: Exception) -> Response:
    return _redirect_with_notice(request, _point_to_button(as_sentence(error)))


def _redirect_with_notice(request: Request, text: str, level: str = "bad", **more: Any) -> Response:
    """Return to the list, which shows the notice once."""
    response = redirect(request, "/accounts")
    NOTICE_COOKIE.set(request, response, {"text": text[:MAX_NOTICE_LENGTH], "level": level, **more})
    return response


def _point_to_button(text: str) -> str:
    """Replace the login command in a message by the button of this page."""
    return LOGIN_COMMAND.sub("use the button below", text)
