"""The rolling window and the daily quota."""

import time

from spotisync.simulator import Server
from spotisync.simulator.http.limits import Limits
from spotisync.simulator.settings import SimulatorSettings

from .reader import Reader


def test_the_rate_window_rolls() -> None:
    limits = Limits(SimulatorSettings(rate=3, rate_window=30))
    assert [limits.admit("me", at) for at in (0, 10, 20)] == [None] * 3
    refusal = limits.admit("artists", 21)
    assert refusal is not None
    assert refusal.headers["Retry-After"] == "9"
    assert limits.admit("me", 30.5) is None
    assert limits.admit("me", 31) is not None


def test_requests_over_the_rate_get_429(server: Server, reader: Reader) -> None:
    server.control.settings(rate=2)
    statuses = [reader.get("/me").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    reply = reader.get("/me/tracks")
    assert reply.json() == {"error": {"status": 429, "message": "API rate limit exceeded"}}
    assert 1 <= int(reply.headers["Retry-After"]) <= 30
    server.control.settings(clock_offset=31)
    assert reader.get("/me").status_code == 200


def test_a_429_can_lack_the_header_and_be_plain_text(server: Server, reader: Reader) -> None:
    server.control.settings(rate=1, rate_retry_after=False, rate_body="text")
    reader.get("/me")
    reply = reader.get("/me")
    assert (reply.status_code, reply.text) == (429, "Too many requests")
    assert "Retry-After" not in reply.headers


def test_a_quota_blocks_its_family_for_a_day(server: Server, reader: Reader) -> None:
    server.control.settings(quota={"library": 2})
    assert [reader.get("/me/tracks").status_code for _ in range(3)] == [200, 200, 429]
    reply = reader.get("/me/albums")
    assert reply.json() == {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
    assert 86_000 < int(reply.headers["Retry-After"]) <= 86_400
    assert reader.get("/me/playlists").status_code == 200
    server.control.settings(clock_offset=86_401)
    with Reader(server.url, server.access_token()) as later:
        assert later.get("/me/albums").status_code == 200


def test_another_app_of_the_developer_spends_the_same_quota(server: Server, reader: Reader) -> None:
    """The quota belongs to the developer account, and no reply tells what another app has used."""
    server.control.settings(quota={"library": 3}, quota_used_elsewhere={"library": 2})
    assert [reader.get("/me/tracks").status_code for _ in range(2)] == [200, 429]
    assert reader.get("/me/albums").json()["error"]["reason"] == "QUOTA_EXCEEDED"
    server.control.settings(quota_used_elsewhere={})
    assert reader.get("/me/albums").status_code == 200


def test_a_request_during_a_cooldown_restarts_it() -> None:
    """As reported for parachord-mobile 0.8.1."""
    limits = Limits(SimulatorSettings(rate=1, rate_window=30, quota={"artists": 1}, cooldown_restarts=True))

    def wait(family: str, at: float) -> int:
        reply = limits.admit(family, at)
        return 0 if reply is None else int(reply.headers["Retry-After"])

    assert [wait("me", 0), wait("me", 10)] == [0, 20]
    assert [wait("me", 29), wait("me", 48)] == [20, 20], "without the restart the window would be free at 30"
    assert wait("me", 69) == 0
    assert [wait("artists", 100), wait("artists", 200), wait("artists", 50_000)] == [0, 86_300, 86_300]
    assert wait("artists", 86_501) > 0
    assert wait("albums", 100_000) == 0


def test_a_cooldown_does_not_restart_by_default() -> None:
    limits = Limits(SimulatorSettings(rate=1, rate_window=30))
    assert limits.admit("me", 0) is None
    assert limits.admit("me", 29) is not None
    assert limits.admit("me", 31) is None


def test_limits_can_be_reset(server: Server, reader: Reader) -> None:
    server.control.settings(rate=1)
    assert [reader.get("/me").status_code for _ in range(2)] == [200, 429]
    server.control.reset_limits()
    assert reader.get("/me").status_code == 200


def test_latency_delays_concurrent_replies_in_parallel(server: Server, reader: Reader) -> None:
    server.control.settings(latency_ms=100)
    began = time.monotonic()
    assert reader.get("/me").status_code == 200
    assert time.monotonic() - began >= 0.05
