"""Limits on wrong API tokens."""

import time

import pytest

from spotisync.web.middleware.login_attempts import (
    MAX_CLIENTS,
    MAX_PER_CLIENT,
    WINDOW_SECONDS,
    LoginAttempts,
)


def test_asks_one_client_to_wait_until_its_oldest_attempt_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, now = LoginAttempts(), time.time()
    assert [attempts.record_failure("a") for _ in range(MAX_PER_CLIENT)] == [0] * MAX_PER_CLIENT
    assert WINDOW_SECONDS - 5 < attempts.record_failure("a") <= WINDOW_SECONDS
    assert attempts.record_failure("b") == 0
    monkeypatch.setattr(time, "time", lambda: now + WINDOW_SECONDS + 5)
    assert attempts.record_failure("a") == 0


def test_remembers_a_limited_number_of_clients() -> None:
    attempts = LoginAttempts()
    for number in range(MAX_CLIENTS + 100):
        attempts.record_failure(str(number))
    assert len(attempts._storage.events) == MAX_CLIENTS
