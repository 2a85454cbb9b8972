"""OAuth rules without I/O: scopes, redirect URIs, Spotify's answers, and when a login expires."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from spotisync.errors import Misconfigured, NeedsLogin

LOGIN = "spotisync login"
DASHBOARD = "https://developer.spotify.com/dashboard"

# ---- scopes ---------------------------------------------------------------------------------------------------------

# The minimal set, with what each scope gives access to.
SCOPES = {
    "user-library-read": "saved tracks, albums and shows",
    "playlist-read-private": "playlists",
    "playlist-read-collaborative": "collaborative playlists",
    "user-follow-read": "followed artists",
    "user-read-recently-played": "plays",
}
# Requested too; without one of them, everything else is still read.
OPTIONAL_SCOPES = {
    "user-read-playback-position": "saved episodes",
    "user-top-read": "top artists and tracks",
}
REQUESTED = " ".join([*SCOPES, *OPTIONAL_SCOPES])
_SCOPE_OF_PATH = {
    "/me/tracks": "user-library-read",
    "/me/albums": "user-library-read",
    "/me/shows": "user-library-read",
    "/me/audiobooks": "user-library-read",
    "/me/episodes": "user-read-playback-position",
    "/me/top/": "user-top-read",
    "/me/following": "user-follow-read",
    "/me/player/recently-played": "user-read-recently-played",
    "/me/playlists": "playlist-read-private",
    "/playlists/": "playlist-read-private",
}


def is_scope_error(message: str) -> bool:
    """Whether this message of a 403 response means that the login lacks a scope."""
    return "client scope" in message.lower()


def missing_scope_message(path: str) -> str:
    """Name the scope that a request to this path needs, and how to get it."""
    scope = next((scope for part, scope in _SCOPE_OF_PATH.items() if part in path), None)
    if scope is None:
        return f"this login lacks a scope that {path} needs; log in again: {LOGIN}"
    purpose = (SCOPES | OPTIONAL_SCOPES)[scope]
    return f"this login lacks the scope {scope}, needed to read {purpose}; log in again: {LOGIN}"


def find_missing_scopes(granted: str | None) -> tuple[str, ...]:
    """Required scopes that were not granted; empty while the grant is unknown (None)."""
    return () if granted is None else tuple(scope for scope in SCOPES if scope not in granted.split())


def describe_optional_scopes(granted: str | None) -> str | None:
    """What a new login would permit in addition; None if nothing, or if the grant is unknown."""
    missing = (
        [] if granted is None else [OPTIONAL_SCOPES[each] for each in OPTIONAL_SCOPES if each not in granted.split()]
    )
    return f"log in again to read also {' and '.join(missing)}: {LOGIN}" if missing else None


# ---- redirects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedirectUri:
    """The address that Spotify redirects the browser to after consent."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def is_loopback(self) -> bool:
        return self.scheme == "http"

    def with_port(self, port: int | None = None) -> str:
        """The URI as sent to Spotify, with `port` instead of its own if given."""
        port = self.port if port is None else port
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if port is None else f':{port}'}{self.path}"


def parse_redirect_uri(uri: str) -> RedirectUri:
    """Parse SPOTIPY_REDIRECT_URI. Spotify accepts https, and http on a loopback address.

    Raises `Misconfigured` with the form to use.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _invalid_redirect(uri, "is not a URL") from None
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or port == 0
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise _invalid_redirect(uri, "is not a redirect URL (scheme, host and path only)")
    if parts.scheme == "http" and host == "localhost":
        raise _invalid_redirect(uri, "uses localhost, which Spotify no longer accepts")
    if parts.scheme == "http" and not _is_loopback(host):
        raise _invalid_redirect(uri, "uses plain http to another machine, which Spotify does not accept")
    return RedirectUri(parts.scheme, host, port, parts.path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid_redirect(uri: str, reason: str) -> Misconfigured:
    return Misconfigured(
        f"SPOTIPY_REDIRECT_URI {reason}: {uri}\nSet it to http://127.0.0.1:8420/accounts/callback, both here and in "
        f"the settings of your app at {DASHBOARD}"
    )


def has_state(url: str, state: str) -> bool:
    """Whether this redirect belongs to the login attempt with this state. Compares in constant time."""
    return hmac.compare_digest(_parse_query(url).get("state", "").encode(errors="replace"), state.encode())


def extract_code(url: str) -> str:
    """Extract the authorization code from a redirect. Raises `NeedsLogin` if Spotify sent an error instead."""
    answer = _parse_query(url)
    match answer.get("error"):
        case None:
            pass
        case "access_denied":
            raise NeedsLogin(f"access to this account was denied on Spotify's page; to try again: {LOGIN}")
        case error:
            raise NeedsLogin(f"Spotify aborted the login ({error[:100]!r}); to try again: {LOGIN}")
    if not answer.get("code"):
        raise NeedsLogin(f"Spotify's redirect contains no code; to try again: {LOGIN}")
    return answer["code"]


def _parse_query(url: str) -> dict[str, str]:
    try:
        query = urlsplit(url.strip()).query
    except ValueError:
        return {}
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True, errors="replace").items()}


# ---- refusals -------------------------------------------------------------------------------------------------------


def rejected_app_message(reason: str, client_id: str, account: str | None = None) -> str:
    """Explain why the token endpoint rejects an account's own app (`invalid_client`)."""
    whose = f"the app {client_id} of {account}" if account else f"the app {client_id}"
    again = f"{LOGIN} --account {account}" if account else LOGIN
    return (
        f"Spotify rejects {whose} ({reason}); compare its client ID and secret with those at {DASHBOARD}, and log in "
        f"with them: {again} --client-id {client_id}"
    )


