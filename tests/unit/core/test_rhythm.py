"""The rhythm of a listener: intervals are short when something is likely to happen, and never lose a play."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from spotisync.core import rhythm
from spotisync.core.rhythm import Rhythm

KNOWN = datetime(2026, 3, 1, tzinfo=UTC)
LATER = KNOWN + timedelta(days=10)
USUAL_SYNC, USUAL_READ = 1800, 600
rhythms = st.builds(
    Rhythm,
    busy_hours=st.integers(0, 2**24 - 1),
    seconds_per_play=st.floats(30, 2000) | st.none(),
    active_at=st.none() | st.integers(0, 10 * 86_400).map(lambda seconds: KNOWN + timedelta(seconds=seconds)),
    known_since=st.just(KNOWN),
)
moments = st.integers(0, 20 * 86_400).map(lambda seconds: KNOWN + timedelta(seconds=seconds))


def evening(hours: int = 1 << 20, active_at: datetime | None = None, pace: float | None = None) -> Rhythm:
    return Rhythm(hours, pace, active_at, KNOWN)


def test_usual_hours_and_the_hour_before_are_busy() -> None:
    assert [hour for hour in range(24) if evening().is_busy(LATER.replace(hour=hour))] == [19, 20]
    assert [hour for hour in range(24) if evening(1).is_busy(LATER.replace(hour=hour))] == [0, 23]


def test_an_account_is_busy_after_activity_and_while_it_is_new() -> None:
    assert evening(0, LATER - timedelta(minutes=119)).is_busy(LATER)
    assert not evening(0, LATER - timedelta(minutes=121)).is_busy(LATER)
    assert evening(0).is_busy(KNOWN + timedelta(hours=23))
    assert not evening(0).is_busy(KNOWN + timedelta(hours=24))


def test_the_default_intervals() -> None:
    quiet, busy = LATER.replace(hour=4), LATER.replace(hour=20)
    assert [rhythm.sync_interval(USUAL_SYNC, evening(), at) for at in (quiet, busy)] == [3 * 3600, 1800]
    assert rhythm.sync_interval(USUAL_SYNC, None, quiet) == 1800
    played = evening(active_at=busy)
    assert rhythm.read_interval(USUAL_READ, played, busy + timedelta(minutes=14)) == 600
    assert rhythm.read_interval(USUAL_READ, played, busy + timedelta(days=13)) == 1500
    assert rhythm.read_interval(USUAL_READ, played, busy + timedelta(days=14)) == 9000
    assert rhythm.read_interval(USUAL_READ, evening(pace=60), busy) == 2400
    assert rhythm.read_interval(USUAL_READ, None, quiet) == 600


@given(rhythms, moments)
def test_intervals_are_never_shorter_than_the_setting(found: Rhythm, at: datetime) -> None:
    assert rhythm.sync_interval(USUAL_SYNC, found, at) >= USUAL_SYNC
    assert rhythm.read_interval(USUAL_READ, found, at) >= USUAL_READ


@given(rhythms, moments)
def test_fifty_plays_at_the_known_pace_take_longer_than_an_interval(found: Rhythm, now: datetime) -> None:
    """Faster than one play in 30 s, they are not listed."""
    assume(found.seconds_per_play)
    assert rhythm.read_interval(USUAL_READ, found, now) <= 50 * (found.seconds_per_play or 0)


@given(rhythms, moments)
def test_an_active_account_is_read_before_fifty_plays_end(found: Rhythm, now: datetime) -> None:
    assume(not found.is_idle(now))
    assert rhythm.read_interval(USUAL_READ, found, now) <= 50 * 30
