"""The pace: one limit for all processes. Redis is fakeredis and its clock is the test's, so nothing waits."""

import heapq
import logging
import time
from collections.abc import Iterable

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.pace import FUTURE, TurnLog, allow
from spotisync.core.requests import Family
from spotisync.gate.pace import AWAY_SECONDS, PATIENCE, WINDOW, Pace
from spotisync.gate.shared_log import SharedLog, redis_url
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
        turn = pace.take_turn(family)
        if turn.sent:
            taken.append(clock.now + turn.seconds)
        heapq.heappush(asking, (clock.now + turn.seconds + 0.001, number, pace, family))
    clock.now = end
    return taken


def take_burst(pace: Pace) -> int:
    taken = 0
    while not pace.take_turn("library").seconds:
        taken += 1
    return taken


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of requests in any period of this length."""
    return max(sum(1 for each in times if first <= each < first + seconds - 1e-5) for first in times)


@pytest.mark.usefixtures("server")
def test_processes_share_one_limit_and_use_it(clock: Clock) -> None:
    paces = [Pace(URL, "shared", RATE) for _ in range(4)]
    taken = take_turns(clock, [(pace, "library") for pace in paces], 3 * WINDOW)
    assert most_in(taken, WINDOW) == RATE - 1
    assert len(taken) >= 3 * (RATE - 1)
    assert most_in(taken[RATE:], 1) <= 1.5 * RATE / WINDOW + 1, "the requests are spread"


@pytest.mark.usefixtures("server")
def test_sync_and_playback_together_keep_the_limit(clock: Clock) -> None:
    paces = [(Pace(URL, "both", RATE), family) for family in FAMILIES]
    assert most_in(take_turns(clock, paces, 2 * WINDOW), WINDOW) == RATE


@pytest.mark.usefixtures("server")
def test_playback_gets_a_turn_while_syncs_have_taken_the_next_ones(clock: Clock) -> None:
    pace = Pace(URL, "own", RATE)
    while (turn := pace.take_turn("artists")).sent:
        assert turn.seconds <= PATIENCE
    assert 0 < pace.take_turn("player").seconds <= PATIENCE


@pytest.mark.usefixtures("server")
def test_a_refused_turn_is_free_after_the_returned_seconds(clock: Clock) -> None:
    pace = Pace(URL, "exact", RATE)
    while (turn := pace.take_turn("library")).sent:
        pass
    clock.now += turn.seconds - PATIENCE - 0.01
    assert not pace.take_turn("library").sent
    clock.now += 0.02
    assert pace.take_turn("library").sent


@pytest.mark.usefixtures("clock", "server")
def test_another_developer_account_has_another_pace() -> None:
    one, other = (Pace(URL, developer, rate=1) for developer in ("one", "other"))
    assert one.take_turn("library").sent
    assert not one.take_turn("library").sent
    assert other.take_turn("library").sent


@pytest.mark.usefixtures("server")
def test_a_pause_holds_back_every_process(clock: Clock) -> None:
    one, other = (Pace(URL, "paused", RATE) for _ in range(2))
    one.pause(1)
    assert other.find_pause() == pytest.approx(1, abs=0.01)
    assert other.take_turn("library").seconds == pytest.approx(1, abs=0.01)
    clock.now += 1.1
    assert other.find_pause() == 0


@given(
    rate=st.integers(1, 60),
    asked=st.lists(st.tuples(st.sampled_from([0, 0.01, 0.3, 2, 20, -5, -60]), st.integers(0, 3)), max_size=40),
)
def test_the_script_gives_the_same_turns_as_the_log_in_the_process(rate: int, asked: list[tuple[float, int]]) -> None:
    clock, log = Clock(), TurnLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", clock)
        patch.setattr("redis.from_url", lambda *_, **__: fakeredis.FakeStrictRedis(server=fakeredis.FakeServer()))
        shared = SharedLog(URL, "same")
        for pause, reserved in asked:
            clock.now += pause
            allowed = allow(rate, reserved, WINDOW)
            ours, theirs = log.take(allowed, PATIENCE, clock.now), shared.take(allowed, PATIENCE)
            assert ours.sent == theirs.sent
            assert ours.seconds == pytest.approx(theirs.seconds, abs=1e-3)


@pytest.mark.usefixtures("server")
def test_a_redis_whose_clock_goes_back_counts_anew(clock: Clock) -> None:
    pace = Pace(URL, "back", rate=1)
    assert pace.take_turn("library").sent
    clock.now -= FUTURE + 1
    assert pace.take_turn("library").sent


# ---- without Redis --------------------------------------------------------------------------------------------------


def test_without_redis_a_process_keeps_the_limit_alone(clock: Clock) -> None:
    taken = take_turns(clock, [(Pace(None, "alone", RATE), "library")], 2 * WINDOW)
    assert most_in(taken, WINDOW) == RATE - 1


def test_while_redis_is_away_each_process_keeps_the_limit(
    clock: Clock, server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server.connected = False
    taken = take_turns(clock, [(Pace(URL, "away", RATE), "library")], AWAY_SECONDS)
    assert 0 < most_in(taken, WINDOW) <= RATE - 1
    assert ["ConnectionError" in record.message for record in caplog.records] == [True], "warned once"


def test_redis_is_asked_again_after_a_while(clock: Clock, server: fakeredis.FakeServer) -> None:
    client, pace = fakeredis.FakeStrictRedis(server=server), Pace(URL, "back", RATE)
    server.connected = False
    assert pace.take_turn("library").sent
    server.connected = True
    clock.now += AWAY_SECONDS - 0.1
    assert pace.take_turn("library").sent
    assert client.keys() == []
    clock.now += 0.2
    assert pace.take_turn("library").sent
    assert client.keys() != []


def test_a_redis_that_lost_its_data_counts_anew(clock: Clock, server: fakeredis.FakeServer) -> None:
    pace = Pace(URL, "lost", rate=1)
    assert pace.take_turn("library").sent
    assert not pace.take_turn("library").sent
    fakeredis.FakeStrictRedis(server=server).flushall()
    assert pace.take_turn("library").sent
    clock.now += WINDOW - 2 * PATIENCE - 1
    assert not pace.take_turn("library").sent


def test_without_a_limit_nothing_is_counted() -> None:
    pace = Pace("redis://nowhere.invalid", "free", rate=0)
    assert all(pace.take_turn("library").sent for _ in range(1_000))


# ---- URLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("celery", "ours"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("rediss://host", "rediss://host"),
        ("redis+socket:///run/valkey.sock?virtual_host=4", "unix:///run/valkey.sock?db=4"),
        ("redis+socket:///run/valkey.sock", "unix:///run/valkey.sock?db=0"),
        ("rpc://", None),
        ("db+postgresql://host", None),
    ],
)
def test_the_redis_url_of_a_result_backend(celery: str, ours: str | None) -> None:
    assert redis_url(celery) == ours


def test_the_sentinel_url_of_a_result_backend() -> None:
    celery = "sentinel://:pw@a:26379/0;sentinel://:pw@b/0"
    assert redis_url(celery, "mine") == "redis+sentinel://:pw@a:26379,b:26379/mine"


def test_the_login_of_a_sentinel_url_is_that_of_redis() -> None:
    log = SharedLog("redis+sentinel://user:p%40ss@a:26379,b:26380/mine", "any")
    pool = log._client.connection_pool
    assert (pool.service_name, pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == (
        "mine",
        "user",
        "p@ss",
    )
    kwargs = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"], each.get("password")) for each in kwargs] == [
        ("a", 26379, None),
        ("b", 26380, None),
    ]


def test_a_socket_url_leads_to_the_socket_and_its_database() -> None:
    log = SharedLog(redis_url("redis+socket:///run/valkey.sock?virtual_host=4") or "", "any")
    kwargs = log._client.connection_pool.connection_kwargs
    assert (kwargs["path"], kwargs["db"]) == ("/run/valkey.sock", 4)
