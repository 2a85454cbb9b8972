"""What every answer tells the browser not to do."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders

from spotisync.settings import Settings

# Where Spotify keeps covers, mosaics of playlists and pictures of people.
PICTURES: Final = (
    "https://i.scdn.co",
    "https://mosaic.scdn.co",
    "https://image-cdn-ak.spotifycdn.com",
    "https://image-cdn-fa.spotifycdn.com",
)
ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def add_security_headers(headers: MutableHeaders, settings: Settings, path: str = "") -> None:
    for name, value in ALWAYS.items():
        headers[name] = value
    headers["Content-Security-Policy"] = content_security_policy(settings)
    headers.setdefault("Cache-Control", _kept(path))


def _kept(path: str) -> str:
    """What others made has its version in its name, so that it never changes; what tells of a library is not kept."""
    if path.startswith("/static/vendor/"):
        return "public, max-age=31536000, immutable"
    return "no-cache" if path.startswith("/static/") else "no-store"


def content_security_policy(settings: Settings) -> str:
    """Nothing but what is ours: no inline script, no inline style. A form may lead on to Spotify's login."""
    accounts = urlsplit(settings.spotify_accounts_url)
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": f"'self' data: {' '.join(PICTURES)}",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "form-action": f"'self' {accounts.scheme}://{accounts.netloc}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
