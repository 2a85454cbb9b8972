"""Four years of a listener's plays, up to a given time: seasons, habits and favourites that change.

The plays depend on the library's seed, the time and the time zone only. Days are counted back from the last one:

every day     commutes and evenings on weekdays, longer and later sessions at weekends; more in winter than in summer
streak        no silent day among the days in STREAK; other days are silent now and then
holiday       two silent weeks a year
favourites    a few artists are played in all years; the others change every ERA days, and some of them return
discoveries   every DISCOVERY days an artist is heard for the first time, often at first, then less and less
on repeat     for some days of each era, the evening is one album, from the first track to the last
skips         some tracks are skipped within 30 s
gone          some tracks are not in the library any more
"""

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import cycle
from math import cos, pi
from random import Random
from typing import Final, NamedTuple

from spotisync.simulator.world.catalogue import TWIN, Catalogue
from spotisync.simulator.world.library import MIN_RECENT_MS, Library, PlayedTrack

YEAR: Final = 365
DAYS: Final = 4 * YEAR
STREAK: Final = range(180, 280)  # days before the last one
CURRENT_STREAK: Final = range(17)
HOLIDAY: Final = range(140, 154)  # of each year, counted back in the same way
ERA: Final = 120
FAVOURITES: Final = 8
LASTING: Final = 3
NEW_FAVOURITES: Final = 5  # the other favourites of an era are those of the era before
DISCOVERY: Final = 14
ON_REPEAT: Final = range(40, 50)  # of each era
MIN_ALBUM: Final = 8
GONE: Final = 300
SILENT_CHANCE: Final = 0.08
SKIP_CHANCE: Final = 0.13
ACTIVITY: Final = (1.0, 1.2, 0.95, 0.75)  # of each year, the last one first
# What is played, by weight; on repeat, the first evening session is one album.
SOURCES: Final = {"favourites": 44, "lasting": 9, "discoveries": 14, "library": 29, "gone": 4}


class Habit(NamedTuple):
    """A session: its usual start and length in hours, and how likely it is."""

    start: float
    hours: float
    chance: float

    @property
    def is_evening(self) -> bool:
        return 19 <= self.start < 22


WEEKDAY: Final = (Habit(7.6, 0.5, 0.85), Habit(12.4, 0.3, 0.2), Habit(17.3, 0.5, 0.8), Habit(20.2, 1.1, 0.5))
WEEKEND: Final = (Habit(10.2, 1, 0.45), Habit(14.5, 1.3, 0.5), Habit(19.8, 1.5, 0.6), Habit(23.1, 1, 0.2))


class ListeningDay(NamedTuple):
    """A day of the history; `age`: how many days before the last one."""

    date: date
    age: int
    rng: Random


def list_plays(catalogue: Catalogue, library: Library, until: float, zone: tzinfo) -> list[PlayedTrack]:
    """Return the plays that ended before `until` (seconds since the epoch), with those of recently played, in order.

    Sessions are at the hours of the time zone, also across changes of its clocks.
    """
    known = sorted(play.played_at for play in library.plays)
    past = [play for play in _invent(catalogue, library, until, zone) if not _is_near(known, play.played_at)]
    recent = [play for play in library.plays if play.played_at <= until * 1000]
    return sorted(past + recent, key=lambda play: play.played_at)


def _is_near(times: Sequence[int], at: int, margin: int = 900_000) -> bool:
    return bisect(times, at - margin) < bisect(times, at + margin)


def _invent(catalogue: Catalogue, library: Library, until: float, zone: tzinfo) -> Iterator[PlayedTrack]:
    taste = Taste(catalogue, library)
    if not taste.artists:
        return
    today = datetime.fromtimestamp(until, zone).date()
    at = 0
    for age in range(DAYS, -1, -1):
        day = ListeningDay(today - timedelta(age), age, Random(f"{catalogue.seed}:{library.id}:listening:{age}"))
        for habit in _plan(day):
            start = datetime.combine(day.date, time()) + timedelta(hours=day.rng.gauss(habit.start, 0.2))
            at = max(at, int(start.replace(tzinfo=zone).timestamp() * 1000))
            end = at + int(habit.hours * day.rng.uniform(0.6, 1.4) * _get_activity(day, habit) * 3_600_000)
            for play in _play(catalogue, taste, day, habit, at, end):
                if play.played_at > until * 1000:
                    return
                yield play
                at = play.played_at + day.rng.randint(500, 2_000)


def _plan(day: ListeningDay) -> list[Habit]:
    rng, habits = day.rng, WEEKEND if day.date.weekday() >= 5 else WEEKDAY
    kept = day.age in STREAK or day.age in CURRENT_STREAK
    borders = (STREAK.start - 1, STREAK.stop, CURRENT_STREAK.stop)
    is_silent = rng.random() < SILENT_CHANCE or day.age % YEAR in HOLIDAY or day.age in borders
    if is_silent and not kept:
        return []
    chosen = [habit for habit in habits if rng.random() < habit.chance or (habit.is_evening and _is_on_repeat(day))]
    return chosen or [habit for habit in habits if habit.is_evening]


