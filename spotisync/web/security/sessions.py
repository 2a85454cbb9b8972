"""Encrypted state that a browser keeps: sessions, form tokens, short-lived cookies.

The server stores only which sessions were logged out.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from spotisync.settings import Settings
from spotisync.store import web_sessions
from spotisync.sync import Context

SESSION_COOKIE: Final = "spotisync_session"
SESSION_SECONDS: Final = 14 * 86_400


class BrowserCipher:
    """Fernet with keys derived from the secret keys and the API token: the first encrypts, all decrypt.

    A new API token therefore ends every session. The purpose inside each token keeps one kind from passing for another.
    """

    def __init__(self, settings: Settings) -> None:
        token = hashlib.sha256((settings.api_token or "").encode()).digest()
        derived = (hmac.digest(key.encode(), b"spotisync web" + token, "sha256") for key in settings.secret_keys())
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])

    def encrypt(self, purpose: str, text: str) -> str:
        return self._fernet.encrypt(f"{purpose}\0{text}".encode()).decode()

    def decrypt(self, purpose: str, token: str, ttl: int | None = None) -> str | None:
        """Return None if the token is not ours, has another purpose or is older than `ttl` seconds."""
        try:
            found, _, text = self._fernet.decrypt(token, ttl).decode().partition("\0")
        except (InvalidToken, ValueError):
            return None
        return text if found == purpose else None

    def create_session(self) -> str:
        return self.encrypt("session", secrets.token_urlsafe(16))

    def get_session_id(self, cookie: str) -> str | None:
        """Return None if the cookie is not a session or has expired. The session may have been logged out."""
        return self.decrypt("session", cookie, SESSION_SECONDS) or None


def is_ended(context: Context, session_id: str) -> bool:
    """Whether the session was logged out, in this process or another one."""
    with context.database.begin() as connection:
        return web_sessions.find_end(connection, session_id) is not None


def is_equal(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))
