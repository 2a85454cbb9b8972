"""Limits on wrong API tokens."""

import time

import pytest

from spotisync.web.middleware.login_attempts import (
    MAX_CLIENTS,
    MAX_PER_CLIENT,
    MAX_TOTAL,
    WINDOW_SECONDS,
    LoginAttempts,
)


def test_blocks_one_client_until_its_oldest_attempt_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, now = LoginAttempts(), time.time()
    for _ in range(MAX_PER_CLIENT):
        assert attempts.get_seconds_blocked("a") == 0
        attempts.record_failure("a")
    assert WINDOW_SECONDS - 5 < attempts.get_seconds_blocked("a") <= WINDOW_SECONDS
    assert attempts.get_seconds_blocked("b") == attempts.get_seconds_blocked("b", on_page=True) == 0
    monkeypatch.setattr(time, "time", lambda: now + WINDOW_SECONDS + 5)
    assert attempts.get_seconds_blocked("a") == 0


def test_many_failures_block_only_logins_on_the_page() -> None:
    attempts = LoginAttempts()
    for number in range(MAX_TOTAL):
        attempts.record_failure(str(number))
    assert attempts.get_seconds_blocked("new") == 0
    assert attempts.get_seconds_blocked("new", on_page=True) > 0


def test_remembers_a_limited_number_of_clients() -> None:
    attempts = LoginAttempts()
    for number in range(MAX_CLIENTS + 100):
        attempts.record_failure(str(number))
    assert len(attempts._storage.events) == MAX_CLIENTS
