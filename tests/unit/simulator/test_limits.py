"""The rolling window and the daily quota."""

import time

from spotisync.simulator import Server
from spotisync.simulator.http.limits import Limits
from spotisync.simulator.settings import SimulatorSettings

from .reader import Reader

DAY = 86_400


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


def statuses(server: Server, client_id: str, path: str, requests: int) -> list[int]:
    with Reader(server.url, server.access_token(client_id=client_id)) as reader:
        return [reader.get(path).status_code for _ in range(requests)]


def test_each_app_has_a_rate_window_of_its_own(server: Server) -> None:
    server.control.settings(rate=2, client_rate={"slow": 1}, developers={"one": "dev", "two": "dev"})
    assert statuses(server, "one", "/me", 3) == [200, 200, 429]
    assert statuses(server, "two", "/me", 3) == [200, 200, 429]
    assert statuses(server, "slow", "/me", 2) == [200, 429]


def test_the_apps_of_a_developer_share_the_quota_of_a_family(server: Server) -> None:
    server.control.settings(quota={"library": 3}, developers={"one": "dev", "two": "dev"})
    assert statuses(server, "one", "/me/tracks", 2) == [200, 200]
    assert statuses(server, "two", "/me/albums", 2) == [200, 429]
    assert statuses(server, "one", "/me/tracks", 1) == [429]
    assert statuses(server, "two", "/me/playlists", 1) == [200], "another family"
    assert statuses(server, "three", "/me/tracks", 4) == [200, 200, 200, 429], "a developer of its own"


def test_a_developer_can_have_another_quota(server: Server) -> None:
    server.control.settings(
        quota={"library": 1, "me": 2}, developer_quota={"dev": {"library": 2}}, developers={"a": "dev"}
    )
    assert statuses(server, "a", "/me/tracks", 3) == [200, 200, 429]
    assert statuses(server, "a", "/me", 3) == [200, 200, 429]
    assert statuses(server, "b", "/me/tracks", 2) == [200, 429]


def test_a_banned_developer_waits_for_every_family_until_its_end(server: Server) -> None:
    server.control.settings(banned={"dev": server.world.now() + DAY}, developers={"one": "dev", "two": "dev"})
    for client in ("one", "two"):
        assert statuses(server, client, "/me", 1) == statuses(server, client, "/me/tracks", 1) == [429]
    assert statuses(server, "three", "/me", 1) == [200]
    with Reader(server.url, server.access_token(client_id="one", life=2 * DAY)) as reader:
        server.control.settings(clock_offset=DAY - 600)
        reply = reader.get("/me")
        assert 500 < int(reply.headers["Retry-After"]) <= 600
        assert reply.json()["error"]["reason"] == "QUOTA_EXCEEDED"
        server.control.settings(clock_offset=DAY + 1)
        assert reader.get("/me").status_code == 200


def test_counts_what_each_limit_refused_by_client_and_family(server: Server) -> None:
    server.control.settings(rate=3, quota={"library": 1})
    assert statuses(server, "one", "/me/tracks", 3) == [200, 429, 429]
    assert statuses(server, "one", "/me", 3) == [200, 200, 429]
    server.control.settings(banned={"two": server.world.now() + DAY})
    assert statuses(server, "two", "/me", 1) == [429]
    limited = {"one": {"library": {"quota": 2}, "me": {"rate": 1}}, "two": {"me": {"ban": 1}}}
    assert server.control.counters()["limited"] == limited
    limits = [each["limit"] for each in server.control.requests() if each["client_id"] == "one"]
    assert limits == [None, "quota", "quota", None, None, "rate"]
    server.control.reset_log()
    assert server.control.counters()["limited"] == {}


def test_a_prolonged_cooldown_leaves_other_developers_alone(server: Server) -> None:
    server.control.settings(quota={"me": 1}, quota_window=60, cooldown_restarts=True)
    assert statuses(server, "one", "/me", 2) == [200, 429]
    assert statuses(server, "two", "/me", 1) == [200]
