"""The views for people: their columns, days in any time zone, and tracks that vanished."""

import json
import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from spotisync.store import history
from spotisync.store.schema import VIEWS
from tests.support.store import Store, analyzed
from tests.system.compose import ROOT

MINUTES = 3
HOUR = timedelta(hours=1)


def add_tracks(store: Store, names: str, **isrcs: str) -> None:
    """Add tracks with these letters as ids and names, by artist x and then y."""
    store.sql("INSERT INTO artists (id, name, uri) VALUES ('x', 'Xenia', 'u'), ('y', 'Yves', 'u')")
    for name in names:
        store.sql(
            "INSERT INTO tracks (id, name, uri, duration_ms, isrc) VALUES (:id, :id, 'u', :ms, :isrc)",
            id=name,
            ms=MINUTES * 60_000,
            isrc=isrcs.get(name),
        )
        store.sql("INSERT INTO track_artists VALUES (:id, 0, 'x'), (:id, 1, 'y')", id=name)


def play(store: Store, track: str, at: datetime, ms_played: int | None = None) -> None:
    store.sql(
        """INSERT INTO play_history (account_id, played_at, track_id, ms_played, source)
        VALUES (:me, :at, :id, :ms, 'import')""",
        me=store.account_id,
        at=at,
        id=track,
        ms=ms_played,
    )


def query_in(store: Store, zone: str, query: str) -> list[Any]:
    with store.database.begin() as connection:
        connection.execute(text(f"SET LOCAL TIME ZONE '{zone}'"))
        return list(connection.execute(text(query)))


# ---- columns --------------------------------------------------------------------------------------------------------


def test_the_page_describes_every_column_of_every_view(store: Store) -> None:
    page = (ROOT / "docs" / "sql.md").read_text().partition("\n## Views\n")[2].partition("\n## Tables\n")[0]
    described = {
        view: re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", columns))
        for view, columns in re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", page, re.MULTILINE)
    }
    columns = defaultdict(list)
    for row in store.sql(
        """SELECT relname, attname, obj_description(c.oid) AS comment
        FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY attnum"""
    ):
        assert row.comment
        columns[row.relname].append(row.attname)
    assert columns.keys() == set(VIEWS)
    for view, names in columns.items():
        assert names[:2] == ["account_id", "account"]
        assert sorted(names[2:]) == sorted(described[view])


def test_artists_are_in_order_and_genres_are_known_or_null(store: Store) -> None:
    add_tracks(store, "ab")
    store.sql("UPDATE artists SET genres = ARRAY['pop', 'jazz'] WHERE id = 'y'")
    store.sql("DELETE FROM track_artists WHERE track_id = 'b' AND position = 1")
    for track in "ab":
        store.sql("INSERT INTO saved_tracks VALUES (:me, :id, now())", me=store.account_id, id=track)
    rows = store.sql("SELECT track, artist, artists, genres FROM library_now ORDER BY track")
    assert rows == [("a", "Xenia", ["Xenia", "Yves"], ["jazz", "pop"]), ("b", "Xenia", ["Xenia"], None)]
    store.sql("UPDATE saved_tracks SET removed_at = now() WHERE track_id = 'a'")
    assert store.sql("SELECT account, track FROM library_now") == [("me", "b")]


