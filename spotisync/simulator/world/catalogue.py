"""Spotify's catalogue: artists, albums, tracks, episodes. Facts are derived from a number on demand, never stored.

Numbers: a main artist is even, a guest odd; the albums of an artist and the tracks of an album are consecutive.
A track's twin (the same recording under another id) is `number + TWIN`.
"""

from array import array
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from spotisync.simulator.world import names
from spotisync.simulator.world.ids import Ids, SeededRandom

TWIN = 1 << 40
FIRST_AUDIOBOOK = 1 << 20  # among the numbers of shows


class Artist(NamedTuple):
    number: int
    id: str
    name: str
    genres: tuple[str, ...]
    popularity: int
    followers: int
    pictures: str  # "full", "none" or "sizeless"


class Album(NamedTuple):
    number: int
    id: str
    name: str
    album_type: str
    release_date: str
    release_date_precision: str
    total_tracks: int
    label: str
    popularity: int
    upc: str
    artists: tuple[int, ...]
    pictures: str


class Track(NamedTuple):
    number: int
    id: str
    name: str
    album: int
    artists: tuple[int, ...]
    duration_ms: int
    explicit: bool
    disc_number: int
    track_number: int
    isrc: str | None
    popularity: int


class Show(NamedTuple):
    """A podcast, or an audiobook, which has authors."""

    number: int
    id: str
    name: str
    authors: tuple[str, ...] = ()
    narrators: tuple[str, ...] = ()


class Episode(NamedTuple):
    number: int
    id: str
    name: str
    show: int
    show_id: str
    show_name: str
    duration_ms: int


class LocalFile(NamedTuple):
    """A file on a user's disk: it has no id, and any part may be empty."""

    artist: str
    album: str
    title: str
    seconds: int

    @property
    def uri(self) -> str:
        parts = (self.artist, self.album, self.title)
        return "spotify:local:" + ":".join(quote_plus(part) for part in parts) + f":{self.seconds}"


def pick(found: object, *names: str) -> dict[str, Any]:
    """Return these attributes as a dictionary."""
    return {name: getattr(found, name) for name in names}


