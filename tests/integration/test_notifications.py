"""Each event is notified once: with a service that works, that recovers, or beside one that never answers."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from spotisync import notifications
from spotisync.cli.notify import notify
from spotisync.errors import Misconfigured
from spotisync.settings import Settings, settings
from spotisync.store import reply_shapes, runs
from spotisync.sync import Context
from tests.support.store import CLIENT, Store

DEAD = "json://127.0.0.1:9/t0ps3cret"


class Hook:
    """A notification service that accepts or rejects messages."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.up = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.up:
                    outer.received.append(body)
                self.send_response(200 if outer.up else 503)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/t0ps3cret"

    @property
    def titles(self) -> list[str]:
        return [each["title"].removeprefix("spotisync: ") for each in self.received]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def make_context(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Context]]:
    made: list[Context] = []

    def make(notify: str, **changes: Any) -> Context:
        made.append(
            Context.from_settings(make_settings("http://127.0.0.1:9", notify=notify, timezone="UTC", **changes))
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def context(hook: Hook, make_context: Callable[..., Context]) -> Context:
    return make_context(hook.url)


def end(store: Store, status: Any, error: str | None = None, sync_type: str = "full") -> int:
    run = store.run(sync_type)
    if status == "success":
        store.set(run.id, phase="finish")
    with store.database.begin() as connection:
        assert runs.end(connection, run.id, status, error=error)
    return run.id


def send_concurrently(context: Context, number: int = 3) -> None:
    """Like several sweeps."""
    threads = [threading.Thread(target=notifications.send_due, args=(context,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def park(store: Store, seconds: int) -> runs.Run:
    run = store.run()
    token = store.claim(run)
    assert token
    with store.database.begin() as connection:
        runs.release(connection, run, token, seconds, park=True)
    store.block("library", seconds)
    return store.get_run(run.id)


def test_notifies_once_of_a_missing_key_and_once_of_its_return(store: Store, context: Context, hook: Hook) -> None:
    store.account("user02")
    with store.database.begin() as connection:
        reply_shapes.record_keys(connection, CLIENT, "saved_tracks", ["total"])
        reply_shapes.open_alarms(connection, CLIENT, "saved_tracks", ["total"])
        reply_shapes.open_regime_alarm(connection, CLIENT, "full", "restricted")
    send_concurrently(context)
    with store.database.begin() as connection:
        reply_shapes.open_alarms(connection, CLIENT, "saved_tracks", ["total"])
    notifications.send_due(context)
    assert hook.titles == ["Spotify's API has changed"] * 2
    assert sum("saved tracks no longer have total" in each["message"] for each in hook.received) == 1
    assert all("spotisync doctor" in each["message"] for each in hook.received)
    hook.received.clear()
    with store.database.begin() as connection:
        reply_shapes.end_alarms(connection, CLIENT, "saved_tracks", ["total"])
    store.sql("UPDATE drift_alarms SET last_seen_at = now() - interval '8 days'")
    with store.database.begin() as connection:
        reply_shapes.trim(connection)
    send_concurrently(context)
    assert hook.titles == ["Spotify's replies are complete again"], "not of the regime"


def vanish(store: Store, *tracks: str) -> None:
    for track in tracks:
        store.sql("INSERT INTO tracks (id, name, uri) VALUES (:id, :id, 'u') ON CONFLICT DO NOTHING", id=track)
        store.sql("INSERT INTO saved_tracks VALUES (:me, :id, now())", me=store.account_id, id=track)
        store.sql("INSERT INTO unplayable_tracks VALUES (:me, :id, now())", me=store.account_id, id=track)


def test_notifies_once_of_what_has_vanished_since_the_first_sync(store: Store, context: Context, hook: Hook) -> None:
    vanish(store, "before")
    end(store, "success")
    send_concurrently(context)
    assert hook.titles == []
    vanish(store, *(f"track {number:02}" for number in range(25)))
    notifications.send_due(context)
    assert hook.titles == [], "the run has not ended"
    end(store, "success")
    send_concurrently(context)
    notifications.send_due(context)
    assert hook.titles == ["music of me has vanished"]
    message = hook.received[0]["message"]
    assert "track 00 (greyed out; saved tracks)\n" in message
    assert "track 19" in message
    assert "and 5 more\nWhat to do: spotisync vanished --account me" in message
    assert "before" not in message
    end(store, "success")
    notifications.send_due(context)
    assert len(hook.titles) == 1
    assert store.one("SELECT count(*) FROM notices WHERE over_at IS NULL") == 0


def test_does_not_notify_of_what_may_have_been_removed(store: Store, context: Context, hook: Hook) -> None:
    end(store, "success")
    notifications.send_due(context)
    vanish(store, "a", "b")
    store.sql("DELETE FROM unplayable_tracks")
    store.sql("UPDATE saved_tracks SET hidden_since = now() WHERE track_id = 'a'")
    store.sql("UPDATE saved_tracks SET removed_at = now() WHERE track_id = 'b'")
    end(store, "success")
    notifications.send_due(context)
    assert hook.titles == []
    store.sql("UPDATE saved_tracks SET surely_hidden_since = now() WHERE track_id = 'a'")
    end(store, "success")
    notifications.send_due(context)
    assert hook.titles == ["music of me has vanished"]


def test_does_not_notify_of_changes_that_a_person_accepted(store: Store, context: Context, hook: Hook) -> None:
    with store.database.begin() as connection:
        reply_shapes.record_keys(connection, CLIENT, "saved_tracks", ["total"])
        reply_shapes.open_alarms(connection, CLIENT, "saved_tracks", ["total"])
    notifications.send_due(context)
    with store.database.begin() as connection:
        reply_shapes.accept(connection, [CLIENT])
    notifications.send_due(context)
    assert hook.titles == ["Spotify's API has changed"]


def test_notifies_once_of_a_failure_and_once_of_the_recovery(store: Store, context: Context, hook: Hook) -> None:
    failed = end(store, "failed", "Spotify answered 500")
    send_concurrently(context)
    notifications.send_due(context)
    end(store, "failed", "and again")  # one notification until the next success
    notifications.send_due(context)
    assert hook.titles == ["sync of me failed"]
    assert "Spotify answered 500" in hook.received[0]["message"]
    assert f"spotisync resume {failed}" in hook.received[0]["message"]
    assert hook.received[0]["type"] == "failure"
    end(store, "success")
    send_concurrently(context)
    end(store, "failed", "another day")
    notifications.send_due(context)
    assert hook.titles[1:] == ["sync of me succeeded again", "sync of me failed"]


def test_notifies_once_of_an_ended_login_and_not_of_the_failed_run(store: Store, context: Context, hook: Hook) -> None:
    store.sql("UPDATE accounts SET status = 'needs_login', last_error = 'revoked', authorised_at = now()")
    end(store, "failed", "revoked; log in again")
    send_concurrently(context)
    notifications.send_due(context)
    assert hook.titles == ["me has to log in again"]
    assert "spotisync login" in hook.received[0]["message"]
    store.sql("UPDATE accounts SET status = 'active', last_error = NULL")
    notifications.send_due(context)
    notifications.send_due(context)
    assert hook.titles[1:] == ["me is logged in again"]


def test_notifies_a_month_and_three_days_before_a_login_expires(store: Store, context: Context, hook: Hook) -> None:
    for days in (140, 151, 152, 178, 179):
        store.sql("UPDATE accounts SET authorised_at = date_trunc('day', now()) - make_interval(days => :d)", d=days)
        notifications.send_due(context)
        # The same login some days later.
        store.sql(
            """UPDATE notices SET key = 'login_ends:' || a.id || ':' || CAST(EXTRACT(epoch FROM a.authorised_at
            - make_interval(days => :next)) AS bigint) || substring(key from ':[0-9]+$') FROM accounts a
            WHERE kind = 'login_ends'""",
            next={140: 11, 151: 1, 152: 26, 178: 1, 179: 0}[days],
        )
    assert hook.titles == ["login of me expires soon"] * 2
    assert "log in again before that" in hook.received[0]["message"]
    store.sql("UPDATE accounts SET authorised_at = now()")
    notifications.send_due(context)
    assert len(hook.received) == 2


def test_notifies_once_of_a_long_wait_and_once_of_its_end(store: Store, context: Context, hook: Hook) -> None:
    run = park(store, 7200)
    send_concurrently(context)
    assert hook.titles == ["sync of me is paused"]
    assert "Paused until" in hook.received[0]["message"]
    store.block("library", -1)
    assert store.take_due_runs() == [run.id]
    notifications.send_due(context)
    token = store.claim(store.get_run(run.id))
    assert token
    with store.database.begin() as connection:  # another 429 during the same wait
        runs.release(connection, store.get_run(run.id), token, 9000, park=True)
    store.block("library", 9000)
    notifications.send_due(context)
    assert len(hook.received) == 1
    store.block("library", -1)
    assert store.take_due_runs() == [run.id]
    token = store.claim(store.get_run(run.id))
    assert token
    assert store.advance(run, token)
    send_concurrently(context)
    notifications.send_due(context)
    assert hook.titles[1:] == ["sync of me resumed"]


def test_does_not_notify_of_a_short_wait(
    store: Store, make_context: Callable[..., Context], context: Context, hook: Hook
) -> None:
    run = park(store, 1800)
    notifications.send_due(context)
    assert hook.received == []
    notifications.send_due(make_context(hook.url, notify_after=900))
    assert len(hook.received) == 1
    with store.database.begin() as connection:
        runs.end(connection, run.id, "cancelled")
    notifications.send_due(context)
    assert len(hook.received) == 1


def test_notifies_once_of_a_run_that_no_worker_takes(store: Store, context: Context, hook: Hook) -> None:
    run = store.run()
    notifications.send_due(context)
    store.sql("UPDATE sync_state SET updated_at = now() - interval '20 minutes'")
    store.set(run.id, started_at="now() - interval '1 hour'")
    send_concurrently(context)
    notifications.send_due(context)
    assert hook.titles == ["sync of me is stuck"]
    assert "none has taken the next batch for 20 min" in hook.received[0]["message"]


def test_retries_an_unreachable_service_and_notifies_others_once(
    store: Store, make_context: Callable[..., Context], hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    other = Hook()
    context = make_context(f"{hook.url}?a=1, {other.url} nonsense://t0ps3cret")
    hook.up = False
    end(store, "failed", "x")
    for _ in range(3):  # not before it is due
        notifications.send_due(context)
    store.sql("UPDATE notices SET wake_at = now()")
    notifications.send_due(context)
    assert (len(hook.received), len(other.received)) == (0, 1)
    hook.up = True
    store.sql("UPDATE notices SET wake_at = now()")
    send_concurrently(context)
    other.close()
    assert (len(hook.received), len(other.received)) == (1, 1)
    assert store.one("SELECT count(*) FROM notices WHERE told_at IS NULL") == 0
    assert "was not delivered to json (number 1) (attempt 2)" in caplog.text
    assert caplog.text.count("Apprise does not recognise nonsense (number 3)") == 1
    assert "t0ps3cret" not in caplog.text
    assert "t0ps3cret" not in str(store.sql("SELECT * FROM notices"))


def test_drops_a_notification_that_is_no_longer_true(
    store: Store, make_context: Callable[..., Context], hook: Hook
) -> None:
    end(store, "failed", "x")
    notifications.send_due(make_context(DEAD))
    end(store, "success")
    store.sql("UPDATE notices SET wake_at = now()")
    notifications.send_due(make_context(hook.url))
    assert hook.received == []


def test_the_notify_command_tries_each_address(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(value: str, *, test: bool = True) -> int:
        monkeypatch.setenv("SPOTISYNC_NOTIFY", value)
        settings.cache_clear()
        try:
            notify(test=test)
        except typer.Exit as ended:
            return ended.exit_code
        finally:
            settings.cache_clear()
        return 0

    assert run(f"{hook.url} {DEAD}") == 1
    assert "json (number 1): sent\njson (number 2): failed" in capsys.readouterr().out
    assert hook.titles == ["test"]
    assert run(hook.url) == 0
    assert run(hook.url, test=False) == 0
    assert "spotisync notify --test" in capsys.readouterr().out
    for wrong in ("", "nonsense://t0ps3cret", "t0ps3cret"):
        with pytest.raises(Misconfigured, match="SPOTISYNC_NOTIFY") as sent:
            run(wrong)
        assert "t0ps3cret" not in str(sent.value)
