"""Requests that come through a proxy: who sent them, by which scheme, and below which path.

`X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Prefix` are read only in requests of a trusted proxy. After this
middleware the scope has the address and the scheme of the browser, and a path that begins with the root path, as
Starlette expects.
"""

from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from spotisync.settings import Settings, is_root_path

OWN: Final = frozenset(
    ("accounts", "albums", "api", "artists", "budget", "changes", "docs", "events", "fragments", "healthz", "library",
     "login", "logout", "metrics", "openapi.json", "playlists", "readyz", "runs", "static", "stats", "tracks",
     "vanished")
)  # fmt: skip
"""First segments of the paths of the routes."""


def install(app: FastAPI, settings: Settings) -> None:
    """Must be the last middleware that is added: the first one that a request reaches."""
    app.add_middleware(BehindProxy, root_path=settings.root_path, trusted_proxies=settings.trusted_proxies)


class BehindProxy:
    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: str) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted_proxies)  # type: ignore[arg-type]  # uvicorn has its own types
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # In place, because the handler of unexpected errors, which is outside, renders pages with links too.
            if self._root_path:
                path = _remove_root_path(scope["path"], self._root_path)
                scope.update(root_path=self._root_path, path=self._root_path + path)
            elif prefix := self._get_forwarded_prefix(scope):
                scope.update(root_path=prefix, path=prefix + scope["path"])
            scope["headers"] = _keep_first_scheme(scope["headers"])
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _get_forwarded_prefix(self, scope: Scope) -> str:
        """Return what the proxy has removed from the path: anything but a plain path is ignored.

        It is not removed here as well: a proxy may pass on the header of a client, who could then reach a path that the
        proxy refuses. Of several headers, the last one is the proxy's: Traefik adds its own to that of the client.
        """
        peer = scope["client"][0] if scope.get("client") else None
        given = Headers(scope=scope).getlist("X-Forwarded-Prefix")
        prefix = given[-1].strip().rstrip("/") if given and peer in self._app.trusted_hosts else ""
        return prefix if is_root_path(prefix) else ""


def _keep_first_scheme(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Behind several proxies the scheme can be a list, such as `https, http`, which uvicorn ignores.

    The first one is that of the browser.
    """
    schemes = b",".join(value for name, value in headers if name == b"x-forwarded-proto").split(b",")
    if len(schemes) == 1:
        return headers
    others = [each for each in headers if each[0] != b"x-forwarded-proto"]
    return [*others, (b"x-forwarded-proto", schemes[0].strip())]


def _remove_root_path(path: str, root_path: str) -> str:
    """Return the route's path, whether or not the proxy has removed the root path.

    If the root path begins like a route, only the proxy can have removed it, as `/library` would be ambiguous.
    """
    is_kept = f"{path}/".startswith(f"{root_path}/") and root_path.split("/")[1] not in OWN
    return (path.removeprefix(root_path) or "/") if is_kept else path
