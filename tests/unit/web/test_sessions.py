"""Encrypted browser state: expiry, purposes, key rotation."""

import time

import pytest
from cryptography.fernet import Fernet

from spotisync.settings import Settings
from spotisync.web.security.sessions import SESSION_SECONDS, BrowserCipher

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TOKEN = "a-token-that-is-long-enough"


def cipher(secret_key: str = OLD, api_token: str | None = TOKEN) -> BrowserCipher:
    return BrowserCipher(Settings(_env_file=None, secret_key=secret_key, api_token=api_token))


def test_a_session_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    session, now = cipher().create_session(), time.time()
    assert cipher().get_session_id(session)
    monkeypatch.setattr(time, "time", lambda: now + SESSION_SECONDS + 1)
    assert not cipher().get_session_id(session)


def test_a_session_ends_with_another_api_token() -> None:
    assert not cipher(api_token="another").get_session_id(cipher().create_session())
    assert not cipher(api_token=None).get_session_id(cipher().create_session())


def test_decrypts_with_any_key_and_encrypts_with_the_first() -> None:
    both = cipher(f"{NEW},{OLD}")
    assert both.get_session_id(cipher().create_session())
    assert cipher(NEW).get_session_id(both.create_session())
    assert not cipher(NEW).get_session_id(cipher().create_session())


def test_a_token_has_one_purpose() -> None:
    token = cipher().encrypt("form", "a\0b")
    assert cipher().decrypt("form", token) == "a\0b"
    assert cipher().decrypt("session", token) is None
    for wrong in ("", "x", token[:-1], "\N{SNOWMAN}"):
        assert cipher().decrypt("form", wrong) is None
