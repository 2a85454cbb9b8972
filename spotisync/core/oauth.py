"""What a person lets us read, the way back from Spotify's page, and how long a login lasts."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from spotisync.errors import Misconfigured, NeedsLogin

LOGIN = "spotisync login"
DASHBOARD = "https://developer.spotify.com/dashboard"

# ---- scopes ---------------------------------------------------------------------------------------------------------

# The fewest that there are for what is read, and what each of them is for.
SCOPES = {
    "user-library-read": "saved tracks and albums",
    "playlist-read-private": "playlists",
    "playlist-read-collaborative": "collaborative playlists",
    "user-follow-read": "followed artists",
    "user-read-recently-played": "plays",
}
_SCOPE_OF_PATH = {
    "/me/tracks": "user-library-read",
    "/me/albums": "user-library-read",
    "/me/following": "user-follow-read",
    "/me/player/recently-played": "user-read-recently-played",
    "/me/playlists": "playlist-read-private",
    "/playlists/": "playlist-read-private",
}


def is_scope_error(words: str) -> bool:
    """Whether a 403 means that the login lacks a scope."""
    return "client scope" in words.lower()


def missing_scope_message(path: str) -> str:
    """Which scope a call to this path lacks, and the cure."""
    scope = next((scope for part, scope in _SCOPE_OF_PATH.items() if part in path), None)
    if scope is None:
        return f"this login lacks a permission (scope) that {path} needs; log in again: {LOGIN}"
    return f"this login lacks the scope {scope}, needed to read {SCOPES[scope]}; log in again: {LOGIN}"


def missing_scopes(granted: str | None) -> tuple[str, ...]:
    """Those of our scopes that were not granted; none while what was granted is unknown."""
    return () if granted is None else tuple(scope for scope in SCOPES if scope not in granted.split())


# ---- the way back ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedirectUri:
    """Where Spotify sends the browser with its answer."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def is_loopback(self) -> bool:
        return self.scheme == "http"

    def with_port(self, port: int | None = None) -> str:
        """As Spotify is told it; `port` in place of its own."""
        port = self.port if port is None else port
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if port is None else f':{port}'}{self.path}"


def parse_redirect_uri(uri: str) -> RedirectUri:
    """SPOTIPY_REDIRECT_URI, if Spotify takes such a one: http on a loopback address, or https. Else the cure."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _bad(uri, "is no address") from None
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or port == 0
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise _bad(uri, "is no address to come back to")
    if parts.scheme == "http" and host == "localhost":
        raise _bad(uri, "says localhost, which Spotify does not accept any more")
    if parts.scheme == "http" and not _is_loopback(host):
        raise _bad(uri, "is plain http to another machine, which Spotify does not accept")
    return RedirectUri(parts.scheme, host, port, parts.path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _bad(uri: str, why: str) -> Misconfigured:
    return Misconfigured(
        f"SPOTIPY_REDIRECT_URI {why}: {uri}\nSet it to http://127.0.0.1:8420/accounts/callback, there and in the "
        f"settings of your app at {DASHBOARD}"
    )


def has_state(url: str, state: str) -> bool:
    """Whether this address came back from the attempt that has this state."""
    return hmac.compare_digest(_answer(url).get("state", "").encode(errors="replace"), state.encode())


def authorization_code(url: str) -> str:
    """The code that Spotify has put into the address it sent the browser to. Raises `NeedsLogin` in words."""
    answer = _answer(url)
    match answer.get("error"):
        case None:
            pass
        case "access_denied":
            raise NeedsLogin(f"Spotify was told not to let spotisync read this account; to try again: {LOGIN}")
        case error:
            raise NeedsLogin(f"Spotify ended this login ({error[:100]!r}); to try again: {LOGIN}")
    if not answer.get("code"):
        raise NeedsLogin(f"Spotify's answer holds no code; to try again: {LOGIN}")
    return answer["code"]


def _answer(url: str) -> dict[str, str]:
    try:
        query = urlsplit(url.strip()).query
    except ValueError:
        return {}
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True, errors="replace").items()}


# ---- refusals -------------------------------------------------------------------------------------------------------


def rejected_code_message(words: str, redirect_uri: str) -> str:
    """What to do when the token endpoint does not take a code (`invalid_grant`)."""
    if "redirect" in words.lower():
        return f"Spotify does not take the redirect URI; {unregistered_redirect_message(redirect_uri)}. Then: {LOGIN}"
    return f"Spotify did not take the code: it is good once, and for a few minutes ({words}). To try again: {LOGIN}"


def unregistered_redirect_message(redirect_uri: str) -> str:
    return f"the settings of your app at {DASHBOARD} must list exactly {redirect_uri}"


def rejected_profile_message(words: str) -> str:
    """What to do when a login went well and Spotify then tells nothing, not even whose it is."""
    said = words.lower()
    if "premium" in said:
        return (
            f"Spotify serves this app only while its owner has Premium ({words}). "
            f"Hours can pass after that has changed; then: {LOGIN}"
        )
    if "register" in said:
        return (
            f"this person is not on your app's list of users ({words}). Add them under User Management at "
            f"{DASHBOARD}, then: {LOGIN}"
        )
    return f"Spotify does not say whose login this is ({words})"


# ---- half a year ----------------------------------------------------------------------------------------------------

# Spotify says six months, which are never fewer days than these. Refreshing does not prolong it.
LIFE = timedelta(days=180)
WARNED = timedelta(days=150)


@dataclass(frozen=True)
class LoginState:
    """How one account's login stands. `warning`: what a person should do about it, if anything."""

    account: str
    status: str
    expires_at: datetime | None
    missing: tuple[str, ...]
    warning: str | None


def login_state(
    account: str, status: str, authorised_at: datetime | None, scope: str | None, last_error: str | None, now: datetime
) -> LoginState:
    lacks = missing_scopes(scope)
    warnings = [_over(account, last_error)] if status == "needs_login" else [_ends(account, authorised_at, now)]
    if lacks and status == "active":
        reads = ", ".join(f"{each} ({SCOPES[each]})" for each in lacks)
        warnings.append(f"The login of {account} lacks {reads}; log in again: {LOGIN}")
    expires_at = authorised_at + LIFE if authorised_at else None
    return LoginState(account, status, expires_at, lacks, "\n".join(filter(None, warnings)) or None)


def _over(account: str, why: str | None) -> str:
    cure = "" if LOGIN in (why or "") else f"; log in again: {LOGIN}"
    return f"{account} has to log in again ({why or 'Spotify does not take its login any more'}){cure}"


def _ends(account: str, authorised_at: datetime | None, now: datetime) -> str | None:
    if authorised_at is None or now < authorised_at + WARNED:
        return None
    ends = authorised_at + LIFE
    if ends <= now:
        return f"The login of {account} is half a year old, and Spotify may end it any moment; log in again: {LOGIN}"
    days = (ends - now).days
    left = "today" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    return f"Spotify ends the login of {account} {left} ({ends:%Y-%m-%d}); log in again before that: {LOGIN}"
