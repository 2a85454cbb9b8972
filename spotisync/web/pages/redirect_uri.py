"""Can the page here hear Spotify's answer to a login? It comes to the redirect URI, whatever the page was opened as."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from spotisync.core import oauth
from spotisync.errors import Misconfigured
from spotisync.settings import Settings

CALLBACK: Final = "/accounts/callback"


@dataclass(frozen=True)
class RedirectTarget:
    """Either the address that Spotify is to be told, or why it can't be this page, and perhaps the one that can."""

    uri: str | None
    words: str | None = None
    elsewhere: str | None = None


def find_redirect_target(settings: Settings, host: str) -> RedirectTarget:
    """`host` is the name and port that the page was opened with: the browser keeps cookies by it."""
    try:
        redirect = oauth.parse_redirect_uri(settings.redirect_uri)
        port = urlsplit(f"//{host}").port
    except (Misconfigured, ValueError) as error:
        return RedirectTarget(None, str(error))
    if redirect.path != CALLBACK:
        return RedirectTarget(
            None,
            f"Spotify answers to {redirect.with_port()}, which is not this page. Set SPOTIPY_REDIRECT_URI to an address that "
            f"ends with {CALLBACK}, there and in the settings of your app at {oauth.DASHBOARD}; or log in on the "
            f"command line: {oauth.LOGIN}",
        )
    # On a loopback address Spotify lets an app leave the port out, and takes any.
    uri = redirect.with_port(port if redirect.is_loopback and redirect.port is None else None)
    return RedirectTarget(uri) if urlsplit(uri).netloc == host else _elsewhere(uri, port)


def _elsewhere(uri: str, port: int | None) -> RedirectTarget:
    there = urlsplit(uri)
    page = f"{there.scheme}://{there.netloc}/accounts"
    if there.port == port:
        return RedirectTarget(None, f"Spotify answers to {there.netloc}, so an account is connected there.", page)
    return RedirectTarget(
        None,
        f"Spotify answers to {uri}, and this page was opened at another port. If it is not there too, set "
        f"SPOTIPY_REDIRECT_URI to this page's address with {CALLBACK}, there and in the settings of your app at "
        f"{oauth.DASHBOARD}.",
        page,
    )