def other_app_message(account: str, client_id: str | None) -> str:
    """Explain why a login by another app than the account's was not stored."""
    uses = f"the app {client_id}" if client_id else "the app of SPOTIPY_CLIENT_ID"
    return (
        f"{account} uses {uses}, and this login is by another; nothing was stored. To keep its app: "
        f"{LOGIN} --account {account}; to change it, give the new one with --client-id or --default-app"
    )


def rejected_code_message(message: str, redirect_uri: str) -> str:
    """Explain why the token endpoint rejected a code (`invalid_grant`)."""
    if "redirect" in message.lower():
        return f"Spotify rejected the redirect URI; {unregistered_redirect_message(redirect_uri)}. Then: {LOGIN}"
    return f"Spotify rejected the code ({message}); a code works once and for a few minutes. To try again: {LOGIN}"


APP_BLOCKED = "Spotify refuses all requests of this app"


def no_premium_message(message: str) -> str:
    """Explain a 403 that every account gets. The second sentence of Spotify's message is a part of the cure."""
    reason = message.partition(". ")[0].rstrip(".")
    return (
        f"{APP_BLOCKED}: {reason}; subscribe to Premium with the account that owns the app at {DASHBOARD}, and start a "
        "sync a few hours later"
    )


def is_app_blocked(last_error: str | None) -> bool:
    """Whether this is the error of `no_premium_message`, so that every run fails until the cure."""
    return (last_error or "").startswith(APP_BLOCKED)


def unregistered_redirect_message(redirect_uri: str) -> str:
    return f"the settings of your app at {DASHBOARD} must list exactly {redirect_uri}"


def rejected_profile_message(message: str) -> str:
    """Explain a 403 to the profile request that follows a successful login."""
    lower = message.lower()
    if "premium" in lower:
        return (
            f"Spotify blocks this app: its owner needs Premium ({message}). "
            f"A new subscription can take hours to apply; then: {LOGIN}"
        )
    if "register" in lower:
        return (
            f"this user is not registered for your app ({message}). Add them under User Management at "
            f"{DASHBOARD}, then: {LOGIN}"
        )
    return f"Spotify refuses to return the profile of this account ({message})"


# ---- expiry ---------------------------------------------------------------------------------------------------------

# Spotify documents six months, which is at least this many days. Refreshing a token does not extend it.
LOGIN_LIFETIME = timedelta(days=180)
WARN_AFTER = timedelta(days=150)


@dataclass(frozen=True)
class LoginState:
    """The state of an account's login. `warning`: what the user should do; `note`: what they can do, or None."""

    account: str
    status: str
    expires_at: datetime | None
    missing: tuple[str, ...]
    warning: str | None
    note: str | None = None


def get_login_state(
    account: str,
    status: str,
    authorised_at: datetime | None,
    scope: str | None,
    last_error: str | None,
    now: datetime,
    *,
    own_app: bool = False,
) -> LoginState:
    """`own_app`: a login without the account's name might be by another app."""
    missing = find_missing_scopes(scope)
    warnings = (
        [_ended_warning(account, last_error)]
        if status == "needs_login"
        else [_expiry_warning(account, authorised_at, now)]
    )
    if missing and status == "active":
        names = ", ".join(f"{each} ({SCOPES[each]})" for each in missing)
        warnings.append(f"The login of {account} lacks {names}; log in again: {LOGIN}")
    expires_at = authorised_at + LOGIN_LIFETIME if authorised_at else None
    warning = "\n".join(filter(None, warnings)).replace(LOGIN, f"{LOGIN} --account {account}" if own_app else LOGIN)
    return LoginState(account, status, expires_at, missing, warning or None, describe_optional_scopes(scope))


def _ended_warning(account: str, reason: str | None) -> str:
    hint = "" if LOGIN in (reason or "") else f"; log in again: {LOGIN}"
    return f"{account} has to log in again ({reason or 'Spotify no longer accepts its login'}){hint}"


def _expiry_warning(account: str, authorised_at: datetime | None, now: datetime) -> str | None:
    if authorised_at is None or now < authorised_at + WARN_AFTER:
        return None
    expires_at = authorised_at + LOGIN_LIFETIME
    if expires_at <= now:
        return f"The login of {account} is older than six months, and can expire any moment; log in again: {LOGIN}"
    days = (expires_at - now).days
    when = "today" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    return f"The login of {account} expires {when} ({expires_at:%Y-%m-%d}); log in again before that: {LOGIN}"
