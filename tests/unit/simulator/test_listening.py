"""The invented years of plays: deterministic, and with all that statistics of a listener are about."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.simulator import World
from spotisync.simulator.world import covers, listening, pictures
from spotisync.simulator.world.library import MIN_RECENT_MS, PlayedTrack
from spotisync.simulator.world.listening import DAYS, DISCOVERY, ERA, HOLIDAY, MIN_ALBUM, STREAK, list_plays

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 30, 12, tzinfo=BERLIN)
moments = st.integers(0, 3_650).map(lambda days: NOW - timedelta(days=days))


@cache
def world(seed: int = 1, library: str = "small") -> World:
    return World(library, seed=seed)


def listen(now: datetime = NOW, seed: int = 1, library: str = "small", zone: tzinfo = BERLIN) -> list[PlayedTrack]:
    made = world(seed, library)
    return list_plays(made.catalogue, made.first, now.timestamp(), zone)


@pytest.fixture(scope="module")
def plays() -> list[PlayedTrack]:
    return listen()


@pytest.fixture(scope="module")
def invented(plays: list[PlayedTrack]) -> list[PlayedTrack]:
    """Without those of recently played, whose times are the simulator's."""
    return [play for play in plays if play not in set(world().first.plays)]


def at(play: PlayedTrack, zone: tzinfo = BERLIN) -> datetime:
    return datetime.fromtimestamp(play.played_at / 1000, zone)


def days(plays: list[PlayedTrack]) -> Counter[date]:
    return Counter(at(play).date() for play in plays if (play.ms_played or 0) >= MIN_RECENT_MS)


def age(day: date) -> int:
    return (NOW.date() - day).days


def artist(play: PlayedTrack) -> int:
    return world().catalogue.track(play.track).artists[0]


def test_the_plays_depend_on_seed_time_and_zone_only(plays: list[PlayedTrack]) -> None:
    made = World("small")
    assert list_plays(made.catalogue, made.first, NOW.timestamp(), BERLIN) == plays
    assert listen(seed=2)[:100] != plays[:100]
    assert 35_000 <= len(plays) <= 55_000
    assert age(at(plays[0]).date()) in range(DAYS - 7, DAYS + 1)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(moments, st.integers(1, 3))
def test_no_play_of_any_time_overlaps_another_or_the_future(now: datetime, seed: int) -> None:
    found = listen(now, seed, "tiny")
    assert found[-1].played_at <= now.timestamp() * 1000
    own = set(world(seed, "tiny").first.plays)
    for one, following in pairwise(play for play in found if play not in own):
        assert following.played_at - (following.ms_played or 0) >= one.played_at
    played = {at(play).date() for play in found}
    yesterday = now.date() - timedelta(days=1)
    assert {yesterday - timedelta(days=n) for n in range(15)} <= played
    assert len({day.year for day in played if (day.month, day.day) == (now.month, now.day)}) >= 1


def test_contains_what_recently_played_lists(plays: list[PlayedTrack]) -> None:
    own = world().first.plays
    first = plays.index(own[0])
    assert plays[first : first + len(own)] == own


def test_weekdays_have_commutes_and_weekends_do_not(invented: list[PlayedTrack]) -> None:
    by_hour = Counter((at(play).weekday() >= 5, at(play).hour) for play in invented)
    assert by_hour[False, 7] > 10 * by_hour[True, 7]
    assert by_hour[False, 17] > 2.5 * by_hour[True, 17]
    assert by_hour[True, 14] > by_hour[False, 14]
    assert sum(by_hour[weekend, hour] for weekend in (False, True) for hour in range(3, 6)) == 0
    assert by_hour[False, 20] > by_hour[False, 12]