class Catalogue:
    """The catalogue of `artists` main artists. `quirks` adds Spotify's oddities."""

    def __init__(self, seed: int, artists: int, *, quirks: bool = True) -> None:
        self.seed, self.quirks, self.ids = seed, quirks, Ids(seed)
        self.main_artists = artists
        self.withdrawn: set[tuple[str, int]] = set()
        self.unplayable: dict[int, str] = {}  # tracks that are greyed out, and why
        self.drifts = 0
        # Separate generators, so that a larger catalogue only appends to a smaller one of the same seed.
        albums = Random(f"{seed}:albums").choices((1, 2, 3), (60, 28, 12), k=artists)
        self._first_album = array("q", accumulate(albums, initial=0))
        sizes = Random(f"{seed}:sizes").choices(
            (1, 2, 3, 5, 8, 10, 12, 14), (18, 8, 6, 10, 14, 18, 16, 10), k=sum(albums)
        )
        if quirks and len(sizes) > 300:
            sizes[300] = 68  # its tracks need more than one page
        self._first_track = array("q", accumulate(sizes, initial=0))
        self.artist = lru_cache(1 << 14)(self._artist)
        self.album = lru_cache(1 << 14)(self._album)
        self.track = lru_cache(1 << 14)(self._track)

    def drift(self) -> None:
        """Make every artist and album a little more popular, and give some artists another genre."""
        self.drifts += 1
        self.artist.cache_clear()
        self.album.cache_clear()

    @property
    def albums(self) -> int:
        return len(self._first_track) - 1

    @property
    def tracks(self) -> int:
        return self._first_track[-1]

    def albums_of(self, artist: int) -> range:
        return range(self._first_album[artist // 2], self._first_album[artist // 2 + 1])

    def tracks_of(self, album: int) -> range:
        return range(self._first_track[album], self._first_track[album + 1])

    def album_of(self, track: int) -> int:
        return bisect_right(self._first_track, track % TWIN) - 1

    def exists(self, kind: str, number: int) -> bool:
        """Tell whether the number belongs to the catalogue. What `is_gone` still exists, in older tracks."""
        if kind == "artist":
            return number < 2 * self.main_artists
        return number % TWIN < (self.albums if kind == "album" else self.tracks)

    def is_gone(self, kind: str, number: int) -> bool:
        """Tell whether tracks still name it although a look-up finds nothing."""
        modulus, remainder = {"artist": (62, 10), "album": (61, 7)}.get(kind, (1, 1))
        return (kind, number) in self.withdrawn or (self.quirks and number % modulus == remainder)

    def find(self, kind: str, id_: str) -> int | None:
        number = self.ids.number(kind, id_)
        return number if number is not None and self.exists(kind, number) else None

    def _artist(self, number: int) -> Artist:
        rng = SeededRandom(f"{self.seed}:artist:{number}")
        name = names.artist(rng)
        count = rng.randrange(3) + 1 if rng.chance(50) else 0
        genres = tuple(dict.fromkeys(rng.choice(names.GENRES) for _ in range(count)))
        if self.drifts and not number % 4:
            genres = (*genres, "on the rise")
        odd = self.quirks and rng.chance(12)
        return Artist(
            number,
            self.ids.of("artist", number),
            "" if self.quirks and number % 422 == 12 else name,
            genres,
            rng.randrange(90) + self.drifts,
            int(10 ** (rng.randrange(700) / 100)) + self.drifts,
            rng.choice(("none", "sizeless")) if odd else "full",
        )

    def _album(self, number: int) -> Album:
        rng = SeededRandom(f"{self.seed}:album:{number}")
        main = bisect_right(self._first_album, number) - 1
        size = len(self.tracks_of(number))
        date, precision = self._release(number, rng)
        with_guest = rng.chance(10)
        return Album(
            number,
            self.ids.of("album", number),
            names.title(rng),
            "single" if size < 5 else "compilation" if rng.chance(4) else "album",
            date,
            precision,
            size,
            rng.choice(names.LABELS),
            rng.randrange(80) + self.drifts,
            f"{rng.randrange(10**12):012d}",
            (2 * main, self._guest(main, rng)) if with_guest else (2 * main,),
            "none" if self.quirks and rng.chance(2) else "full",
        )

    def _release(self, number: int, rng: SeededRandom) -> tuple[str, str]:
        year, month, day = 1962 + rng.randrange(64), rng.randrange(12) + 1, rng.randrange(28) + 1
        precision = rng.randrange(20)
        if self.quirks and number % 61 == 6:
            return "0000", "year"
        if precision < 3:
            return f"{year}", "year"
        return (f"{year}-{month:02d}", "month") if precision == 3 else (f"{year}-{month:02d}-{day:02d}", "day")

    def _guest(self, main: int, rng: SeededRandom) -> int:
        """Choose a neighbouring artist, so that accounts with different regions have different guests."""
        return 2 * (min(main // 2 + rng.randrange(2), self.main_artists - 1)) + 1

    def _track(self, number: int) -> Track:
        plain = number % TWIN
        album = self.album_of(plain)
        main = bisect_right(self._first_album, album) - 1
        place = plain - self._first_track[album]
        rng = SeededRandom(f"{self.seed}:track:{plain}")
        return Track(
            number,
            self.ids.of("track", number),
            names.title(rng),
            album,
            self._performers(main, rng),
            60_000 + rng.randrange(300_000),
            rng.chance(12),
            place // 20 + 1,
            place % 20 + 1,
            None if self.quirks and plain % 127 == 17 else f"QZ{plain % 1000:03d}{plain // 1000 % 10**7:07d}",
            rng.randrange(100),
        )

    def _performers(self, main: int, rng: SeededRandom) -> tuple[int, ...]:
        performers = [2 * main]
        if rng.chance(22):
            performers.append(self._guest(main, rng))
        if rng.chance(4):
            performers.append(2 * (max(0, main - 1 - rng.randrange(4))))
        return tuple(dict.fromkeys(performers))

    def show(self, number: int) -> Show:
        rng = SeededRandom(f"{self.seed}:show:{number}")
        id_ = self.ids.of("show", number)
        if number < FIRST_AUDIOBOOK:
            return Show(number, id_, f"{names.person(rng)} talks")
        return Show(number, id_, f"{names.title(rng)} (Unabridged)", (names.person(rng),), (names.person(rng),))

    def episode(self, number: int) -> Episode:
        rng, show = SeededRandom(f"{self.seed}:episode:{number}"), self.show(number // 5)
        name = f"{number % 5 + 1}. {names.title(rng)}"
        id_ = self.ids.of("episode", number)
        return Episode(number, id_, name, show.number, show.id, show.name, 600_000 + rng.randrange(10**6))

    def local(self, number: int) -> LocalFile:
        rng = SeededRandom(f"{self.seed}:local:{number}")
        artist, album, title = names.artist(rng), names.title(rng), names.title(rng)
        # Files without tags are common, so each part is sometimes missing.
        artist, album = "" if number % 4 == 1 else artist, "" if number % 3 == 1 else album
        return LocalFile(artist, album, title, 90 + rng.randrange(300))
