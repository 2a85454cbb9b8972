"""What Spotify knows: artists, albums, tracks, episodes. Facts are derived from a number when asked for, never stored.

Numbers: a main artist is even, a guest odd; the albums of an artist and the tracks of an album follow each other.
A track's twin (the same recording under another id) is `number + TWIN`.
"""

from array import array
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from spotisync.simulator.world import names
from spotisync.simulator.world.ids import Dice, Ids

TWIN = 1 << 40


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


class Episode(NamedTuple):
    number: int
    id: str
    name: str
    show_id: str
    show_name: str
    duration_ms: int


class Local(NamedTuple):
    """A file on somebody's disk: it has no id, and any part may be empty."""

    artist: str
    album: str
    title: str
    seconds: int


class Catalogue:
    """Everything that exists, for `artists` main artists. `quirks` adds Spotify's oddities."""

    def __init__(self, seed: int, artists: int, *, quirks: bool = True) -> None:
        self.seed, self.quirks, self.ids = seed, quirks, Ids(seed)
        self.main_artists = artists
        self.withdrawn: set[tuple[str, int]] = set()
        self.rise = 0
        # Two streams, so that a larger catalogue only appends to a smaller one of the same seed.
        albums = Random(f"{seed}:albums").choices((1, 2, 3), (60, 28, 12), k=artists)
        self._first_album = array("q", accumulate(albums, initial=0))
        sizes = Random(f"{seed}:sizes").choices(
            (1, 2, 3, 5, 8, 10, 12, 14), (18, 8, 6, 10, 14, 18, 16, 10), k=sum(albums)
        )
        if quirks and len(sizes) > 300:
            sizes[300] = 68  # its tracks don't fit into one page
        self._first_track = array("q", accumulate(sizes, initial=0))
        self.artist = lru_cache(1 << 14)(self._artist)
        self.album = lru_cache(1 << 14)(self._album)
        self.track = lru_cache(1 << 14)(self._track)

    def drift(self) -> None:
        """Time passes: every artist and album is a little more popular than before, some are of a genre more."""
        self.rise += 1
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

    def knows(self, kind: str, number: int) -> bool:
        """Say whether this number stands for something that exists (`gone` things still do, in old tracks)."""
        if kind == "artist":
            return number < 2 * self.main_artists
        return number % TWIN < (self.albums if kind == "album" else self.tracks)

    def gone(self, kind: str, number: int) -> bool:
        """Say whether tracks still name it but a look-up finds nothing."""
        every, which = {"artist": (62, 10), "album": (61, 7)}.get(kind, (1, 1))
        return (kind, number) in self.withdrawn or (self.quirks and number % every == which)

    def find(self, kind: str, id_: str) -> int | None:
        number = self.ids.number(kind, id_)
        return number if number is not None and self.knows(kind, number) else None

    def _artist(self, number: int) -> Artist:
        dice = Dice(f"{self.seed}:artist:{number}")
        name = names.artist(dice)
        genres = (
            tuple(dict.fromkeys(dice.pick(names.GENRES) for _ in range(dice.roll(3) + 1))) if dice.chance(50) else ()
        )
        if self.rise and not number % 4:
            genres = (*genres, "on the rise")
        odd = self.quirks and dice.chance(12)
        return Artist(
            number,
            self.ids.of("artist", number),
            "" if self.quirks and number % 422 == 12 else name,
            genres,
            dice.roll(90) + self.rise,
            int(10 ** (dice.roll(700) / 100)) + self.rise,
            dice.pick(("none", "sizeless")) if odd else "full",
        )

    def _album(self, number: int) -> Album:
        dice = Dice(f"{self.seed}:album:{number}")
        main = bisect_right(self._first_album, number) - 1
        size = len(self.tracks_of(number))
        date, precision = self._release(number, dice)
        with_guest = dice.chance(10)
        return Album(
            number,
            self.ids.of("album", number),
            names.title(dice),
            "single" if size < 5 else "compilation" if dice.chance(4) else "album",
            date,
            precision,
            size,
            dice.pick(names.LABELS),
            dice.roll(80) + self.rise,
            f"{dice.roll(10**12):012d}",
            (2 * main, self._guest(main, dice)) if with_guest else (2 * main,),
            "none" if self.quirks and dice.chance(2) else "full",
        )

    def _release(self, number: int, dice: Dice) -> tuple[str, str]:
        year, month, day = 1962 + dice.roll(64), dice.roll(12) + 1, dice.roll(28) + 1
        form = dice.roll(20)
        if self.quirks and number % 61 == 6:
            return "0000", "year"
        if form < 3:
            return f"{year}", "year"
        return (f"{year}-{month:02d}", "month") if form == 3 else (f"{year}-{month:02d}-{day:02d}", "day")

    def _guest(self, main: int, dice: Dice) -> int:
        """Guests work near home, so that accounts with other tastes meet other guests."""
        return 2 * (min(main // 2 + dice.roll(2), self.main_artists - 1)) + 1

    def _track(self, number: int) -> Track:
        plain = number % TWIN
        album = self.album_of(plain)
        main = bisect_right(self._first_album, album) - 1
        place = plain - self._first_track[album]
        dice = Dice(f"{self.seed}:track:{plain}")
        return Track(
            number,
            self.ids.of("track", number),
            names.title(dice),
            album,
            self._performers(main, dice),
            60_000 + dice.roll(300_000),
            dice.chance(12),
            place // 20 + 1,
            place % 20 + 1,
            None if self.quirks and plain % 127 == 17 else f"QZ{plain % 1000:03d}{plain // 1000 % 10**7:07d}",
            dice.roll(100),
        )

    def _performers(self, main: int, dice: Dice) -> tuple[int, ...]:
        performers = [2 * main]
        if dice.chance(22):
            performers.append(self._guest(main, dice))
        if dice.chance(4):
            performers.append(2 * (max(0, main - 1 - dice.roll(4))))
        return tuple(dict.fromkeys(performers))

    def episode(self, number: int) -> Episode:
        dice, show = Dice(f"{self.seed}:episode:{number}"), number // 5
        name = f"{number % 5 + 1}. {names.title(dice)}"
        show_name = f"{names.person(Dice(f'{self.seed}:show:{show}'))} talks"
        ids = self.ids
        return Episode(
            number, ids.of("episode", number), name, ids.of("show", show), show_name, 600_000 + dice.roll(10**6)
        )

    def local(self, number: int) -> Local:
        dice = Dice(f"{self.seed}:local:{number}")
        artist, album, title = names.artist(dice), names.title(dice), names.title(dice)
        # Files without tags are common: each part is missing now and then.
        return Local("" if number % 4 == 1 else artist, "" if number % 3 == 1 else album, title, 90 + dice.roll(300))