# ---- days -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),  # 2:00 becomes 3:00
        ("Europe/Berlin", date(2026, 10, 25), 25),  # 3:00 becomes 2:00
        ("America/Havana", date(2025, 11, 2), 25),  # 1:00 becomes 0:00: midnight occurs twice
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # 0:00 becomes 1:00: there is no midnight
        ("America/Sao_Paulo", date(2018, 2, 17), 25),  # 24:00 becomes 23:00
        ("Antarctica/Troll", date(2026, 3, 29), 22),
        ("Pacific/Apia", date(2011, 12, 31), 24),  # the day after a day that never was
    ],
)
def test_a_day_with_a_clock_change_has_all_of_its_hours(store: Store, zone: str, day: date, hours: int) -> None:
    add_tracks(store, "ab")
    begin = datetime.combine(day, datetime.min.time(), UTC) - 50 * HOUR
    moments = [begin + number * HOUR + timedelta(minutes=20) for number in range(100)]
    for number, moment in enumerate(moments):
        play(store, "ab"[number % 2], moment)
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    found = query_in(store, zone, "SELECT day, weekday, hour FROM listening ORDER BY played_at")
    assert found == [(each.date(), each.isoweekday(), each.hour) for each in local]
    by_day = {row.day: row for row in query_in(store, zone, "SELECT * FROM listening_by_day")}
    assert {each: row.plays for each, row in by_day.items()} == {
        each.date(): sum(other.date() == each.date() for other in local) for each in local
    }
    assert by_day[day].plays == hours
    assert by_day[day].tracks == 2
    assert float(by_day[day].hours) == hours * MINUTES / 60


def test_skips_count_as_time_but_not_as_plays(store: Store) -> None:
    add_tracks(store, "ab")
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    play(store, "a", noon, 29_999)
    play(store, "a", noon + HOUR, 30_000)
    play(store, "b", noon + 24 * HOUR, 6_000)
    other = store.account("other")
    store.sql("UPDATE play_history SET account_id = :other WHERE track_id = 'b'", other=other)
    rows = store.sql("SELECT account, day, hours, plays, tracks FROM listening_by_day ORDER BY day")
    assert [(*row[:2], float(row.hours), *row[3:]) for row in rows] == [
        ("me", noon.date(), 0.0167, 1, 1),
        ("other", date(2026, 6, 2), 0.0017, 0, 0),
    ]
    assert store.sql("SELECT counted, minutes FROM listening WHERE track_id = 'b'") == [(False, 0.1)]


def test_a_month_of_days_reads_only_the_plays_of_the_month(store: Store) -> None:
    add_tracks(store, "a")
    store.sql(
        """INSERT INTO play_history (account_id, played_at, track_id, source)
        SELECT :me, timestamptz '2020-01-01' + n * interval '1 hour', 'a', 'recent' FROM generate_series(0, 30000) n""",
        me=store.account_id,
    )
    month = "SELECT * FROM listening_by_day WHERE day >= '2021-05-01' AND day < '2021-06-01'"
    with analyzed(store.database, "play_history", "tracks", "accounts") as connection:
        assert len(list(connection.execute(text(month)))) == 31
        (plan,) = connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {month}")).scalar_one()
    assert 31 * 24 <= _count_rows_read(plan["Plan"], "play_history") <= 31 * 28 + 10


def _count_rows_read(node: dict[str, Any], table: str) -> float:
    mine = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if node.get("Relation Name") == table else 0
    return float(mine * node["Actual Loops"]) + sum(_count_rows_read(each, table) for each in node.get("Plans", ()))


# ---- vanished -------------------------------------------------------------------------------------------------------


class Playlist:
    """Items of a playlist: a track or None (unavailable), and when it was added."""

    def __init__(self, store: Store) -> None:
        self._store, self._run = store, store.run(status="success", completed_at="now()")
        store.sql("INSERT INTO playlists (id, name, collaborative, snapshot_id) VALUES ('p', 'Songs', false, 's')")
        store.sql(
            "INSERT INTO account_playlists (account_id, playlist_id, position) VALUES (:me, 'p', 0)",
            me=store.account_id,
        )

    def read(self, *items: tuple[str | None, int]) -> None:
        """Store the contents as a sync does."""
        rows = [
            {"position": position, "kind": "track" if track else "unavailable", "track_id": track, "day": day}
            for position, (track, day) in enumerate(items)
        ]
        with self._store.database.begin() as connection:
            connection.execute(text("DELETE FROM playlist_items"))
            connection.execute(
                text(
                    """INSERT INTO playlist_items (playlist_id, position, kind, track_id, added_at, added_by)
                    SELECT 'p', position, kind, track_id, timestamptz '2026-01-01' + day * interval '1 day', 'me'
                    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
                        AS r(position int, kind text, track_id text, day int)"""
                ),
                {"rows": json.dumps(rows)},
            )
            history.store_versions(connection, self._run.id, ["p"])

    def lost(self) -> dict[int, str | None]:
        rows = self._store.sql("SELECT position, track FROM vanished WHERE reason = 'unavailable'")
        return {row.position: row.track for row in rows}


