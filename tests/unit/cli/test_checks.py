"""The checks of `spotisync doctor`: healthy, broken, and how to fix it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from cryptography.fernet import Fernet

from spotisync.cli import checks
from spotisync.cli.checks import QUEUES, Finding
from spotisync.cli.doctor import get_exit_code
from spotisync.core import oauth
from spotisync.errors import Fatal, NeedsLogin, Refused, SpotisyncError, Transient, Unavailable, Wait
from spotisync.settings import Settings
from spotisync.store.apps import BacklogForecast
from spotisync.store.cooldowns import Cooldown
from spotisync.store.reply_shapes import AlarmKind, DriftAlarm
from spotisync.store.suitability import Obstacle
from spotisync.store.waiters import UnansweredCaller

NOW = datetime(2026, 11, 23, 8, 50, tzinfo=UTC)


def settings_with(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"client_id": "me", **changes})


def assert_finding(finding: Finding, state: str, *words: str) -> None:
    """Check the state and the text of a finding; a failed one must say what to do."""
    assert finding.state == state, finding
    assert all(word in f"{finding.message} {finding.cure}" for word in words), finding
    assert (finding.state == "ok") == (finding.cure is None)


def test_checks_that_the_spotify_app_is_configured() -> None:
    assert_finding(checks.check_spotify_app(settings_with()), "ok", "PKCE")
    assert_finding(checks.check_spotify_app(settings_with(client_secret="hush")), "ok", "with a secret")
    assert_finding(
        checks.check_spotify_app(settings_with(client_id=None)), "failed", "SPOTIPY_CLIENT_ID is not set", "dashboard"
    )


def test_reports_why_the_page_would_not_start() -> None:
    assert list(checks.check_page(settings_with(api_token="sixteen-letters!"))) == []
    (guessable,) = checks.check_page(settings_with(api_token="x"))
    assert_finding(guessable, "failed", "SPOTISYNC_API_TOKEN is too short", "python -c")
    (public,) = checks.check_page(settings_with(host="0.0.0.0"))
    assert_finding(public, "failed", "SPOTISYNC_HOST is 0.0.0.0", "python -c")


@pytest.mark.parametrize("uri", ["https://example.org/cb", "http://127.0.0.1:8420/cb", "http://[::1]/cb"])
def test_accepts_a_redirect_uri_that_spotify_accepts(uri: str) -> None:
    assert_finding(checks.check_spotify_app(settings_with(redirect_uri=uri)), "ok")


@pytest.mark.parametrize(
    "uri", ["http://localhost:8420/cb", "http://example.org/cb", "nonsense", "http://[", "ftp://x"]
)
def test_rejects_a_redirect_uri_that_spotify_rejects(uri: str) -> None:
    assert_finding(
        checks.check_spotify_app(settings_with(redirect_uri=uri)),
        "failed",
        "SPOTIPY_REDIRECT_URI",
        "http://127.0.0.1:8420",
    )


def test_checks_the_secret_key(tmp_path: Path) -> None:
    assert_finding(checks.check_secret_key(settings_with(data_dir=tmp_path)), "warning", "does not exist yet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "secret.key").write_text(Fernet.generate_key().decode())
    assert_finding(checks.check_secret_key(settings_with(data_dir=tmp_path)), "ok")
    assert_finding(
        checks.check_secret_key(settings_with(database_url="postgresql://x")),
        "failed",
        "SPOTISYNC_SECRET_KEY is not set",
        "Generate a key",
    )
    wrong = checks.check_secret_key(settings_with(secret_key="wrong"))
    assert_finding(wrong, "failed", "list of Fernet keys")
    assert "wrong" not in wrong.message


def test_checks_the_database_server() -> None:
    def away() -> tuple[str, Obstacle | None]:
        raise Unavailable("the database can't be reached: refused")

    assert_finding(checks.check_database(lambda: ("18.1 (Debian)", None), embedded=True), "ok", "PostgreSQL 18.1")
    old = Obstacle("PostgreSQL 9.6 is older than 15", "upgrade the server")
    assert_finding(checks.check_database(lambda: ("9.6", old), embedded=False), "failed", "older than 15", "upgrade")
    for embedded, cure in ((True, "spotisync up"), (False, "SPOTISYNC_DATABASE_URL")):
        found = checks.check_database(away, embedded=embedded)
        assert_finding(found, "failed", "The database can't be reached", cure)
        assert get_exit_code([found]) == 3


def test_checks_the_revision_of_the_tables() -> None:
    assert_finding(checks.check_tables("0001", "0001"), "ok", "0001")
    assert_finding(checks.check_tables(None, "0001"), "failed", "at revision none", "spotisync db upgrade")
    newer = checks.check_tables("9999", "0001")
    assert_finding(newer, "failed", "9999, newer than this version", "spotisync db downgrade")


@pytest.mark.parametrize(("seconds", "state"), [(0.3, "ok"), (-5, "warning"), (5, "warning"), (300, "failed")])
def test_rates_the_difference_between_the_clocks(seconds: float, state: str) -> None:
    assert_finding(checks.check_clock(seconds), state)


def test_says_by_how_much_and_in_which_direction_the_clock_is_wrong() -> None:
    assert "this machine is 5 min behind" in checks.check_clock(300).message
    assert "this machine is 5 s ahead of" in checks.check_clock(-5).message


def test_reports_an_unreachable_broker_and_result_backend() -> None:
    app = Celery("away", broker="redis://:hush@127.0.0.1:1", backend="redis://:hush@127.0.0.1:1")
    app.conf.result_backend_transport_options = {"retry_policy": {"max_retries": 0}}
    for found in (checks.check_broker(app), checks.check_result_backend(app)):
        assert_finding(found, "failed", "127.0.0.1:1", "can't be reached", "SPOTISYNC_")
        assert "hush" not in found.message
        assert get_exit_code([found]) == 3
    app.close()


class Memory:
    def __init__(self, limit: int, policy: str) -> None:
        self.state = {"maxmemory": limit, "maxmemory_policy": policy}

    def info(self, section: str) -> dict[str, object]:
        assert section == "memory"
        return self.state


def test_finds_a_policy_that_evicts_data() -> None:
    assert checks.find_eviction(Memory(1000, "allkeys-lru")) == "maxmemory-policy is allkeys-lru"
    assert checks.find_eviction(Memory(1000, "noeviction")) is None
    assert checks.find_eviction(Memory(0, "allkeys-lru")) is None
    assert checks.find_eviction(None) is None


def test_reports_queues_that_no_worker_serves() -> None:
    assert_finding(checks.check_workers({"w@a": list(QUEUES), "other@b": ["x"]}, QUEUES), "ok", "w@a")
    assert_finding(
        checks.check_workers({"w@a": ["spotisync.sync"], "v@a": list(QUEUES[1:])}, QUEUES),
        "ok",
    )
    assert_finding(checks.check_workers({}, QUEUES), "failed", "no worker answers", "celery -A spotisync worker")
    assert_finding(checks.check_workers({"other@b": ["x"]}, QUEUES), "failed", "no worker answers")
    assert_finding(
        checks.check_workers({"w@a": ["spotisync.sync"]}, QUEUES),
        "failed",
        "none of w@a consumes spotisync.interactive or spotisync.backlog or spotisync.control",
        "-Q",
    )


def test_reports_rejected_messages() -> None:
    assert list(checks.check_messages(0)) == []
    (found,) = checks.check_messages(1234)
    assert (found.state, found.message[:36]) == ("ok", "1,234 malformed or surplus messages ")


def test_reports_callers_that_could_not_be_answered() -> None:
    assert list(checks.check_callers([])) == []
    given_up = [UnansweredCaller("one", 7, NOW, "ValueError: x"), UnansweredCaller("two", None, NOW, "y")]
    (found,) = checks.check_callers(given_up)
    assert_finding(
        found, "warning", "2 not answered in the last week, the last one one of run 7 (ValueError: x)", "again"
    )
    (found,) = checks.check_callers(given_up[1:])
    assert_finding(found, "warning", "two of a removed run")


def test_reports_a_scheduler_that_does_not_run() -> None:
    assert_finding(checks.check_schedule(NOW - timedelta(seconds=9), NOW, 10), "ok", "9 s ago")
    assert_finding(
        checks.check_schedule(NOW - timedelta(minutes=9), NOW, 10),
        "failed",
        "no sweep for 9 min",
        "celery -A spotisync beat",
    )
    assert_finding(checks.check_schedule(None, NOW, 10), "failed", "never run", "celery -A spotisync beat")


def test_warns_when_there_is_no_account() -> None:
    assert_finding(checks.check_accounts([]), "warning", "no account yet", "spotisync login")


class FakeAccount:
    """The fields of an account that these checks read."""

    spotify_user_id = "alice"


@pytest.mark.parametrize(
    ("error", "state", "code", "words"),
    [
        (
            NeedsLogin("Spotify no longer takes this login (revoked); authorise it again: x"),
            "failed",
            4,
            "spotisync login",
        ),
        (Refused(403, "Active premium subscription required"), "failed", 1, "403: Active premium"),
        (Transient("Spotify answered 503: nothing"), "failed", 3, "503"),
        (Unavailable("the database can't be reached"), "failed", 3, "can't be reached"),
        (Fatal("Spotify refuses this app (x); check SPOTIPY_CLIENT_ID"), "failed", 1, "check SPOTIPY_CLIENT_ID"),
        (Wait("*", NOW, "quota"), "warning", 0, "limits list"),
    ],
)
def test_explains_the_error_that_spotify_returns(error: SpotisyncError, state: str, code: int, words: str) -> None:
    def ask(_: Any) -> None:
        raise error

    account: Any = FakeAccount()
    found = checks.check_spotify_access(account, ask)
    assert_finding(found, state, words)
    assert get_exit_code([found]) == code
    assert checks.check_spotify_access(account, lambda _: None).state == "ok"


def test_names_the_scopes_that_a_login_lacks() -> None:
    account: Any = FakeAccount()
    assert checks.check_scopes(account, None) is None, "unknown scopes are not reported"
    for granted, words in ((oauth.REQUESTED, "granted"), (" ".join(oauth.SCOPES), "top artists and tracks")):
        all_ = checks.check_scopes(account, granted)
        assert all_
        assert_finding(all_, "ok", words)
    some = checks.check_scopes(account, "user-library-read")
    assert some
    assert_finding(some, "warning", "playlist-read-private", "spotisync login")


def test_lists_the_limits_that_are_in_force() -> None:
    assert [each.state for each in checks.check_limits([], NOW, "UTC")] == ["ok"]
    until = NOW + timedelta(hours=3)
    (found,) = checks.check_limits([Cooldown("library", until, "quota", 10_800)], NOW, "UTC")
    assert_finding(found, "warning", "Library reads blocked until 11:50 (3 h)", "limits clear")


def test_explains_changes_of_spotifys_replies() -> None:
    def alarm(kind: AlarmKind, endpoint: str, key: str) -> DriftAlarm:
        return DriftAlarm(kind, endpoint, key, NOW, "")

    assert [each.state for each in checks.check_drift([])] == ["ok"]
    found = checks.check_drift(
        [
            alarm("missing_key", "saved_tracks", "items[].track.id"),
            alarm("missing_key", "artist", "id"),
            alarm("status", "playlists", "418"),
            alarm("regime", "*", "full to restricted"),
        ]
    )
    key = ("no longer have items[].track.id", "No saved tracks are removed", "update spotisync", "--accept-drift")
    assert_finding(found[0], "warning", *key)
    assert_finding(found[1], "warning", "no longer have id", "update spotisync")
    assert "removed" not in found[1].message
    assert_finding(found[2], "warning", "418", "playlists", "report it")
    assert_finding(found[3], "warning", "full to restricted", "none needed")


def test_the_exit_code_is_that_of_the_most_severe_finding() -> None:
    def failed(code: int) -> Finding:
        return Finding("x", "failed", "x", code=code)

    assert get_exit_code([Finding("x", "ok", "x"), Finding("x", "warning", "x", code=3)]) == 0
    assert get_exit_code([failed(1), failed(4)]) == 4
    assert get_exit_code([failed(4), failed(3), failed(1)]) == 3


def test_forecasts_when_pending_look_ups_will_be_done() -> None:
    done = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)
    left = BacklogForecast("artists", "singly", 1_400, 500, 20, done)
    found = checks.check_lookups(
        "restricted", [left, BacklogForecast("albums", "singly", 0, 500, 0, None)], "Europe/Berlin"
    )
    assert_finding(found, "ok", "restricted API", "1,400 artists to look up, done about 2026-11-27")
    assert "albums" not in found.message
    assert_finding(checks.check_lookups(None, [], "UTC"), "ok", "unknown until")
