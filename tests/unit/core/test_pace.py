"""The pace: turns are given in order and within the limit, and the learned rate finds the real one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.pace import (
    FALL,
    FUTURE,
    GROWTH,
    LOWEST,
    PROBE_SECONDS,
    START,
    TOP,
    LearnedRate,
    TurnLog,
    allow,
    allow_playback,
)

WINDOW = 31.0
RATES = st.integers(1, 400)


def ask(log: TurnLog, asked: list[tuple[float, bool]], rate: int, patience: float = 2.0) -> list[tuple[float, bool]]:
    """Ask after each pause, for playback or not; returns the times of the given turns and whose they are."""
    now, given_turns = 1_000.0, []
    for pause, is_player in asked:
        now += pause
        turn = log.take(allow_playback(rate, WINDOW) if is_player else allow(rate, 1, WINDOW), patience, now)
        if turn.sent:
            given_turns.append((now + turn.seconds, is_player))
            assert turn.sent == len(log.turns)
    return given_turns


def most_in(times: list[float], seconds: float) -> int:
    return max((sum(1 for each in times if first <= each < first + seconds - 1e-6) for first in times), default=0)


@given(RATES, st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300))
def test_no_window_has_more_turns_than_the_limit(rate: int, asked: list[tuple[float, bool]]) -> None:
    turns = ask(TurnLog(), asked, rate)
    times = [at for at, _ in turns]
    assert times == sorted(times), "a later turn never begins earlier"
    assert most_in(times, WINDOW) <= rate


@given(RATES)
def test_the_limit_is_used_and_spread(rate: int) -> None:
    log, allowed, now, times = TurnLog(), allow(rate, 0, WINDOW), 1_000.0, []
    while now < 1_000 + 3 * WINDOW:
        turn = log.take(allowed, 0.0, now)
        if turn.sent:
            times.append(now)
        now += turn.seconds + 1e-6
    assert most_in(times, WINDOW) == rate
    assert len(times) >= 3 * rate
    later = [after - before for before, after in pairwise(times[allowed.burst :])]
    assert all(gap >= allowed.gap - 1e-6 for gap in later)


@given(st.integers(2, 400), st.integers(1, 50))
def test_a_sync_leaves_the_reserve_to_playback(rate: int, reserved: int) -> None:
    log, now, taken = TurnLog(), 1_000.0, 0
    while (turn := log.take(allow(rate, reserved, WINDOW), 0.0, now)).sent or now + turn.seconds < 1_000 + WINDOW:
        taken += bool(turn.sent)
        now += turn.seconds + 1e-6
    assert taken == rate - min(reserved, rate // 2)
    assert log.take(allow_playback(rate, WINDOW), 0.0, now).sent


def test_a_turn_beyond_the_patience_is_not_taken() -> None:
    log, allowed = TurnLog(), allow(4, 0, WINDOW)
    assert log.take(allowed, 0.0, 0.0).sent == 1
    turn = log.take(allowed, 2.0, 0.0)
    assert (turn.seconds, turn.sent) == (allowed.gap, 0)
    assert log.take(allowed, allowed.gap, 0.0).sent == 2


def test_a_clock_that_goes_back_does_not_stop_the_pace() -> None:
    log, allowed = TurnLog(), allow(4, 0, WINDOW)
    log.take(allowed, 0.0, 5_000.0)
    assert log.take(allowed, 0.0, 5_000.0 - FUTURE - 1).sent == 1


# ---- the learned rate -----------------------------------------------------------------------------------------------

LEARNED = st.builds(LearnedRate, st.floats(LOWEST, 1_000), st.none() | st.floats(LOWEST, 1_000))


def test_the_rate_grows_only_while_it_is_used() -> None:
    rate = LearnedRate()
    assert rate.rise(int(START), WINDOW, WINDOW).rate == START * GROWTH
    assert rate.rise(int(START / 2), WINDOW, WINDOW) == rate
    assert rate.rise(int(START), WINDOW - 1, WINDOW) == rate


def test_the_429s_of_a_burst_count_once() -> None:
    fallen = LearnedRate(150).fall(121, 20, WINDOW)
    assert fallen == LearnedRate(FALL * 121, 121)
    assert fallen.fall(60, 1, WINDOW) == fallen
    assert fallen.fall(90, WINDOW, WINDOW).failed == 90


def test_a_429_after_a_rise_counts_at_once() -> None:
    risen = LearnedRate(110, 121)
    assert risen.fall(101, 1, WINDOW) == LearnedRate(FALL * 101, 101)


@given(LEARNED, st.integers(0, 1_000), st.floats(0, 10_000))
def test_a_429_lowers_the_rate_and_not_below_what_is_useful(learned: LearnedRate, sent: int, seconds: float) -> None:
    fallen = learned.fall(min(sent, int(learned.rate)), seconds, WINDOW)
    assert LOWEST <= fallen.rate <= max(LOWEST, learned.rate)
    assert fallen.rate >= min(learned.rate, FALL * learned.rate / 2)


@given(LEARNED, st.integers(0, 1_000), st.floats(0, PROBE_SECONDS - 1))
def test_a_rate_that_failed_is_not_tried_again_within_the_hour(learned: LearnedRate, sent: int, seconds: float) -> None:
    risen = learned.rise(sent, seconds, WINDOW)
    assert risen.rate >= learned.rate
    if learned.failed and learned.rate <= learned.failed:
        assert risen.rate <= max(learned.rate, TOP * learned.failed)


@given(st.integers(20, 500), st.floats(0.5, 2))
def test_the_rate_settles_just_below_the_real_one_and_follows_it(real: int, factor: float) -> None:
    """Windows that are all used. A 429 refuses the request after the last allowed one."""
    learned, seconds, refused = LearnedRate(), 0.0, []
    for window in range(1, 400):
        limit = real if window < 200 else real * factor
        seconds += WINDOW
        if (changed := learned.rise(int(learned.rate), seconds, WINDOW)) != learned:
            learned, seconds = changed, 0.0
        if int(learned.rate) > limit:
            learned, seconds = learned.fall(int(limit) + 1, seconds, WINDOW), 0.0
            refused.append(window)
        if 20 <= window % 200 <= 100 and limit > 2 * LOWEST:
            assert learned.rate <= limit or learned.rate - limit < 2
            assert learned.rate >= 0.8 * limit or factor > 1
    assert len(refused) <= 20
