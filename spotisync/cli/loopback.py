"""A web server on loopback that receives one redirect from Spotify."""

import errno
import http.client
import socket
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from queue import Empty, SimpleQueue
from socketserver import ThreadingTCPServer
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from spotisync.core import oauth
from spotisync.errors import Misconfigured

if TYPE_CHECKING:
    from spotisync.core.oauth import RedirectUri

RECEIVED = "Received", "spotisync received Spotify's answer. You can close this page and return to the terminal."
OTHER_ATTEMPT = "Another attempt", "This redirect belongs to another login attempt. Use the latest Spotify page."
NOT_FOUND = "Not found", "This server only receives Spotify's redirect."
ACCOUNTS_PAGE = "/accounts"


class PageHoldsPort(Exception):
    """spotisync's web page listens on this port, and can handle the redirect. `url`: its accounts page."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class LoopbackServer(ThreadingTCPServer):
    """Listens from construction, so that its port is known; serves inside a `with` block."""

    allow_reuse_address = True
    daemon_threads = True  # browsers open connections in advance, and keep them open

    def __init__(self, redirect: "RedirectUri", port: int | None) -> None:
        """`port` overrides that of the redirect URI; without either, any free port is used.

        Raises `PageHoldsPort` if the web page listens on it.
        """
        wanted = port or redirect.port or 0
        self.address_family = socket.AF_INET6 if ":" in redirect.host else socket.AF_INET
        self.path = redirect.path or "/"
        self.state = ""
        self.redirects: SimpleQueue[str] = SimpleQueue()
        try:
            super().__init__((redirect.host, wanted), _Page)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _is_our_page(redirect, wanted):
                raise PageHoldsPort(redirect.with_port(wanted).removesuffix(redirect.path) + ACCOUNTS_PAGE) from None
            raise Misconfigured(
                f"can't listen on {redirect.host}, port {wanted} ({error.strerror}). If another program uses the "
                f"port: {oauth.LOGIN} --no-browser, which needs no port; or --port with one whose redirect URI is "
                f"listed by your app at {oauth.DASHBOARD}"
            ) from None
        self.port: int = self.server_address[1]
        self._thread = Thread(target=self.serve_forever, args=(0.05,), name="loopback", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def wait_for_redirect(self, seconds: float) -> str | None:
        """The path and query of the redirect, or None after a timeout."""
        try:
            return self.redirects.get(timeout=seconds)
        except Empty:
            return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a browser can close a connection at any time."""


def _is_our_page(redirect: "RedirectUri", port: int) -> bool:
    """Whether the page answers here: its callback redirects to the accounts page when no login is in progress."""
    connection = http.client.HTTPConnection(redirect.host, port, timeout=2)
    try:
        connection.request("GET", redirect.path)
        response = connection.getresponse()
        return response.status == HTTPStatus.SEE_OTHER and response.headers.get("Location") == ACCOUNTS_PAGE
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Page(BaseHTTPRequestHandler):
    server: LoopbackServer
    timeout = 10

    def do_GET(self) -> None:
        if urlsplit(self.path).path != self.server.path:
            self._send(HTTPStatus.NOT_FOUND, *NOT_FOUND)
        elif not oauth.has_state(self.path, self.server.state):
            self._send(HTTPStatus.BAD_REQUEST, *OTHER_ATTEMPT)
        else:
            self._send(HTTPStatus.OK, *RECEIVED)
            self.server.redirects.put(self.path)

    def _send(self, status: HTTPStatus, title: str, text: str) -> None:
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        page = f"{head}<p>{escape(text)}</html>".encode()
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(page)),
            "Content-Security-Policy": "default-src 'none'",
            "Referrer-Policy": "no-referrer",  # the URL contains the code
            "Cache-Control": "no-store",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the request line contains the code."""
