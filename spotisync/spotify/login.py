"""Spotify's accounts service: refresh tokens to access tokens."""

from dataclasses import dataclass
from typing import Any

from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyOAuth, SpotifyPKCE

from spotisync.errors import Fatal, Refused, Transient
from spotisync.spotify import http


@dataclass(frozen=True)
class Grant:
    """What the token endpoint gave. `refresh_token` is None when the old one stays good."""

    access_token: str
    expires_in: int
    refresh_token: str | None


class Login:
    """The accounts service for one app: with a secret by Basic auth, without one by PKCE."""

    def __init__(self, accounts_url: str, client_id: str, client_secret: str | None, redirect_uri: str) -> None:
        self._accounts_url = accounts_url
        self._app: dict[str, Any] = {"client_id": client_id, "redirect_uri": redirect_uri}
        if client_secret:
            self._app["client_secret"] = client_secret

    def refresh(self, refresh_token: str, timeout: float = 15) -> Grant:
        """Raises NeedsLogin when the token is refused for good, Fatal when the app is, Transient for the rest."""
        session = http.session(http.check_accounts)
        kind = SpotifyOAuth if "client_secret" in self._app else SpotifyPKCE
        oauth = kind(
            **self._app,
            requests_session=session,
            requests_timeout=timeout,
            open_browser=False,
            cache_handler=MemoryCacheHandler(),
        )
        oauth.OAUTH_TOKEN_URL = f"{self._accounts_url}/api/token"
        try:
            with http.transient():
                return _grant(oauth.refresh_access_token(refresh_token), refresh_token)
        except Refused as refused:
            raise Fatal(
                f"Spotify refuses this app ({refused.message}); check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
            ) from None
        except (KeyError, TypeError, ValueError):
            raise Transient("Spotify's login sent an unreadable answer") from None


def _grant(found: Any, refresh_token: str) -> Grant:
    access_token, rotated = found["access_token"], found["refresh_token"]
    if not isinstance(access_token, str) or not access_token:
        raise ValueError("no access token")
    if not isinstance(rotated, str) or rotated in {"", refresh_token}:
        rotated = None
    return Grant(access_token, int(found["expires_in"]), rotated)
