"""The pace: one ceiling for all processes. Redis is fakeredis and the clock is the test's, so nothing waits."""

import heapq
import logging
from collections.abc import Iterable
from itertools import pairwise

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.requests import Family
from spotisync.gate.pace import AWAY_SECONDS, PLAYBACK_SHARE, SHORT_WINDOW, WINDOW, Pace, redis_url
from tests.unit.gate.conftest import Clock

URL = "redis://redis/0"
RATE = 120
FAMILIES: tuple[Family, ...] = ("library", "player")


def take_turns(clock: Clock, processes: Iterable[tuple[Pace, Family]], seconds: float) -> list[float]:
    """Let the processes send as many requests as they may, each of 1 ms; returns the time of each request."""
    end, taken = clock.now + seconds, []
    asking = [(clock.now, number, *process) for number, process in enumerate(processes)]
    while asking[0][0] < end:
        clock.now, number, pace, family = heapq.heappop(asking)
        pause = pace.take_turn(family)
        if not pause:
            taken.append(clock.now)
        heapq.heappush(asking, (clock.now + (pause or 0.001), number, pace, family))
    clock.now = end
    return taken


def take_burst(pace: Pace) -> int:
    taken = 0
    while not pace.take_turn("library"):
        taken += 1
    return taken


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of requests in any period of this length."""
    return max(sum(1 for each in times if first <= each < first + seconds) for first in times)


@pytest.mark.usefixtures("server")
def test_processes_share_one_ceiling_and_use_it(clock: Clock) -> None:
    paces = [Pace(URL, "shared", RATE) for _ in range(4)]
    taken = take_turns(clock, [(pace, "library") for pace in paces], 3 * WINDOW)
    rate = RATE - RATE // PLAYBACK_SHARE
    assert most_in(taken, WINDOW) == rate
    assert len(taken) >= 3 * rate
    assert most_in(taken, SHORT_WINDOW) <= 1.2 * rate * SHORT_WINDOW / WINDOW + 1, "the requests are spread"


@pytest.mark.usefixtures("server")
def test_sync_and_playback_together_keep_the_ceiling(clock: Clock) -> None:
    paces = [(Pace(URL, "both", RATE), family) for family in FAMILIES]
    assert most_in(take_turns(clock, paces, 2 * WINDOW), WINDOW) == RATE


@pytest.mark.usefixtures("server")
def test_playback_has_turns_of_its_own(clock: Clock) -> None:
    pace = Pace(URL, "own", RATE)
    take_burst(pace)
    assert pace.take_turn("artists") > 0
    assert pace.take_turn("player") == 0.0


@pytest.mark.usefixtures("server")
def test_a_turn_that_one_window_refuses_counts_in_neither(clock: Clock) -> None:
    pace, began, rate = Pace(URL, "refused", RATE), clock.now, RATE - RATE // PLAYBACK_SHARE
    burst = taken = take_burst(pace)
    while taken < rate:
        assert pace.take_turn("library") > 0, "refused by the short window"
        clock.now += SHORT_WINDOW + 0.1
        taken += take_burst(pace)
    assert taken == rate
    clock.now = began + WINDOW - 0.1
    assert all(pace.take_turn("library") > 0 for _ in range(burst)), "refused by the long window"
    clock.now = began + WINDOW + 0.1
    assert take_burst(pace) == burst


@pytest.mark.usefixtures("server")
def test_a_refused_turn_is_free_after_the_returned_seconds(clock: Clock) -> None:
    pace = Pace(URL, "exact", RATE)
    while not (seconds := pace.take_turn("library")):
        pass
    clock.now += seconds - 0.01
    assert pace.take_turn("library") > 0
    clock.now += 0.02
    assert pace.take_turn("library") == 0.0


@pytest.mark.usefixtures("clock", "server")
def test_another_client_id_has_another_pace() -> None:
    one, other = (Pace(URL, client, rate=1) for client in ("one", "other"))
    assert one.take_turn("library") == 0.0
    assert one.take_turn("library") > 0
    assert other.take_turn("library") == 0.0


# ---- without Redis --------------------------------------------------------------------------------------------------


def test_without_redis_a_process_keeps_the_ceiling_alone(clock: Clock) -> None:
    taken = take_turns(clock, [(Pace(None, "alone", RATE), "library")], 2 * WINDOW)
    assert most_in(taken, WINDOW) == RATE - RATE // PLAYBACK_SHARE


def test_while_redis_is_away_each_process_keeps_the_ceiling(
    clock: Clock, server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server.connected = False
    taken = take_turns(clock, [(Pace(URL, "away", RATE), "library")], AWAY_SECONDS)
    assert 0 < most_in(taken, WINDOW) <= RATE - RATE // PLAYBACK_SHARE
    assert ["ConnectionError" in record.message for record in caplog.records] == [True], "warned once"


def test_redis_is_asked_again_after_a_while(clock: Clock, server: fakeredis.FakeServer) -> None:
    client, pace = fakeredis.FakeStrictRedis(server=server), Pace(URL, "back", RATE)
    server.connected = False
    assert pace.take_turn("library") == 0.0
    server.connected = True
    clock.now += AWAY_SECONDS - 0.1
    assert pace.take_turn("library") == 0.0
    assert client.keys() == []
    clock.now += 0.2
    assert pace.take_turn("library") == 0.0
    assert client.keys() != []


def test_a_redis_that_lost_its_data_counts_anew(clock: Clock, server: fakeredis.FakeServer) -> None:
    pace = Pace(URL, "lost", rate=1)
    assert pace.take_turn("library") == 0.0
    assert pace.take_turn("library") > 0
    fakeredis.FakeStrictRedis(server=server).flushall()
    assert pace.take_turn("library") == 0.0
    clock.now += WINDOW - 1
    assert pace.take_turn("library") > 0


def test_without_a_ceiling_nothing_is_counted() -> None:
    pace = Pace("redis://nowhere.invalid", "free", rate=0)
    assert not any(pace.take_turn("library") for _ in range(1_000))


# ---- shares and URLs ------------------------------------------------------------------------------------------------


@given(st.integers(1, 400))
def test_the_shares_add_up_to_the_ceiling(rate: int) -> None:
    pace = Pace(None, "any", rate)
    assert pace._sync
    assert pace._playback
    shares = {pace._sync, pace._playback}
    assert sum(share.windows[-1].amount for share in shares) == rate
    for share in shares:
        for short, long in pairwise(share.windows):
            assert 1 <= short.amount <= long.amount
            assert short.amount * long.get_expiry() >= long.amount * short.get_expiry(), "the ceiling can be reached"


@pytest.mark.parametrize(
    ("celery", "ours"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("rediss://host", "rediss://host"),
        ("redis+socket:///run/valkey.sock?virtual_host=4", "redis+unix:///run/valkey.sock?db=4"),
        ("redis+socket:///run/valkey.sock", "redis+unix:///run/valkey.sock?db=0"),
        ("rpc://", None),
        ("db+postgresql://host", None),
    ],
)
def test_the_redis_url_of_a_result_backend(celery: str, ours: str | None) -> None:
    assert redis_url(celery) == ours


def test_the_sentinel_url_of_a_result_backend() -> None:
    celery = "sentinel://:pw@a:26379/0;sentinel://:pw@b/0"
    assert redis_url(celery, "mine") == "redis+sentinel://:pw@a:26379,b:26379/mine"
