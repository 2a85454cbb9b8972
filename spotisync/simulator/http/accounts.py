"""The accounts service: /authorize and /api/token."""

from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from spotisync.simulator.http.logins import Logins, find_client
from spotisync.simulator.http.request import Refusal, Reply
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.world import World

COOKIE = "simulated_user"
CANCEL = "nobody"  # the value of `as` that cancels the login


class AccountsApi:
    def __init__(self, world: World, settings: SimulatorSettings, logins: Logins) -> None:
        self._world, self._settings, self._logins = world, settings, logins

    async def answer(self, request: web.BaseRequest) -> Reply:
        match request.method, request.path.rstrip("/"):
            case "POST", "/api/token":
                return self._logins.token(await _read_form(request), request.headers.get("Authorization"))
            case "GET", "/authorize":
                return self._authorize(dict(request.query), request.cookies.get(COOKIE, ""))
        return Reply(404, "Not found", content_type="text/plain")

    def _authorize(self, query: Mapping[str, str], cookie: str) -> Reply:
        """Show the login page, or redirect at once if `as`, a setting or the cookie names the account.

        A browser that has consented before (its cookie names the account) is asked again only with `show_dialog`.
        """
        self._check(query)
        dialog = query.get("show_dialog") == "true"
        if self._settings.login == "deny" or query.get("as") == CANCEL:
            return _redirect(query, {"error": "access_denied"})
        if query.get("as"):
            return self._redirect_with_code(query, query["as"])
        if self._settings.login == "allow" or self._settings.login_account:
            return self._redirect_with_code(query, self._settings.login_account or self._world.first.id)
        if not dialog and self._logins.has_consented(cookie, query):
            return self._redirect_with_code(query, cookie)
        return Reply(200, self._page(query), content_type="text/html")

    def _check(self, query: Mapping[str, str]) -> None:
        if query.get("response_type") != "code" or not query.get("client_id"):
            raise _bad_request("response_type must be code, client_id must be given")
        if self._settings.client_id not in ("", query["client_id"]):
            raise _bad_request("INVALID_CLIENT: Invalid client")
        _check_redirect_uri(query.get("redirect_uri", ""), self._settings.redirect_uri)
        if query.get("code_challenge_method", "S256") != "S256":
            raise _bad_request("code_challenge_method must be S256")

    def _redirect_with_code(self, query: Mapping[str, str], account: str) -> Reply:
        if account not in self._world.accounts:
            raise _bad_request(f"unknown account {account}")
        return _redirect(query, {"code": self._logins.issue_code(account, query)}, account)

    def _page(self, query: Mapping[str, str]) -> str:
        scopes = "".join(f"<li>{escape(scope)}</li>" for scope in query.get("scope", "").split())
        people = "".join(
            f'<p><a id="{escape(each.id)}" href="{_link(query, each.id)}">Agree as {escape(each.display_name)} '
            f"({escape(each.id)})</a></p>"
            for each in self._world.accounts.values()
        )
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Simulated Spotify</title>"
            f"<h1>{escape(query['client_id'])} asks for</h1><ul>{scopes}</ul>{people}"
            f'<p><a id="cancel" href="{_link(query, CANCEL)}">Cancel</a></p></html>'
        )


async def find_caller(request: web.BaseRequest) -> str | None:
    """Return the client id of a request for a token or a login."""
    if request.method == "POST":
        return find_client(await _read_form(request), request.headers.get("Authorization"))[0] or None
    return request.query.get("client_id")


async def _read_form(request: web.BaseRequest) -> dict[str, str]:
    return dict(parse_qsl(await request.text(), keep_blank_values=True))


def _link(query: Mapping[str, str], answer: str) -> str:
    return escape("/authorize?" + urlencode({**query, "as": answer}))


def _redirect(query: Mapping[str, str], parameters: dict[str, str], account: str | None = None) -> Reply:
    """Redirect the browser to the app, with a cookie that names the account."""
    redirect = query["redirect_uri"]
    if "state" in query:
        parameters["state"] = query["state"]
    headers = {"Location": f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(parameters)}"}
    if account is not None:
        headers["Set-Cookie"] = f"{COOKIE}={account}; HttpOnly; SameSite=Lax; Path=/authorize"
    return Reply(302, "", headers, "text/plain")


def _check_redirect_uri(given: str, registered: str) -> None:
    try:
        uri = urlsplit(given)
        port = uri.port
    except ValueError:
        raise _bad_request("INVALID_CLIENT: Invalid redirect URI") from None
    if not uri.netloc:
        raise _bad_request("INVALID_CLIENT: Invalid redirect URI")
    loopback = uri.hostname in ("127.0.0.1", "::1")
    if uri.scheme != "https" and not loopback:
        raise _bad_request("INVALID_CLIENT: Insecure redirect URI")
    # On loopback, a registered URI without a port matches every port.
    without_port = uri._replace(netloc=uri.netloc.removesuffix(f":{port}")).geturl() if loopback else given
    if registered not in ("", given, without_port):
        raise _bad_request("INVALID_CLIENT: Invalid redirect URI")


def _bad_request(message: str) -> Refusal:
    return Refusal(Reply(400, message, content_type="text/plain"))
