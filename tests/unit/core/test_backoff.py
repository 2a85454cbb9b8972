"""Waiting times: from a 429, guessed without its header, and the backoff of retries."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.backoff import GUESS, LONGEST_WAIT, NewCooldown, backoff_seconds, cooldown, parse_retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("7.2", 8),
        ("0", 1),
        ("0.1", 1),
        ("86236", 86236),
        ("86401", LONGEST_WAIT),
        ("99999999999", LONGEST_WAIT),
        (http_date(30), 30),
        (http_date(0), 1),
        (http_date(-5), 1),
        (http_date(10 * LONGEST_WAIT), LONGEST_WAIT),
        (http_date(-2 * LONGEST_WAIT), None),
        ("Sun, 01 Mar 2026 12:00:30", None),
        (f"Sun, 01 Mar {10**20} 12:00:30 GMT", None),
        (f"Sun, 01 Mar 2026 12:00:30 +{10**20}", None),
        ("-3", 1),
        ("-999999", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_parses_every_form_of_retry_after(header: str | None, seconds: int | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_retry_after_is_none_or_between_a_second_and_a_day(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 1 <= seconds <= LONGEST_WAIT


def test_a_rate_limit_blocks_all_families_for_the_stated_time() -> None:
    assert cooldown("artists", 7, quota=False, strikes=3) == NewCooldown("*", 7, "rate", 7)
    assert cooldown("artists", 60, quota=False, strikes=0) == NewCooldown("*", 60, "rate", 60)


def test_more_than_a_minute_counts_as_a_quota_of_the_family() -> None:
    assert cooldown("artists", 61, quota=False, strikes=0) == NewCooldown("artists", 61, "quota", 61)


def test_a_named_quota_blocks_its_family_however_short_it_is() -> None:
    assert cooldown("library", 5, quota=True, strikes=0) == NewCooldown("library", 5, "quota", 5)


@pytest.mark.parametrize(("quota", "waits"), [(False, [30, 60, 120, 240, 480, 900, 900]), (True, [3600, 7200, 14400])])
def test_without_a_header_the_guess_doubles_with_each_strike(quota: bool, waits: list[int]) -> None:
    assert [cooldown("albums", None, quota=quota, strikes=n).seconds for n in range(len(waits))] == waits
    longest = GUESS["quota" if quota else "rate"][1]
    assert cooldown("albums", None, quota=quota, strikes=1_000).seconds == longest


def test_backoff_doubles_to_a_minute_with_jitter_in_the_upper_half() -> None:
    assert [backoff_seconds(n, 1) for n in range(9)] == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_seconds(4, 0) == 4
    assert backoff_seconds(10_000, 1) == 60
