"""Sums of plays equal the plays, whatever is inserted, changed and deleted; days and hours are those of a zone."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spotisync.store import library_figures, listening, schema
from spotisync.store.bulk import upsert
from spotisync.store.database import Database
from tests.support.store import Store

SLOT = "date_bin('15 minutes', h.played_at, '2000-01-01 00:00+00')"
PLAYS = "count(*) FILTER (WHERE h.ms_played IS NULL OR h.ms_played >= 30000)"
MS = "sum(COALESCE(h.ms_played, t.duration_ms))"
SOURCE = "FROM play_history h JOIN tracks t ON t.id = h.track_id GROUP BY 1, 2 ORDER BY 1, 2"
# The sums, and the same from the plays.
SUMS = {
    "SELECT * FROM listening_slots ORDER BY 1, 2": f"SELECT h.account_id, {SLOT}, {PLAYS}, {MS} {SOURCE}",
    "SELECT * FROM listening_hours ORDER BY 1, 2": f"""SELECT h.account_id,
        date_bin('1 hour', h.played_at, '2000-01-01 00:00+00'), {PLAYS}, {MS} {SOURCE}""",
    "SELECT * FROM listened_tracks ORDER BY 1, 2": f"""SELECT h.account_id, h.track_id, {PLAYS}, {MS},
        min(h.played_at), max(h.played_at) {SOURCE}""",
}
BEGIN = datetime(2026, 10, 24, 20, 5, tzinfo=UTC)  # a day before clocks are set back in Berlin
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Havana")


@dataclass(frozen=True)
class Play:
    minute: int
    track: int
    ms: int | None

    @property
    def at(self) -> datetime:
        return BEGIN + timedelta(minutes=self.minute)


PLAY = st.builds(
    Play, st.integers(0, 60 * 24 * 9), st.integers(0, 5), st.sampled_from((None, 0, 29_999, 30_000, 200_000))
)
KINDS = ("insert", "upsert", "delete", "move", "length", "track")
CHANGE = st.tuples(st.sampled_from(KINDS), st.lists(PLAY, min_size=1, max_size=12))


@pytest.fixture
def catalogue(store: Store) -> Store:
    """Six tracks of three artists, two albums and three genres."""
    for n in range(3):
        genres = [["pop"], ["pop", "jazz"], None][n]
        store.sql(
            "INSERT INTO artists (id, name, uri, enrichment, genres) VALUES (:id, :id, 'u', 'full', :genres)",
            id=f"artist{n}", genres=genres,
        )  # fmt: skip
    for n in range(2):
        store.sql(
            """INSERT INTO albums (id, name, uri, enrichment, label, released_on)
            VALUES (:id, :id, 'u', 'full', 'label', :day)""",
            id=f"album{n}", day=date(1989 + n, 1, 1),
        )  # fmt: skip
    for n in range(6):
        store.sql(
            "INSERT INTO tracks (id, name, uri, album_id, duration_ms) VALUES (:id, :id, 'u', :album, :ms)",
            id=f"track{n}", album=f"album{n % 2}", ms=100_000 + n,
        )  # fmt: skip
        store.sql("INSERT INTO track_artists VALUES (:id, 0, :artist)", id=f"track{n}", artist=f"artist{n % 3}")
    store.sql("INSERT INTO track_artists VALUES ('track0', 1, 'artist1')")
    return store


def insert(store: Store, *plays: Play, conflict: str = "NOTHING") -> None:
    store.sql(
        f"""INSERT INTO play_history (account_id, played_at, track_id, ms_played, source)
        SELECT DISTINCT ON (p.at, p.track) :account, p.at, 'track' || p.track, p.ms, 'import'
        FROM unnest(CAST(:at AS timestamptz[]), CAST(:track AS int[]), CAST(:ms AS int[])) p(at, track, ms)
        ON CONFLICT (account_id, played_at, track_id) DO {conflict}""",
        account=store.account_id,
        at=[play.at for play in plays],
        track=[play.track for play in plays],
        ms=[play.ms for play in plays],
    )


def assert_sums_equal_plays(store: Store) -> None:
    for sums, plays in SUMS.items():
        assert store.sql(sums) == store.sql(plays)


@example(changes=[("insert", [Play(0, 1, 40_000), Play(5, 1, 40_000)]), ("upsert", [Play(7, 1, 50_000)])])
@example(changes=[(kind, [Play(0, 4, 40_000)]) for kind in ("insert", "move", "insert", "move")])
@example(
    changes=[
        ("insert", [Play(0, 2, None), Play(5, 3, None)]),
        ("track", [Play(0, 2, None)]),
        ("delete", [Play(0, 2, None)]),
    ]
)
@given(changes=st.lists(CHANGE, min_size=1, max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_equal_the_plays_after_any_change(catalogue: Store, changes: list[Any]) -> None:
    catalogue.sql("DELETE FROM play_history")
    for kind, plays in changes:
        at = [play.at for play in plays]
        match kind:
            case "insert":
                insert(catalogue, *plays)
            case "upsert":  # one statement that inserts some rows and updates others, as the store writes plays
                known = catalogue.sql("SELECT played_at, CAST(right(track_id, 1) AS integer) FROM play_history LIMIT 5")
                again = [Play(int((at - BEGIN).total_seconds()) // 60, track, 77_000) for at, track in known]
                insert(catalogue, *plays, *again, conflict="UPDATE SET ms_played = excluded.ms_played")
            case "delete":
                catalogue.sql("DELETE FROM play_history WHERE played_at BETWEEN :a AND :b", a=min(at), b=max(at))
            case "move":
                catalogue.sql(
                    """UPDATE play_history h SET played_at = played_at + interval '1000 days', track_id = 'track5'
                    WHERE played_at BETWEEN :a AND :b AND track_id = 'track4' AND NOT EXISTS (
                        SELECT 1 FROM play_history o WHERE o.account_id = h.account_id AND o.track_id = 'track5'
                        AND o.played_at = h.played_at + interval '1000 days')""",
                    a=min(at), b=max(at),
                )  # fmt: skip
            case "length":
                catalogue.sql("UPDATE play_history SET ms_played = 31000 WHERE track_id = 'track1'")
            case "track":
                catalogue.sql("UPDATE tracks SET duration_ms = duration_ms + 1000 WHERE id IN ('track2', 'track3')")
        assert_sums_equal_plays(catalogue)


def test_a_length_that_is_learned_later_is_added_up(catalogue: Store, database: Database) -> None:
    catalogue.sql("UPDATE tracks SET duration_ms = NULL WHERE id = 'track0'")
    insert(catalogue, Play(0, 0, None), Play(90, 0, None), Play(91, 0, 40_000), Play(92, 1, None))
    rows = [{"id": "track0", "uri": "u", "duration_ms": 200_000}]
    with database.begin() as connection:
        upsert(connection, schema.tracks, rows)
        found = listening.find_track_plays(connection, catalogue.account_id, "track0")
    assert_sums_equal_plays(catalogue)
    assert found
    assert found.ms == 440_000


def test_removing_an_account_removes_its_sums(catalogue: Store) -> None:
    insert(catalogue, *(Play(n, n % 6, None) for n in range(100)))
    catalogue.sql("DELETE FROM accounts WHERE id = :id", id=catalogue.account_id)
    assert catalogue.one("SELECT (SELECT count(*) FROM listening_slots) + (SELECT count(*) FROM listened_tracks)") == 0


WEEK = [Play(97 * n, n * n % 6, [None, 10_000, 45_000][n % 3]) for n in range(130)]


@pytest.mark.parametrize("zone", ZONES)
def test_days_and_hours_are_those_of_the_zone(catalogue: Store, database: Database, zone: str) -> None:
    insert(catalogue, *WEEK)
    days: dict[date, int] = defaultdict(int)
    hours: dict[tuple[int, int], int] = defaultdict(int)
    for play in WEEK:
        local, counts = play.at.astimezone(ZoneInfo(zone)), int(play.ms is None or play.ms >= 30_000)
        days[local.date()] += counts
        hours[local.isoweekday(), local.hour] += counts
    with database.begin() as connection:
        found = listening.list_days(connection, catalogue.account_id, zone)
        by_hour = listening.list_hours(connection, catalogue.account_id, zone, BEGIN - timedelta(hours=1))
    assert [each.day for each in found] == sorted(days)
    assert {each.day: each.plays for each in found} == days
    assert {(each.weekday, each.hour): each.plays for each in by_hour} == hours
    ms = sum(play.ms if play.ms is not None else 100_000 + play.track for play in WEEK)
    assert sum(each.ms for each in found) == sum(each.ms for each in by_hour) == ms


@pytest.mark.parametrize("since", [None, BEGIN + timedelta(days=3, hours=5)])
def test_favourites_equal_a_count_of_the_plays(catalogue: Store, database: Database, since: datetime | None) -> None:
    insert(catalogue, *WEEK)
    counted = [p for p in WEEK if (p.ms is None or p.ms >= 30_000) and (since is None or p.at >= since)]
    expected: dict[str, dict[str, int]] = {kind: defaultdict(int) for kind in ("tracks", "artists", "albums", "genres")}
    for play in counted:
        artists = [play.track % 3, 1] if play.track == 0 else [play.track % 3]
        expected["tracks"][f"track{play.track}"] += 1
        expected["albums"][f"album{play.track % 2}"] += 1
        for artist in artists:
            expected["artists"][f"artist{artist}"] += 1
            for genre in (("pop",), ("pop", "jazz"), ())[artist]:
                expected["genres"][genre] += 1
    with database.begin() as connection:
        ranking = listening.read_ranking(connection, catalogue.account_id, since, 10)
        first = listening.read_ranking(connection, catalogue.account_id, since, 1).favourites
    found = ranking.favourites
    assert ranking.tracks == len(expected["tracks"])
    for kind, entries in found.items():
        assert {each.id or each.name: each.plays for each in entries} == expected[kind]
        assert [each.plays for each in entries] == sorted(expected[kind].values(), reverse=True)
        assert first[kind] == entries[:1]
    assert next(each.artist for each in found["tracks"] if each.id == "track0") == "artist0, artist1"


def test_the_first_and_last_play_of_a_track_are_known(catalogue: Store, database: Database) -> None:
    insert(catalogue, *WEEK)
    with database.begin() as connection:
        loved = listening.list_loved(connection, catalogue.account_id, 3)
        new = listening.count_new(connection, catalogue.account_id, BEGIN + timedelta(days=1))
    assert [each.plays for each in loved] == sorted((each.plays for each in loved), reverse=True)
    for each in loved:
        times = [play.at for play in WEEK if f"track{play.track}" == each.id]
        assert (each.first_at, each.last_at) == (min(times), max(times))
    firsts = {track: min(play.at for play in WEEK if play.track == track) for track in {play.track for play in WEEK}}
    heard = {play.track for play in WEEK if play.ms is None or play.ms >= 30_000}
    assert new == sum(firsts[track] >= BEGIN + timedelta(days=1) for track in heard)


def test_a_skipped_track_is_not_among_the_tracks_of_a_range(catalogue: Store, database: Database) -> None:
    insert(catalogue, Play(0, 0, 200_000), Play(60, 0, 5_000), Play(61, 1, 200_000), Play(62, 2, None))
    since = BEGIN + timedelta(minutes=30)
    with database.begin() as connection:
        ranking = listening.read_ranking(connection, catalogue.account_id, since, 10)
        new = listening.count_new(connection, catalogue.account_id, since)
    assert (ranking.tracks, new) == (len(ranking.favourites["tracks"]), 2) == (2, 2)


def test_a_day_is_remembered_in_earlier_years(catalogue: Store, database: Database) -> None:
    for day, minute, track in (
        ("2023-02-28", 30, 0), ("2023-02-28", 31, 0), ("2023-02-28", 32, 1), ("2022-02-28", 33, 3),
        ("2020-02-29", 32, 2),
    ):  # fmt: skip
        at = datetime.fromisoformat(f"{day}T23:{minute}:00+00:00")
        insert(catalogue, Play(int((at - BEGIN).total_seconds()) // 60 + 5, track, None))
    with database.begin() as connection:
        on_28th = listening.list_anniversaries(connection, catalogue.account_id, "UTC", date(2024, 2, 28))
        on_29th = listening.list_anniversaries(connection, catalogue.account_id, "UTC", date(2024, 2, 29))
        in_tokyo = listening.list_anniversaries(connection, catalogue.account_id, "Asia/Tokyo", date(2024, 3, 1))
    assert [(each.day.year, each.plays, each.id) for each in on_28th] == [(2023, 3, "track0"), (2022, 1, "track3")]
    assert [(each.day.year, each.id) for each in on_29th] == [(2020, "track2")]
    assert [(each.day.year, each.id) for each in in_tokyo] == [(2023, "track0"), (2022, "track3"), (2020, "track2")]


@pytest.mark.parametrize(
    ("zone", "midnight"), [("America/Havana", "2025-11-02T04:00Z"), ("Atlantic/Azores", "2025-10-26T00:00Z")]
)
def test_a_day_begins_at_the_first_of_two_midnights(
    catalogue: Store, database: Database, zone: str, midnight: str
) -> None:
    first = datetime.fromisoformat(midnight)
    day = first.astimezone(ZoneInfo(zone)).date()
    begin = int((first - BEGIN).total_seconds()) // 60
    insert(catalogue, *(Play(begin + minute, 0, None) for minute in (-10, 10, 70)))
    with database.begin() as connection:
        before, after = (
            listening.list_anniversaries(connection, catalogue.account_id, zone, each.replace(year=2026))
            for each in (day - timedelta(days=1), day)
        )
    assert [(each.day, each.plays) for each in before] == [(day - timedelta(days=1), 1)]
    assert [(each.day, each.plays) for each in after] == [(day, 2)]


def test_figures_of_the_library_equal_a_count(catalogue: Store, database: Database) -> None:
    for n in range(6):
        catalogue.sql(
            "INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at) VALUES (:a, :t, :at, :gone)",
            a=catalogue.account_id, t=f"track{n}", gone=BEGIN if n == 5 else None,
            at=datetime(2025, 12, 31, 23, 30, tzinfo=UTC) + timedelta(days=31 * (n % 2)),
        )  # fmt: skip
    with database.begin() as connection:
        months = library_figures.count_months(connection, catalogue.account_id, "Europe/Berlin")
        shares = library_figures.count_shares(connection, catalogue.account_id, 5)
    assert [(each.month, each.tracks) for each in months] == [(date(2026, 1, 1), 3), (date(2026, 2, 1), 2)]
    assert [(each.name, each.tracks) for each in shares["decades"]] == [("1980", 3), ("1990", 2)]
    assert [(each.name, each.tracks) for each in shares["genres"]] == [("pop", 4), ("jazz", 3)]
    assert [(each.name, each.tracks) for each in shares["labels"]] == [("label", 5)]
