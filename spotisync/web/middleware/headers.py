"""Security and cache headers of every response."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders

from spotisync.settings import Settings
from spotisync.web.pictures import IMAGE_HOSTS, get_simulator_origin

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def add_security_headers(headers: MutableHeaders, settings: Settings, path: str = "", status: int = 200) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    headers["Content-Security-Policy"] = content_security_policy(settings)
    headers.setdefault("Cache-Control", _get_cache_control(path, status))


def _get_cache_control(path: str, status: int) -> str:
    """Vendored files have their version in the name and never change; pages with library data are not cached.

    An error is kept by no cache: an older process, asked during an upgrade, does not have the newer one's file.
    """
    if status >= 400:
        return "no-store"
    if path.startswith("/static/vendor/"):
        return "public, max-age=31536000, immutable"
    return "no-cache" if path.startswith("/static/") else "no-store"


def content_security_policy(settings: Settings) -> str:
    """Allow our own files only: no inline scripts or styles. A form may redirect to Spotify's login."""
    accounts = urlsplit(settings.spotify_accounts_url)
    simulator = get_simulator_origin(settings)
    images = [*IMAGE_HOSTS, simulator] if simulator else IMAGE_HOSTS
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": f"'self' data: {' '.join(images)}",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "form-action": f"'self' {accounts.scheme}://{accounts.netloc}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
