"""Server-sent events: contents, recipients and cost."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from spotisync.errors import Unavailable
from spotisync.status import Document
from spotisync.store.database import Database
from spotisync.store.visibility import read_version
from spotisync.web.live import broadcast, events
from spotisync.web.live.broadcast import Reading
from spotisync.web.live.events import get_broadcast
from tests.support.store import Store
from tests.support.waiting import wait_until
from tests.web.conftest import Broker
from tests.web.served import Viewer, served

EVENTS = "/api/sync/events"


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@contextmanager
def reads(database: Database) -> Iterator[list[str]]:
    """Record the first statement of each read of the documents."""
    seen: list[str] = []

    def note(*args: Any) -> None:
        if args[2] == "SELECT clock_timestamp()":
            seen.append(args[2])

    event.listen(database._engine, "before_cursor_execute", note)
    yield seen
    event.remove(database._engine, "before_cursor_execute", note)


def test_a_viewer_receives_the_status_and_every_change(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    store.account("other")
    with served(make_app()) as url:
        viewer, other = Viewer(web, f"{url}{EVENTS}?account=me"), Viewer(web, f"{url}{EVENTS}?account=other")
        everyone = Viewer(web, f"{url}{EVENTS}", **{"Last-Event-ID": "77"})
        assert viewer.answer.headers["Content-Type"].startswith("text/event-stream")
        assert viewer.answer.headers["X-Content-Type-Options"] == "nosniff"
        assert viewer.next()[1]["status"] is None
        assert [each["account"] for each in everyone.next()[1]] == ["me", "other"]
        assert other.next()[1]["account"] == "other"
        run = store.run()
        assert viewer.next()[1]["sync_id"] == run.id
        store.set(run.id, status="failed", completed_at="now()", last_error="no")
        assert viewer.read_until("failed") <= 2
        assert viewer.answer.status_code == 200
        assert web.get(f"{url}{EVENTS}?account=nobody").status_code == 404
        same = web.get(f"{url}/api/sync/status?account=me").json()
        assert same["last_error"] == "no"
        store.sql("DELETE FROM accounts WHERE spotify_user_id = 'other'")
        assert other.next() == ("", None), "a removed account sends no events"
    # `served` has ended the server despite its viewers.
    assert viewer.next() == ("", None)
    for each in (viewer, other, everyone):
        each.close()


def test_a_stream_of_a_page_ends_so_that_the_login_is_checked_again(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_STREAM_SECONDS", 0.0)
    with served(make_app()) as url:
        page, api = Viewer(web, f"{url}/events/page"), Viewer(web, f"{url}{EVENTS}")
        assert (page.next()[0], api.next()[0]) == ("page", "status")
        store.run()
        assert "event: page" not in list(page._lines), "it has ended without another event"
        assert api.next()[0] == "status"
        page.close()
        api.close()


def test_head_of_a_stream_has_no_body_and_ends(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    app = make_app()
    with served(app) as url:
        for path in (EVENTS, "/events/page"):
            head = web.head(f"{url}{path}")
            assert (head.status_code, head.headers["Content-Type"].partition(";")[0]) == (200, "text/event-stream")
        wait_until(lambda: get_broadcast(app).viewers == 0, "the streams to end")


def test_database_reads_do_not_grow_with_the_number_of_viewers(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    """Ten viewers of ten changes each see the last one, with as many reads as for one viewer."""
    run, app = store.run(), make_app()
    with served(app) as url, reads(app.state.context.database) as seen:
        assert seen == [], "no reads without viewers"
        began = time.monotonic()
        viewers = [Viewer(web, f"{url}{EVENTS}") for _ in range(10)]
        for viewer in viewers:
            assert viewer.next()[1]["sync_id"] == run.id
        for number in range(10):
            store.set(run.id, items_processed=number + 1)
        store.set(run.id, status="failed", completed_at="now()")
        for viewer in viewers:
            viewer.read_until("failed")
        # At most four reads a second for all viewers together.
        assert len(seen) <= 3 + (time.monotonic() - began) * 4
        for viewer in viewers:
            viewer.close()
        wait_until(lambda: get_broadcast(app).viewers == 0, "all viewers to disconnect")
        left = len(seen)
        store.run("incremental")
        assert web.get(f"{url}/healthz").status_code == 200
        assert len(seen) <= left + 1, "no reads without viewers"


def test_a_page_is_rendered_once_for_all_viewers(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    made: list[threading.Thread] = []
    numbers = itertools.count()

    def make(documents: list[Document], _root: str) -> str:
        made.append(threading.current_thread())
        next(numbers)
        return f"<p>{documents[0]['status']}</p>\n<p>two lines</p>"

    app = make_app()
    get_broadcast(app).register("page", make)
    with served(app) as url:
        viewers = [Viewer(web, f"{url}/events/page") for _ in range(5)]
        assert {viewer.next() for viewer in viewers} == {("page", "<p>None</p>")}
        before = len(made)
        store.run()
        for viewer in viewers:
            while (event := viewer.next()) != ("page", "<p>in_progress</p>"):
                assert event[0] in {"page", ""}
        assert 1 <= before < 5
        assert len(made) - before < 5
        assert threading.main_thread() not in made
        for viewer in viewers:
            viewer.close()


def test_tells_viewers_that_the_database_is_unreachable(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client, broker: Broker
) -> None:
    app = make_app()
    read, away = get_broadcast(app)._read, threading.Event()

    def fail_or_read(accounts: frozenset[str | None], version: str | None) -> Reading | None:
        if away.is_set():
            raise Unavailable("it is away")
        return read(accounts, version)

    get_broadcast(app)._read = fail_or_read
    with served(app) as url:
        viewer = Viewer(web, f"{url}{EVENTS}")
        assert viewer.next()[0] == "status"
        away.set()
        run = store.run()
        assert viewer.next() == ("unavailable", {"detail": "it is away"})
        assert web.get(f"{url}{EVENTS}").status_code == 503
        away.clear()
        store.set(run.id, items_processed=1)
        assert viewer.read_until("in_progress") == 1
        viewer.close()


def test_a_viewer_survives_the_end_of_all_database_sessions(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    with served(make_app()) as url:
        viewer = Viewer(web, f"{url}{EVENTS}")
        viewer.next()
        store.sql("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        run = store.run()
        viewer.read_until("in_progress")
        store.set(run.id, status="failed", completed_at="now()")
        viewer.read_until("failed")
        viewer.close()


def test_the_database_is_asked_only_while_someone_watches(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, statements, unchanged = make_app(), list[str](), ["the same"]
    event.listen(app.state.context.database._engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    # The real version also changes with commits in other databases, of which there are some during tests.
    monkeypatch.setattr(events, "read_version", lambda connection: [read_version(connection), *unchanged][-1])
    monkeypatch.setattr(broadcast, "MAX_INTERVAL", 600.0)

    def is_poll(statement: str) -> bool:
        return "pg_current_snapshot" in statement

    with served(app) as url:
        assert statements == []
        viewer = Viewer(web, f"{url}{EVENTS}?account=me")
        viewer.next()
        read = len(statements)
        wait_until(lambda: len(statements) >= read + 3, "three more polls")
        assert all(map(is_poll, statements[read:])), "without a commit, no document is read"
        unchanged.clear()
        changed = time.monotonic()
        store.run()
        assert viewer.next()[1]["status"] == "in_progress"
        assert time.monotonic() - changed < 2, "normally 0.5 s at most"
        viewer.close()
        wait_until(lambda: get_broadcast(app).viewers == 0, "the viewer to disconnect")
        left = sum(map(is_poll, statements))
        assert web.get(f"{url}/healthz").status_code == 200
        assert sum(map(is_poll, statements)) <= left + 1


def test_viewers_of_accounts_read_those_alone(
    make_app: Callable[..., FastAPI], store: Store, web: httpx.Client
) -> None:
    store.account("other")
    app, asked = make_app(), list[frozenset[str | None]]()
    read = get_broadcast(app)._read

    def note(accounts: frozenset[str | None], version: str | None) -> Any:
        asked.append(accounts)
        return read(accounts, version)

    get_broadcast(app)._read = note
    with served(app) as url:
        me = Viewer(web, f"{url}{EVENTS}?account=me")
        assert me.next()[1]["account"] == "me"
        assert set(asked) == {frozenset({"me"})}
        other, everyone = Viewer(web, f"{url}{EVENTS}?account=other"), Viewer(web, f"{url}{EVENTS}")
        assert other.next()[1]["account"] == "other"
        assert [each["account"] for each in everyone.next()[1]] == ["me", "other"]
        assert asked[-1] == {"me", "other", None}
        other.close()
        everyone.close()
        wait_until(lambda: asked[-1] == {"me"}, "the others to be forgotten")
        me.close()
