"""The accounts service over HTTP: /authorize and /api/token."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from spotisync.simulator.ask import Refusal, Reply
from spotisync.simulator.logins import Logins
from spotisync.simulator.settings import Settings
from spotisync.simulator.world import World


class Accounts:
    def __init__(self, world: World, settings: Settings, logins: Logins) -> None:
        self._world, self._settings, self._logins = world, settings, logins

    async def answer(self, request: web.BaseRequest) -> Reply:
        match request.method, request.path.rstrip("/"):
            case "POST", "/api/token":
                form = dict(parse_qsl(await request.text(), keep_blank_values=True))
                return self._logins.token(form, request.headers.get("Authorization"))
            case "GET", "/authorize":
                return self._authorize(dict(request.query))
        return Reply(404, "Not found", content_type="text/plain")

    def _authorize(self, query: Mapping[str, str]) -> Reply:
        """Approve, or refuse when so set, without asking a person: send the browser back with code and state."""
        redirect = _redirect_uri(query)
        if self._settings.client_id not in ("", query.get("client_id")):
            raise _bad("INVALID_CLIENT: Invalid client")
        answer = {"error": "access_denied"} if self._settings.login == "deny" else {"code": self._code(query)}
        if "state" in query:
            answer["state"] = query["state"]
        separator = "&" if "?" in redirect else "?"
        return Reply(302, "", {"Location": f"{redirect}{separator}{urlencode(answer)}"}, "text/plain")

    def _code(self, query: Mapping[str, str]) -> str:
        account = query.get("account") or self._settings.login_account or self._world.first.id
        if account not in self._world.accounts:
            raise _bad(f"there is no account {account}")
        return self._logins.code(account, query)


def _redirect_uri(query: Mapping[str, str]) -> str:
    if query.get("response_type") != "code" or not query.get("client_id"):
        raise _bad("response_type must be code, client_id must be given")
    uri = urlsplit(query.get("redirect_uri", ""))
    if not uri.netloc:
        raise _bad("INVALID_CLIENT: Invalid redirect URI")
    if uri.scheme != "https" and uri.hostname not in ("127.0.0.1", "::1"):
        raise _bad("INVALID_CLIENT: Insecure redirect URI")
    return uri.geturl()


def _bad(message: str) -> Refusal:
    return Refusal(Reply(400, message, content_type="text/plain"))