def _get_activity(day: ListeningDay, habit: Habit) -> float:
    """Return the factor of a session's length: of its year, and for all but commutes of its season."""
    year = ACTIVITY[min(day.age // YEAR, len(ACTIVITY) - 1)]
    season = 1 + 0.4 * cos((day.date.timetuple().tm_yday - 15) / YEAR * 2 * pi)  # winter's middle is in January
    return year * (season if habit.hours >= 1 else 1)


def _is_on_repeat(day: ListeningDay) -> bool:
    return day.age % ERA in ON_REPEAT


def _play(
    catalogue: Catalogue, taste: "Taste", day: ListeningDay, habit: Habit, start: int, end: int
) -> Iterator[PlayedTrack]:
    """Yield one track after the other until a time. At least the first one is not skipped."""
    album = taste.get_album(day.age // ERA) if habit.is_evening and _is_on_repeat(day) else None
    tracks = cycle(catalogue.tracks_of(album)) if album is not None else taste.choose(day)
    skip_chance, at, is_first = 0.02 if album is not None else SKIP_CHANCE, start, True
    while at < end:
        track = next(tracks)
        length = catalogue.track(track).duration_ms
        heard = length if is_first else _listen(day.rng, length, skip_chance)
        at, is_first = at + heard, False
        yield PlayedTrack(at, track, album, heard)
        at += day.rng.randint(500, 2_000)


def _listen(rng: Random, length: int, skip_chance: float) -> int:
    chance = rng.random()
    if chance < skip_chance:
        return rng.randint(1_500, MIN_RECENT_MS - 1)
    return rng.randint(MIN_RECENT_MS, length) if chance < skip_chance + 0.04 else length


class Taste:
    """What a listener plays, by the age of a day."""

    def __init__(self, catalogue: Catalogue, library: Library) -> None:
        rng = Random(f"{catalogue.seed}:{library.id}:taste")
        saved = sorted({track for _, track in library.saved if 0 <= track < TWIN})
        by_artist = defaultdict(list)
        for track in saved:
            by_artist[catalogue.track(track).artists[0]].append(track)
        self._catalogue, self._saved, self._by_artist = catalogue, saved, by_artist
        # Favourites have several saved tracks.
        self.artists = sorted(by_artist, key=lambda artist: (min(len(by_artist[artist]), 5), rng.random()))[::-1]
        missing = sorted(set(range(saved[0], saved[-1])) - set(saved)) if saved else []
        self._shuffled = rng.sample(saved, len(saved))
        self._gone = rng.sample(missing, min(GONE, len(missing))) or saved

    def choose(self, day: ListeningDay) -> Iterator[int]:
        """Yield tracks without end, never the same one twice in a row if there is another."""
        last = None
        while True:
            source = day.rng.choices(list(SOURCES), list(SOURCES.values()))[0]
            track = self._choose(source, day)
            if track != last or len(self._saved) == 1:
                yield track
            last = track

    def get_album(self, era: int) -> int | None:
        """Return a favourite artist's album of some length, None if there is none."""
        albums = (album for artist in self._get_favourites(era) for album in self._catalogue.albums_of(artist))
        return next((album for album in albums if len(self._catalogue.tracks_of(album)) >= MIN_ALBUM), None)

    def _choose(self, source: str, day: ListeningDay) -> int:
        match source:
            case "favourites":
                return self._choose_of(self._get_favourites(day.age // ERA), day.rng)
            case "lasting":
                return self._choose_of(self._get_artists(0, LASTING), day.rng)
            case "discoveries":
                return self._choose_of(self._get_discoveries(day.age), day.rng)
            case "library":
                return day.rng.choice(self._shuffled[: self._count_known(day.age)])
        return day.rng.choice(self._gone)

    def _count_known(self, age: int) -> int:
        """Return how much of the library the listener knows on a day: at first a third, at last all of it."""
        return max(1, int(len(self._shuffled) * (1 - 2 / 3 * age / DAYS)))

    def _choose_of(self, artists: Sequence[int], rng: Random) -> int:
        """Choose a track of one of the artists, the first of either most often."""
        tracks = self._by_artist[artists[int(len(artists) * rng.random() ** 2)]]
        return tracks[int(len(tracks) * rng.random() ** 1.3)]

    def _get_favourites(self, era: int) -> list[int]:
        """Return the favourites of an era. Those of other eras have another order."""
        chosen = self._get_artists(LASTING + era * NEW_FAVOURITES, FAVOURITES)
        return chosen[era % FAVOURITES :] + chosen[: era % FAVOURITES]

    def _get_discoveries(self, age: int) -> list[int]:
        """Return the artists discovered up to a day, the latest first."""
        eras = DAYS // ERA + 1
        first = LASTING + eras * NEW_FAVOURITES + FAVOURITES
        return self._get_artists(first + age // DISCOVERY, 3)

    def _get_artists(self, first: int, number: int) -> list[int]:
        """Return some of the artists, from the beginning again after the last one."""
        return [self.artists[place % len(self.artists)] for place in range(first, first + number)]
