"""Alarms open once, end with a proof or a person, and open again; old records are deleted."""

from spotisync.core.requests import Kind
from spotisync.store import reply_shapes
from tests.support.store import CLIENT, Store

KEY = "items[].added_at"
EITHER = "items[].items or items[].tracks"


def record(store: Store, *keys: str, endpoint: Kind = "saved_tracks") -> None:
    with store.database.begin() as connection:
        reply_shapes.record_keys(connection, CLIENT, endpoint, keys)


def miss(store: Store, *keys: str, endpoint: Kind = "saved_tracks") -> list[str]:
    with store.database.begin() as connection:
        return reply_shapes.open_alarms(connection, CLIENT, endpoint, keys)


def meet(store: Store, *keys: str) -> list[str]:
    with store.database.begin() as connection:
        return reply_shapes.end_alarms(connection, CLIENT, "saved_tracks", keys)


def frozen(store: Store, client_id: str = CLIENT, name: str = "saved_tracks") -> bool:
    with store.database.begin() as connection:
        return reply_shapes.is_frozen(connection, client_id, name)


def notices(store: Store) -> list[str]:
    with store.database.begin() as connection:
        return [each.notice_key for each in reply_shapes.list_open(connection, [CLIENT])]


def test_only_a_key_seen_before_can_be_missing(store: Store) -> None:
    assert miss(store, KEY) == []
    record(store, "items[].tracks", endpoint="playlists")
    assert miss(store, EITHER, endpoint="playlists") == [EITHER]
    assert (frozen(store), frozen(store, name="playlists"), frozen(store, "another app", "playlists")) == (
        False,
        True,
        False,
    )


def test_an_alarm_is_one_until_it_ends_and_another_one_later(store: Store) -> None:
    record(store, KEY)
    assert [miss(store, KEY) for _ in range(3)] == [[KEY], [], []]
    first = notices(store)
    assert (meet(store, "total"), frozen(store)) == ([], True)
    assert (meet(store, KEY), meet(store, KEY), frozen(store)) == ([KEY], [], False)
    store.sql("UPDATE drift_alarms SET since = since - interval '1 hour'")
    assert miss(store, KEY) == [KEY]
    assert notices(store) != first


def test_a_person_accepts_the_replies_as_they_are(store: Store) -> None:
    record(store, KEY)
    miss(store, KEY)
    with store.database.begin() as connection:
        assert reply_shapes.accept(connection, [CLIENT]) == 1
        assert reply_shapes.list_missing(connection, CLIENT) == {("saved_tracks", KEY)}
    assert (frozen(store), notices(store), miss(store, KEY)) == (False, [], [])
    meet(store, KEY)
    assert miss(store, KEY) == [KEY]
    assert frozen(store)


def test_counts_replies_by_day_and_status(store: Store) -> None:
    counts: dict[tuple[Kind, int], int] = {("artists", 200): 3, ("artists", 403): 1, ("albums", 200): 0}
    for _ in range(2):
        with store.database.begin() as connection:
            reply_shapes.record_statuses(connection, CLIENT, counts)
    rows = store.sql("SELECT endpoint, status, replies FROM reply_statuses ORDER BY status")
    assert [tuple(row) for row in rows] == [("artists", 200, 6), ("artists", 403, 2)]


def test_deletes_old_records_and_ends_alarms_that_nothing_repeats(store: Store) -> None:
    record(store, KEY, "total")
    miss(store, KEY)
    with store.database.begin() as connection:
        reply_shapes.record_statuses(connection, CLIENT, {("albums", 418): 1, ("albums", 200): 1})
        reply_shapes.open_regime_alarm(connection, CLIENT, "full", "restricted")
    store.sql("UPDATE reply_statuses SET day = day - 40 WHERE status = 200")
    store.sql("UPDATE reply_shapes SET last_seen_at = last_seen_at - interval '1 year' WHERE key = 'total'")
    store.sql("UPDATE drift_alarms SET last_seen_at = last_seen_at - interval '8 days' WHERE kind <> 'status'")
    with store.database.begin() as connection:
        reply_shapes.trim(connection)
        assert [each.kind for each in reply_shapes.list_open(connection, [CLIENT])] == ["missing_key", "status"]
    assert [row.key for row in store.sql("SELECT key FROM reply_shapes")] == [KEY]
    assert store.one("SELECT count(*) FROM reply_statuses") == 1
