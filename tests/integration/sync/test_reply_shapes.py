"""Changes of Spotify's replies are noticed, reported once, freeze removals, and end when the key returns."""

from collections.abc import Callable
from typing import Any

import pytest

from spotisync import status
from spotisync.simulator import Server
from spotisync.store import reply_shapes
from spotisync.store.reply_shapes import DriftAlarm
from spotisync.sync import Context
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import CLIENT, Store

Change = Callable[[Any], Any]


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


def rename(old: str, new: str) -> Change:
    """Rename a key of all rows of a page."""

    def change(body: Any) -> Any:
        rows = [row and {new if name == old else name: value for name, value in row.items()} for row in body["items"]]
        return {**body, "items": rows}

    return change


def change_replies(context: Context, kind: str, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    get = context.spotify.get

    def get_changed(request: Any, token: str) -> Any:
        body = get(request, token)
        return change(body) if request.kind == kind else body

    monkeypatch.setattr(context.spotify, "get", get_changed)


def alarms(context: Context) -> list[DriftAlarm]:
    with context.database.begin() as connection:
        return reply_shapes.list_open(connection, [CLIENT])


def keys(context: Context) -> list[tuple[str, str]]:
    return [(each.endpoint, each.key) for each in alarms(context)]


def is_frozen(context: Context, name: str) -> bool:
    with context.database.begin() as connection:
        return reply_shapes.is_frozen(connection, CLIENT, name)


def notes(context: Context, account: Account) -> str:
    with context.database.begin() as connection:
        (document,) = status.documents(connection, context.settings, account.name)
    return " ".join(document["notes"])


@pytest.mark.slow
def test_a_healthy_library_raises_no_alarm(context: Context, simulator: Server, account: Account, store: Store) -> None:
    for _ in range(10):
        simulator.world.random_edit()
        driver.incremental_sync(context, account)
    driver.full_sync(context, account)
    assert alarms(context) == []
    seen = {row.endpoint for row in store.sql("SELECT endpoint FROM reply_shapes")}
    assert {"saved_tracks", "saved_albums", "followed_artists", "playlists", "playlist_items", "artists"} <= seen
    assert store.one("SELECT count(*) FROM reply_shapes WHERE key ~ '[^][a-z_.]'") == 0
    calls = store.one("SELECT sum(api_calls) FROM sync_history")
    assert store.one("SELECT sum(replies) FROM reply_statuses") == calls


def test_a_renamed_key_freezes_its_list_until_it_returns(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.full_sync(context, account)
    with monkeypatch.context() as patch:
        change_replies(context, "saved_albums", rename("album", "release"), patch)
        for _ in range(2):
            driver.full_sync(context, account)
            (alarm,) = alarms(context)
            assert (alarm.kind, alarm.endpoint, alarm.key) == ("missing_key", "saved_albums", "items[].album")
        assert (is_frozen(context, "saved_albums"), is_frozen(context, "saved_tracks")) == (True, False)
        assert "replies of saved albums no longer have items[].album" in notes(context, account)
        assert "spotisync doctor" in notes(context, account)
    driver.full_sync(context, account)
    assert alarms(context) == []
    assert not is_frozen(context, "saved_albums")
    assert "no longer have" not in notes(context, account)


def test_a_list_is_frozen_before_its_last_page_is_committed(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page is the whole list: its commit already finds the alarm."""
    driver.full_sync(context, account)
    change_replies(context, "playlists", rename("id", "identifier"), monkeypatch)
    found: list[bool] = []
    real = context.default_app.recorder.write

    def write(*args: Any, **options: Any) -> None:
        found.append(is_frozen(context, "playlists"))
        real(*args, **options)

    monkeypatch.setattr(context.default_app.recorder, "write", write)
    driver.full_sync(context, account)
    assert keys(context) == [("playlists", "items[].id")]
    assert found[-1]


def test_a_missing_total_is_named_though_the_page_is_unreadable(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.full_sync(context, account)
    change_replies(
        context, "saved_albums", lambda body: {name: body[name] for name in body if name != "total"}, monkeypatch
    )
    driver.full_sync(context, account)
    assert keys(context) == [("saved_albums", "total")]


def test_a_key_that_no_reply_ever_had_is_not_missing(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_replies(context, "saved_tracks", rename("added_at", "saved_at"), monkeypatch)
    driver.full_sync(context, account)
    assert alarms(context) == []


def test_another_process_ends_an_alarm(
    context: Context,
    make_context: Callable[..., Context],
    simulator: Server,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_context(simulator)
    driver.full_sync(other, account)
    with monkeypatch.context() as patch:
        change_replies(context, "saved_tracks", rename("added_at", "saved_at"), patch)
        driver.full_sync(context, account)
    assert keys(context) == [("saved_tracks", "items[].added_at")]
    monkeypatch.setattr(other.default_app.shapes, "_read_at", float("-inf"))  # as if a minute had passed
    driver.full_sync(other, account)
    assert alarms(context) == []


def test_a_reply_with_nothing_new_costs_no_statement(context: Context, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    store.sql("DELETE FROM reply_shapes")
    driver.full_sync(context, account)
    assert store.sql("SELECT 1 FROM reply_shapes") == []


def test_reports_an_unknown_status(context: Context, simulator: Server, account: Account, store: Store) -> None:
    simulator.control.add_fault(status=418, path="/v1/me/albums", times=1)
    driver.full_sync(context, account)
    (alarm,) = alarms(context)
    assert (alarm.kind, alarm.endpoint, alarm.key) == ("status", "saved_albums", "418")
    assert "418" in notes(context, account)
    assert not is_frozen(context, "saved_albums"), "a status says nothing about rows"
    assert store.one("SELECT replies FROM reply_statuses WHERE status = 418") == 1


def test_reports_a_changed_regime_once(context: Context, simulator: Server, account: Account) -> None:
    driver.full_sync(context, account)
    assert alarms(context) == [], "the first detection is no change"
    simulator.control.settings(regime="restricted")
    for _ in range(3):
        driver.full_sync(context, account)
    assert keys(context) == [("*", "full to restricted")]
    assert "changed this app's API from full to restricted" in notes(context, account)