def test_an_unavailable_row_names_the_track_that_was_there(store: Store) -> None:
    add_tracks(store, "abcdef")
    playlist = Playlist(store)
    playlist.read(("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3), (None, 4))
    playlist.read(("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3), (None, 4), ("f", 5))
    # The first row was removed at the same time, so that all positions have changed.
    playlist.read(("b", 2), (None, 2), ("d", 2), (None, 3), (None, 4), ("f", 5))
    assert playlist.lost() == {1: "c", 3: "e", 4: None}
    newest = store.one("SELECT max(read_at) FROM playlist_versions")
    rows = store.sql("SELECT playlist, position, artist, gone_since FROM vanished ORDER BY position")
    assert rows == [("Songs", 1, "Xenia", newest), ("Songs", 3, "Xenia", newest), ("Songs", 4, None, None)]
    playlist.read(("b", 2), ("c", 2), ("d", 2))
    assert playlist.lost() == {}
    store.sql("UPDATE account_playlists SET removed_at = now()")
    playlist.read(("b", 2), (None, 2), ("d", 2))
    assert playlist.lost() == {}


def test_a_named_track_is_one_that_vanished(store: Store) -> None:
    """Whatever else is edited between two readings: a row is rather without a name than with a wrong one."""
    add_tracks(store, letters := "abcdefghijklmnopqrstuvw")
    rng, named = Random(7), 0
    playlist = Playlist(store)
    items, unused, hidden = (
        [(track, day // 4) for day, track in enumerate(letters[:12])],
        list(letters[12:]),
        set[str](),
    )
    playlist.read(*items)
    for day in range(10, 60):
        for edit in rng.choices(["hide", "show", "remove", "move", "add"], [4, 1, 1, 2, 1], k=rng.randint(1, 2)):
            item = rng.choice(items)
            if edit == "hide":
                hidden.add(item[0])
            elif edit == "show":
                hidden.discard(item[0])
            elif edit == "remove" and len(items) > 6:
                items.remove(item)
                unused.append(item[0])
                hidden.discard(item[0])
            elif edit == "move":
                items.remove(item)
                items.insert(rng.randint(0, len(items)), item)
            elif edit == "add" and unused:
                items.append((unused.pop(0), day))
        playlist.read(*((None if track in hidden else track, added) for track, added in items))
        lost = playlist.lost()
        assert lost.keys() == {position for position, (track, _) in enumerate(items) if track in hidden}
        assert {track for track in lost.values() if track} <= hidden
        named += sum(track is not None for track in lost.values())
    assert named > 50


def test_saved_tracks_are_removed_hidden_or_replaced(store: Store) -> None:
    add_tracks(store, "abcde", b="one", c="one", d="other")
    for track in "abcde":
        store.sql("INSERT INTO saved_tracks VALUES (:me, :id, now())", me=store.account_id, id=track)
    store.sql("UPDATE saved_tracks SET removed_at = now() WHERE track_id IN ('a', 'b', 'd')")
    store.sql("UPDATE saved_tracks SET hidden_since = now() WHERE track_id = 'e'")
    lost = "SELECT track, reason, account, playlist FROM vanished ORDER BY track"
    assert store.sql(lost) == [("a", "removed", "me", None), ("d", "removed", "me", None), ("e", "hidden", "me", None)]
    store.sql("UPDATE saved_tracks SET removed_at = now() WHERE track_id = 'c'")
    assert [row.track for row in store.sql(lost)] == list("abcde")
    store.sql("UPDATE saved_tracks SET removed_at = NULL, hidden_since = NULL")
    assert store.sql(lost) == []


def test_a_track_that_was_replaced_is_not_removed(store: Store) -> None:
    add_tracks(store, "ab")
    store.sql("INSERT INTO saved_tracks VALUES (:me, 'a', now(), now()), (:me, 'b', now(), NULL)", me=store.account_id)
    assert [row.track for row in store.sql("SELECT track FROM vanished")] == ["a"]
    store.sql("UPDATE tracks SET linked_from = 'a' WHERE id = 'b'")
    assert store.sql("SELECT track FROM vanished") == []


def test_the_twin_is_one_that_the_account_can_play(store: Store) -> None:
    add_tracks(store, "abcde", a="one", b="one", c="one", d="one")
    store.sql("INSERT INTO saved_tracks VALUES (:me, 'a', now()), (:me, 'e', now())", me=store.account_id)
    store.sql(
        """INSERT INTO unplayable_tracks SELECT :me, id, now(), CASE id WHEN 'a' THEN 'market' END FROM tracks
        WHERE id IN ('a', 'c', 'e')""",
        me=store.account_id,
    )
    query = "SELECT track, restriction, twin_id, twin FROM vanished WHERE reason = 'unplayable' ORDER BY track"
    store.sql("UPDATE tracks SET is_playable = false WHERE id = 'b'")
    store.sql("UPDATE tracks SET is_playable = true WHERE id = 'c'")  # as another account is told
    assert store.sql(query) == [("a", "market", None, None), ("e", None, None, None)], "d: unknown"
    store.sql("UPDATE tracks SET is_playable = true WHERE id IN ('b', 'd')")
    store.sql("UPDATE tracks SET linked_from = 'e' WHERE id = 'd'")
    assert store.sql(query) == [("a", "market", "b", "b"), ("e", None, "d", "d")]
    store.sql("INSERT INTO unplayable_tracks SELECT :id, 'a' FROM accounts LIMIT 1", id=store.account("other"))
    assert {row.account for row in store.sql("SELECT account FROM vanished")} == {"me"}, "the other one never had it"


def test_a_hidden_track_is_certain_only_while_it_stays_hidden(store: Store) -> None:
    add_tracks(store, "a")
    store.sql("INSERT INTO saved_tracks VALUES (:me, 'a', now())", me=store.account_id)
    query = "SELECT track, certain FROM vanished"
    store.sql("UPDATE saved_tracks SET hidden_since = now()")
    assert store.sql(query) == [("a", False)]
    store.sql("UPDATE saved_tracks SET surely_hidden_since = now()")
    assert store.sql(query) == [("a", True)]
    store.sql("UPDATE saved_tracks SET hidden_since = NULL")
    assert store.sql(query) == []
    store.sql("UPDATE saved_tracks SET hidden_since = now()")
    assert store.sql(query) == [("a", False)], "hidden again, perhaps"


def test_a_hidden_album_names_its_artists(store: Store) -> None:
    add_tracks(store, "a")
    store.sql("INSERT INTO albums (id, name, uri) VALUES ('b', 'Album', 'u')")
    store.sql("INSERT INTO album_artists VALUES ('b', 0, 'y'), ('b', 1, 'x')")
    store.sql("INSERT INTO saved_albums (account_id, album_id, added_at) VALUES (:me, 'b', now())", me=store.account_id)
    assert store.sql("SELECT 1 FROM vanished") == []
    store.sql("UPDATE saved_albums SET hidden_since = now()")
    query = "SELECT kind, reason, certain, track_id, album, artist, artists FROM vanished"
    assert store.sql(query) == [("album", "hidden", False, None, "Album", "Yves", ["Yves", "Xenia"])]
