"""A token endpoint that says to wait is waited for, like the Web API."""

from typing import Any

import pytest

from spotisync.core.outcomes import Parked, Retry
from spotisync.simulator import Server
from spotisync.sync import Context, runs
from spotisync.sync.tokens import IssuedToken
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


@pytest.fixture
def throttled(context: Context, simulator: Server, account: Account, store: Store) -> Account:
    """An account whose access token has expired, and a token endpoint that answers 429."""
    store.sql("UPDATE accounts SET access_token_expires_at = now() - interval '1 hour'")
    simulator.control.add_fault(kind="status", status=429, retry_after=600, path="/api/token", times=None)
    simulator.control.reset_log()
    return account


def token_requests(simulator: Server) -> int:
    return sum("/api/token" in each["path"] for each in simulator.control.requests())


def test_a_run_waits_as_long_as_the_token_endpoint_says(
    context: Context, simulator: Server, throttled: Account, store: Store
) -> None:
    run = driver.start(context, throttled)
    outcome = driver.step(context, run)
    assert isinstance(outcome, Parked)
    assert driver.get_run(context, run).status == "rate_limited"
    assert driver.summary(context, run)["phases"]["tracks"]["failures"] == 0
    (row,) = store.sql("SELECT family, retry_after FROM rate_limits")
    assert tuple(row) == ("*", 600)
    assert runs.take_due_runs(context) == [], "until the cooldown ends"
    simulator.control.clear_faults()
    summary = driver.run_to_end(context, run)
    assert summary["status"] == "success"
    assert_tables_equal_truth(context, throttled, simulator.control.truth(throttled.name))


def test_requests_no_token_during_a_cooldown_of_all_requests(
    context: Context, simulator: Server, throttled: Account, store: Store
) -> None:
    store.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', '*', now() + interval '20 seconds', 'rate')"""
    )
    assert isinstance(driver.step(context, driver.start(context, throttled)), Retry)
    assert token_requests(simulator) == 0


def test_a_throttled_refresh_leaves_no_claim_behind(
    context: Context, simulator: Server, throttled: Account, store: Store
) -> None:
    driver.step(context, driver.start(context, throttled))
    assert token_requests(simulator) == 1
    assert store.one("SELECT refresh_claim FROM accounts") is None


def test_an_issued_token_does_not_show_its_value() -> None:
    app: Any = None
    assert "BQ-secret" not in repr(IssuedToken("BQ-secret", app))
