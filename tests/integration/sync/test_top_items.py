"""Top artists and tracks: one snapshot a week, read after the plays."""

from typing import Any

import pytest

from spotisync.simulator import Server
from spotisync.sync import Context, playback
from tests.support.driver import Account
from tests.support.store import Store

TOP = "/v1/me/top/"


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


def asked(server: Server) -> int:
    """Return how many rankings were asked for since the last call."""
    paths = [each["path"] for each in server.control.requests() if each["path"].startswith(TOP)]
    server.control.reset_log()
    return len(paths)


def read(context: Context) -> dict[str, Any]:
    return playback.track_plays(context)


def snapshots(store: Store) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for row in store.sql("SELECT * FROM top_items ORDER BY taken_on, position"):
        ranking = found.setdefault(row.taken_on.isoformat(), {}).setdefault(f"{row.kind} {row.time_range}", [])
        assert row.position == len(ranking)
        ranking.append(row.id)
    return found


def let_pass(store: Store, days: int) -> None:
    store.sql(f"UPDATE playback SET top_items_due_at = top_items_due_at - interval '{days} days'")
    store.sql(f"UPDATE top_items SET taken_on = taken_on - {days}")


@pytest.mark.usefixtures("account")
def test_keeps_one_snapshot_a_week(context: Context, simulator: Server, store: Store) -> None:
    first = simulator.world.truth()["top_items"]
    read(context)
    assert asked(simulator) == 6
    read(context)
    assert asked(simulator) == 0
    assert list(snapshots(store).values()) == [first]
    let_pass(store, 6)
    read(context)
    assert asked(simulator) == 0
    for _ in range(30):
        simulator.world.edit("play")
    let_pass(store, 1)
    read(context)
    assert asked(simulator) == 6
    second = simulator.world.truth()["top_items"]
    assert second != first
    assert list(snapshots(store).values()) == [first, second]


@pytest.mark.usefixtures("account")
def test_the_ranked_artists_and_tracks_are_in_the_catalogue(context: Context, store: Store) -> None:
    read(context)
    unnamed = """SELECT count(*) FROM top_items i LEFT JOIN artists a ON a.id = i.id LEFT JOIN tracks t ON t.id = i.id
        WHERE COALESCE(a.name, t.name) IS NULL"""
    assert store.one(unnamed) == 0
    stubs = "SELECT count(*) FROM top_items i JOIN artists a ON a.id = i.id WHERE a.enrichment = 'stub'"
    assert store.one(stubs) == 0, "the reply has all details"


@pytest.mark.usefixtures("account")
def test_a_login_without_the_scope_asks_for_nothing(context: Context, simulator: Server, store: Store) -> None:
    store.sql("UPDATE accounts SET scope = 'user-library-read user-read-recently-played'")
    assert read(context)["accounts"][0]["error"] is None
    assert asked(simulator) == 0
    store.sql("UPDATE accounts SET scope = 'user-library-read user-read-recently-played user-top-read'")
    read(context)
    assert asked(simulator) == 6, "at once after a login with it"


@pytest.mark.parametrize(("status", "days"), [(403, 7), (502, 1)])
@pytest.mark.usefixtures("account")
def test_a_failure_stores_nothing_and_is_tried_again_later(
    status: int, days: int, context: Context, simulator: Server, store: Store
) -> None:
    simulator.control.add_fault(status=status, path=f"{TOP}tracks.*time_range=long_term")
    done = read(context)
    assert done["plays_added"] > 0
    assert done["accounts"][0]["error"] is None, "plays are read all the same"
    assert snapshots(store) == {}
    simulator.control.clear_faults()
    asked(simulator)
    let_pass(store, days - 1)
    read(context)
    assert asked(simulator) == 0
    let_pass(store, 1)
    read(context)
    assert len(snapshots(store)) == 1


@pytest.mark.usefixtures("account")
def test_waits_for_the_end_of_a_cooldown_and_for_the_budget(context: Context, simulator: Server, store: Store) -> None:
    store.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES (:id, 'library', now() + interval '1 hour', 'quota')""",
        id=context.default_app.developer,
    )
    assert read(context)["plays_added"] > 0
    assert asked(simulator) == 0
    assert store.one("SELECT top_items_due_at FROM playback") is None


def test_an_account_takes_its_snapshots_with_it(context: Context, account: Account, store: Store) -> None:
    read(context)
    assert store.one("SELECT count(*) FROM top_items") > 0
    store.sql("DELETE FROM accounts WHERE spotify_user_id = :name", name=account.name)
    assert store.one("SELECT count(*) FROM top_items") == 0
