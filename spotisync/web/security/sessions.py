"""What we give to a browser and want to know again: signed, not stored, so that any process takes it."""

import hashlib
import hmac
import secrets
import time
from typing import Final

from spotisync.settings import Settings

WEEKS: Final = 14 * 86_400
"""For so many seconds a login on the page lasts."""


class SessionSigner:
    """Keys made from the secret keys: the first signs, all are known. Another API token, and every session is over."""

    def __init__(self, settings: Settings) -> None:
        token = hashlib.sha256((settings.api_token or "").encode()).digest()
        self._keys = [_hmac(key.encode(), b"spotisync web" + token) for key in settings.secret_keys()]

    def mark(self, purpose: str, text: str) -> str:
        return _mark(self._keys[0], purpose, text)

    def fits(self, purpose: str, text: str, mark: str) -> bool:
        return any(same(_mark(key, purpose, text), mark) for key in self._keys)

    def session(self) -> str:
        text = f"{int(time.time()) + WEEKS}.{secrets.token_urlsafe(16)}"
        return f"{text}.{self.mark('session', text)}"

    def is_session(self, cookie: str) -> bool:
        text, _, mark = cookie.rpartition(".")
        return self.fits("session", text, mark) and int(text.partition(".")[0]) > time.time()


def same(one: str, other: str) -> bool:
    """In a time that says nothing about where they differ."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def _mark(key: bytes, purpose: str, text: str) -> str:
    return _hmac(key, f"{purpose}\0{text}".encode(errors="surrogatepass")).hex()


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
