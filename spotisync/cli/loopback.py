"""A web server for one answer: what Spotify sends the browser back with."""

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

THANKS = "That was all", "spotisync has Spotify's answer. You can close this page, and look at the terminal."
FOREIGN = (
    "Not this one",
    "This answer belongs to another attempt to log in. The newest page of Spotify is the right one.",
)
PAGE = "/accounts"
NOTHING = "Nothing here", "This waits for Spotify's answer, and for nothing else."


class PageHoldsPort(Exception):
    """The port is taken by spotisync's own page, which can take the answer itself. `url` is its list of accounts."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class LoopbackServer(ThreadingTCPServer):
    """Listens from the start, so that its port is known; answers while in a `with` block."""

    allow_reuse_address = True
    daemon_threads = True  # a browser may open a connection ahead, and leave it open

    def __init__(self, redirect: "RedirectUri", port: int | None) -> None:
        """`port` in place of the redirect URI's own; where neither names one, any that is free.

        Raises `PageIsThere` where the page listens already.
        """
        wanted = port or redirect.port or 0
        self.address_family = socket.AF_INET6 if ":" in redirect.host else socket.AF_INET
        self.path = redirect.path or "/"
        self.state = ""
        self.answers: SimpleQueue[str] = SimpleQueue()
        try:
            super().__init__((redirect.host, wanted), _Page)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _is_our_page(redirect, wanted):
                raise PageHoldsPort(redirect.with_port(wanted).removesuffix(redirect.path) + PAGE) from None
            raise Misconfigured(
                f"can't wait for Spotify's answer on {redirect.host}, port {wanted} ({error.strerror}). If another "
                f"program has that port: {oauth.LOGIN} --no-browser, which needs none; or --port with one that "
                f"your app at {oauth.DASHBOARD} lists"
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
        """The address that the browser was sent to, with everything in it; None if none came in time."""
        try:
            return self.answers.get(timeout=seconds)
        except Empty:
            return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nobody's error."""


def _is_our_page(redirect: "RedirectUri", port: int) -> bool:
    """Whether it answers there as it does when there is no login to answer to: it leads to the list of accounts."""
    connection = http.client.HTTPConnection(redirect.host, port, timeout=2)
    try:
        connection.request("GET", redirect.path)
        answer = connection.getresponse()
        return answer.status == HTTPStatus.SEE_OTHER and answer.headers.get("Location") == PAGE
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Page(BaseHTTPRequestHandler):
    server: LoopbackServer
    timeout = 10

    def do_GET(self) -> None:
        if urlsplit(self.path).path != self.server.path:
            self._show(HTTPStatus.NOT_FOUND, *NOTHING)
        elif not oauth.has_state(self.path, self.server.state):
            self._show(HTTPStatus.BAD_REQUEST, *FOREIGN)
        else:
            self._show(HTTPStatus.OK, *THANKS)
            self.server.answers.put(self.path)

    def _show(self, status: HTTPStatus, title: str, words: str) -> None:
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        page = f"{head}<p>{escape(words)}</html>".encode()
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(page)),
            "Content-Security-Policy": "default-src 'none'",
            "Referrer-Policy": "no-referrer",  # its address holds the code
            "Cache-Control": "no-store",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Nothing: the first line of a request holds the code."""
