"""The queries of docs/sql.md and of the listener's dashboard, on a library with two years of plays.

Figures are compared with those that plain Python computes from the rows of the tables.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, create_engine, text

from spotisync.simulator import Server, start
from spotisync.stack.postgres import Postgres
from spotisync.sync import Context, accounts
from spotisync.sync.import_history import import_history
from tests.conftest import _administer, _url, settings_for
from tests.support.driver import Account, full_sync
from tests.support.people_sql import DASHBOARD, PANELS, QUESTIONS, expand_macros, panel_queries, read_blocks

BERLIN = ZoneInfo("Europe/Berlin")
PLAYS = 1_500
DAYS = 730
# A simulated library has no contexts that are playlists.
EMPTY_QUESTIONS = {"Which of my playlists do I play?", "Which recordings have I saved twice?"}


@dataclass
class Listener:
    connection: Connection
    account_id: int

    def ask(self, question: str) -> list[Any]:
        return self.rows(QUESTIONS[question])

    def rows(self, query: str) -> list[Any]:
        return list(self.connection.exec_driver_sql(query.replace("%", "%%")))

    def plays(self, *, counted: bool = True) -> list[Any]:
        """Stored plays in order of time, with the time on a clock in Berlin."""
        found = self.rows(
            f"""SELECT h.*, t.name, COALESCE(h.ms_played, t.duration_ms) AS ms, x.artist_id FROM play_history h
            JOIN tracks t ON t.id = h.track_id JOIN track_artists x ON x.track_id = t.id AND x.position = 0
            WHERE h.account_id = {self.account_id} ORDER BY played_at"""
        )
        return [each for each in found if not counted or each.ms_played is None or each.ms_played >= 30_000]

    def saved(self) -> list[Any]:
        return self.rows(
            f"""SELECT s.*, t.name, b.released_on FROM saved_tracks s JOIN tracks t ON t.id = s.track_id
            LEFT JOIN albums b ON b.id = t.album_id WHERE s.account_id = {self.account_id} AND removed_at IS NULL"""
        )


def local(moment: datetime) -> datetime:
    return moment.astimezone(BERLIN)


def year_before(day: date) -> date:
    """As Postgres subtracts a year."""
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


@pytest.fixture(scope="module")
def listener(postgres: Postgres, template: str, directory: Path) -> Iterator[Listener]:
    _administer(postgres, f"CREATE DATABASE people TEMPLATE {template} STRATEGY FILE_COPY")
    url = _url(postgres, "people")
    with start(400, seed=7) as simulator:
        context = Context.from_settings(settings_for(url, directory, simulator.url))
        try:
            account_id = live(context, simulator, directory)
        finally:
            context.close()
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET TIME ZONE '{BERLIN.key}'")
        yield Listener(connection, account_id)
    engine.dispose()
    _administer(postgres, "DROP DATABASE people WITH (FORCE)")


def live(context: Context, simulator: Server, directory: Path) -> int:
    """Listen, save, remove; let Spotify hide tracks; sync and import."""
    world, rng = simulator.world, Random(7)
    account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
    now = datetime.now(UTC)
    a_year_ago = datetime.combine(year_before(local(now).date()), datetime.min.time(), BERLIN) + timedelta(hours=12)
    world.edit("insert_old", at=int(a_year_ago.timestamp()))
    world.edit("play", at_ms=int(a_year_ago.timestamp() * 1000))
    forgotten, *tracks = sorted(world.truth()["tracks"])
    for hours in range(6):
        world.edit("play", track=forgotten, at_ms=int((a_year_ago - timedelta(days=9, hours=hours)).timestamp() * 1000))
    tracks += tracks[:20] * 20
    for _ in range(PLAYS):
        heard = rng.choice([None, None, 4_000, 31_000, 90_000])
        at = now.timestamp() - rng.random() ** 2 * DAYS * 86_400
        world.edit("play", track=rng.choice(tracks), at_ms=int(at * 1000), ms_played=heard)
    full_sync(context, account)
    exported = directory / "people.zip"
    exported.write_bytes(world.export(rows_per_file=1_000))
    import_history(context.database, account.name, exported, lambda *_: None)
    for _ in range(4):
        world.edit("unlike")
        world.edit("hide_track")
    full_sync(context, account)
    with context.database.begin() as connection:
        return int(connection.execute(text("SELECT id FROM accounts")).scalar_one())


# ---- the questions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_has_an_answer(listener: Listener, question: str) -> None:
    assert bool(listener.ask(question)) or question in EMPTY_QUESTIONS


@pytest.mark.parametrize("page", ["README.md", "docs/history.md", "docs/sql.md"])
def test_the_sql_of_a_page_runs(listener: Listener, page: str) -> None:
    for block in read_blocks(page):
        listener.connection.exec_driver_sql(block.replace("%", "%%"))


def test_there_are_more_than_twenty_questions() -> None:
    assert len(QUESTIONS) > 20


def test_the_most_played_of_the_summer(listener: Listener) -> None:
    today = local(datetime.now(UTC))
    year = today.year - (today.month < 6)
    summer = [
        play for play in listener.plays() if (local(play.played_at).year, local(play.played_at).month // 3) == (year, 2)
    ]
    plays = Counter(play.track_id for play in summer)
    found = listener.ask("What did I listen to most this summer?")
    assert [row.plays for row in found] == [number for _, number in plays.most_common(20)]


def test_hours_of_a_month_and_of_the_week(listener: Listener) -> None:
    months: dict[date, list[Any]] = defaultdict(list)
    for play in listener.plays(counted=False):
        months[local(play.played_at).date().replace(day=1)].append(play)
    found = {row.month: row for row in listener.ask("How much do I listen in a month?")}
    assert found.keys() == months.keys()
    for month, plays in months.items():
        assert float(found[month].hours) == pytest.approx(sum(play.ms for play in plays) / 3_600_000, abs=0.002)
        assert found[month].days == len({local(play.played_at).date() for play in plays})
    week = Counter((local(play.played_at).isoweekday(), local(play.played_at).hour) for play in listener.plays())
    cells = {(row.weekday, row.hour): row.plays for row in listener.ask("When in the week do I listen?") if row.plays}
    assert cells == week


def test_days_in_the_view_are_those_of_the_time_zone(listener: Listener) -> None:
    for zone in ("Pacific/Auckland", "America/Los_Angeles", BERLIN.key):
        listener.connection.exec_driver_sql(f"SET TIME ZONE '{zone}'")
        days: dict[date, list[Any]] = defaultdict(list)
        for play in listener.plays():
            days[play.played_at.astimezone(ZoneInfo(zone)).date()].append(play.track_id)
        found = listener.rows("SELECT day, plays, tracks FROM listening_by_day WHERE plays > 0")
        assert {row.day: (row.plays, row.tracks) for row in found} == {
            day: (len(tracks), len(set(tracks))) for day, tracks in days.items()
        }


def test_the_longest_streak_and_the_longest_pause(listener: Listener) -> None:
    days = sorted({local(play.played_at).date() for play in listener.plays()})
    streaks = [[days[0]]]
    for day, following in pairwise(days):
        if following - day == timedelta(days=1):
            streaks[-1].append(following)
        else:
            streaks.append([following])
    longest = max(streaks, key=len)
    found = listener.ask("Which were my longest streaks of days with music?")[0]
    assert (found.first, found.last, found.days) == (longest[0], longest[-1], len(longest))
    times = [play.played_at for play in listener.plays(counted=False)]
    start, end = max(pairwise(times), key=lambda pair: pair[1] - pair[0])
    found = listener.ask("Which were my longest pauses?")[0]
    assert (found.paused_at, found.resumed_at, found.pause) == (start, end, end - start)


def test_first_plays_and_new_artists(listener: Listener) -> None:
    saved = {row.track_id for row in listener.saved()}
    times: dict[str, list[datetime]] = defaultdict(list)
    artists: dict[str, datetime] = {}
    counted = Counter(play.track_id for play in listener.plays())
    for play in listener.plays(counted=False):
        if counted[play.track_id]:
            artists.setdefault(play.artist_id, play.played_at)
        if play.track_id in saved:
            times[play.track_id].append(play.played_at)
    expected = sorted(
        ((counted[track], min(each), max(each)) for track, each in times.items()), key=lambda each: (-each[0], each[1])
    )
    found = listener.ask("When did I first and last play what I love?")
    assert [(row.plays, row.first_at, row.last_at) for row in found] == expected[:20]
    months = Counter(local(first).date().replace(day=1) for first in artists.values())
    assert {row.month: row.artists for row in listener.ask("How many artists do I discover in a month?")} == months


def test_saved_but_never_played_and_the_other_way_round(listener: Listener) -> None:
    played = {play.track_id for play in listener.plays(counted=False)}
    silent = sorted(row.name for row in listener.saved() if row.track_id not in played)
    assert sorted(row.track for row in listener.ask("Which saved tracks have I never played?")) == silent
    saved = {row.track_id for row in listener.saved()}
    unsaved = Counter(play.track_id for play in listener.plays() if play.track_id not in saved)
    found = listener.ask("What do I play without having saved it?")
    assert [row.plays for row in found] == [number for _, number in unsaved.most_common(20)]


def test_a_year_ago_growth_and_decades(listener: Listener) -> None:
    saved = listener.saved()
    day = year_before(local(datetime.now(UTC)).date())
    found = listener.ask("What did I save a year ago today?")
    assert sorted(row.track for row in found) == sorted(row.name for row in saved if local(row.added_at).date() == day)
    months = Counter(local(row.added_at).date().replace(day=1) for row in saved)
    growth = listener.ask("How does my library grow?")
    assert {row.month: row.added for row in growth} == months
    assert growth[-1].total == len(saved)
    decades = Counter(row.released_on and row.released_on.year // 10 * 10 for row in saved)
    assert {row.decade: row.tracks for row in listener.ask("Which decades is it from?")} == decades


def test_overlapping_playlists_and_tracks_in_one_twice(listener: Listener) -> None:
    lists: dict[str, list[str]] = defaultdict(list)
    for row in listener.rows("SELECT playlist_id, track_id FROM playlist_items WHERE track_id IS NOT NULL"):
        lists[row.playlist_id].append(row.track_id)
    shared = [len(set(one) & set(other)) for one, other in combinations(lists.values(), 2)]
    found = listener.ask("Which playlists overlap?")
    assert [row.tracks for row in found] == sorted((number for number in shared if number), reverse=True)[:20]
    repeated = sum(number > 1 for tracks in lists.values() for number in Counter(tracks).values())
    assert len(listener.ask("Which tracks are in a playlist twice?")) == repeated


def test_what_vanished_and_what_was_removed(listener: Listener) -> None:
    found = Counter(row.reason for row in listener.ask("What vanished?"))
    holes = listener.rows("SELECT * FROM playlist_items WHERE kind = 'unavailable'")
    hidden = listener.rows("SELECT * FROM saved_tracks WHERE hidden_since IS NOT NULL")
    assert found == {"unavailable": len(holes), "hidden": len(hidden)}
    assert len(hidden) >= 4
    assert len(listener.ask("What is no longer saved?")) == 4


# ---- the dashboard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", panel_queries())
def test_each_panel_has_rows(listener: Listener, title: str) -> None:
    begin, end = "2000-01-01T00:00:00Z", datetime.now(UTC).isoformat()
    query = expand_macros(panel_queries()[title], listener.account_id, begin, end)
    assert "$" not in query
    rows = listener.rows(query)
    assert rows
    (target,) = next(panel for panel in PANELS if panel["title"] == title)["targets"]
    if target["format"] == "time_series":
        assert all(row.time.tzinfo for row in rows)


def test_panels_show_what_the_questions_answer(listener: Listener) -> None:
    def ask(title: str) -> list[Any]:
        return listener.rows(expand_macros(panel_queries()[title], listener.account_id, "2000-01-01", "2100-01-01"))

    hours = sum(row.hours for row in listener.ask("How much do I listen in a month?"))
    assert ask("Hours")[0].hours == hours == sum(row.hours for row in ask("Hours by day"))
    assert sum(cell or 0 for row in ask("Calendar") for cell in row[1:]) == hours
    assert float(sum(cell or 0 for row in ask("Hour and weekday") for cell in row[1:])) == pytest.approx(
        float(hours), abs=0.1
    )
    assert ask("Saved tracks")[-1].tracks == len(listener.saved())
    assert ask("Plays")[0].plays == len(listener.plays())


def test_every_panel_shows_the_chosen_account(listener: Listener) -> None:
    account = DASHBOARD["templating"]["list"][1]
    (chosen,) = listener.rows(account["query"])
    assert chosen.__value == listener.account_id
    assert all(re.search(rf"\${account['name']}\b", query) for query in panel_queries().values())
