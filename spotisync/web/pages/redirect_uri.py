"""Check whether Spotify's redirect after a login reaches this page.

Spotify redirects to the configured URI, which may differ from the address under which the page was opened.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from spotisync.core import oauth
from spotisync.errors import Misconfigured
from spotisync.settings import Settings

CALLBACK: Final = "/accounts/callback"


@dataclass(frozen=True)
class RedirectTarget:
    """The redirect URI for Spotify; or a message why this page can't receive it, and the URL of the page that can."""

    uri: str | None
    message: str | None = None
    other_page: str | None = None


def find_redirect_target(settings: Settings, host: str, root: str = "") -> RedirectTarget:
    """`host`, `root`: name, port and root path under which the page was opened. The login's cookie is bound to them."""
    callback = root + CALLBACK
    try:
        redirect = oauth.parse_redirect_uri(settings.redirect_uri)
        port = urlsplit(f"//{host}").port
    except (Misconfigured, ValueError) as error:
        return RedirectTarget(None, str(error))
    if redirect.path != callback:
        return RedirectTarget(
            None,
            f"Spotify redirects to {redirect.with_port()}, which is not this page. Set SPOTIPY_REDIRECT_URI, and the "
            f"redirect URI of your app at {oauth.DASHBOARD}, to an address that ends with {callback}; or log in on the "
            f"command line: {oauth.LOGIN}",
        )
    # For a loopback address without a port, Spotify accepts any port.
    uri = redirect.with_port(port if redirect.is_loopback and redirect.port is None else None)
    return RedirectTarget(uri) if urlsplit(uri).netloc == host else _find_other_page(uri, port, root)


def _find_other_page(uri: str, port: int | None, root: str) -> RedirectTarget:
    target = urlsplit(uri)
    page = f"{target.scheme}://{target.netloc}{root}/accounts"
    if target.port == port:
        return RedirectTarget(None, f"Spotify redirects to {target.netloc}. Connect accounts on that page.", page)
    return RedirectTarget(
        None,
        f"Spotify redirects to {uri}, but this page was opened at another port. If the page is not available there, "
        f"set SPOTIPY_REDIRECT_URI, and the redirect URI of your app at {oauth.DASHBOARD}, to this page's address with "
        f"the path {root}{CALLBACK}.",
        page,
    )