def test_sessions_are_at_the_same_hours_in_summer_and_winter(invented: list[PlayedTrack]) -> None:
    mornings: dict[bool, list[float]] = {True: [], False: []}
    for play in invented:
        if 5 <= (local := at(play)).hour < 9:
            mornings[bool(local.dst())].append(local.hour + local.minute / 60)
    summer, winter = (sorted(hours)[len(hours) // 2] for hours in mornings.values())
    assert abs(summer - winter) < 0.1


def test_winter_has_more_plays_than_summer(plays: list[PlayedTrack]) -> None:
    months = Counter(at(play).month for play in plays)
    assert months[12] + months[1] > 1.25 * (months[5] + months[6])


def test_a_streak_and_two_silent_weeks_a_year(plays: list[PlayedTrack]) -> None:
    played = {age(day) for day in days(plays)}
    assert set(STREAK) <= played
    assert not {STREAK.start - 1, STREAK.stop} & played
    holidays = {year * listening.YEAR + day for year in range(4) for day in HOLIDAY}
    recent = {age(at(play).date()) for play in world().first.plays}
    assert not (holidays - recent) & played
    assert 0.8 < len(played) / DAYS < 0.95


def test_favourites_change_and_some_stay(plays: list[PlayedTrack]) -> None:
    eras: dict[int, Counter[int]] = {}
    for play in plays:
        eras.setdefault(age(at(play).date()) // ERA, Counter())[artist(play)] += 1
    tops = [{found for found, _ in eras[era].most_common(5)} for era in sorted(eras)[:12]]
    assert all(one != following for one, following in pairwise(tops))
    assert len(set().union(*tops)) > 20
    everywhere = [found for found in eras[0] if all(eras[era][found] > 20 for era in range(12))]
    assert len(everywhere) >= listening.LASTING


def test_artists_are_discovered_in_all_years(plays: list[PlayedTrack]) -> None:
    first: dict[int, PlayedTrack] = {}
    for play in plays:
        first.setdefault(play.track, play)
    years = Counter(age(at(play).date()) // listening.YEAR for play in first.values())
    assert all(years[year] > 100 for year in range(4))
    taste = listening.Taste(world().catalogue, world().first)
    for known in (10, 40, 80):
        newest = taste._get_discoveries(known * DISCOVERY)[0]
        counts = Counter(age(at(play).date()) // DISCOVERY for play in plays if artist(play) == newest)
        assert max(counts, key=lambda fortnight: counts[fortnight]) in (known, known - 1, known - 2)


def test_an_album_is_on_repeat_from_its_first_track_to_its_last(plays: list[PlayedTrack]) -> None:
    own = set(world().first.plays)
    albums = Counter(play.context_album for play in plays if play.context_album is not None and play not in own)
    assert len(albums) >= 8
    (album, _), *_ = albums.most_common(1)
    tracks = world().catalogue.tracks_of(album)
    assert len(tracks) >= MIN_ALBUM
    whole = [play.track for play in plays if play.context_album == album and play not in own]
    assert whole.count(tracks[-1]) >= 3
    following = Counter((following - one) % len(tracks) for one, following in pairwise(whole))
    assert following[1] > 0.8 * len(whole)


def test_some_tracks_are_skipped_and_some_are_not_saved(plays: list[PlayedTrack]) -> None:
    skipped = sum((play.ms_played or MIN_RECENT_MS) < MIN_RECENT_MS for play in plays)
    assert 0.05 < skipped / len(plays) < 0.2
    saved = {track for _, track in world().first.saved}
    gone = [play for play in plays if play.track not in saved and play.context_album is None]
    assert 0.02 < len(gone) / len(plays) < 0.06


def test_a_library_without_tracks_has_the_recent_plays_only() -> None:
    made = World("tiny")
    for _, track in list(made.first.saved):
        made.first.saved.remove(track)
    found = list_plays(made.catalogue, made.first, NOW.timestamp(), UTC)
    assert found == made.first.plays


def test_covers_differ_by_id_and_not_by_size() -> None:
    one, other = (pictures.image_url("album", str(n) * 22) for n in (1, 2))
    assert covers.draw(one) != covers.draw(other)
    assert covers.draw(one) == covers.draw(pictures.image_url("album", "1" * 22, 64))
