"""The state that a simulator serves: a catalogue, accounts with libraries, a clock."""

import time
from collections import Counter
from itertools import cycle
from random import Random
from threading import RLock
from typing import NamedTuple

from spotisync.simulator.world import seeding
from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.library import Library, PlayedTrack, Playlist
from spotisync.simulator.world.playlists import PlaylistGenerator, share_playlists
from spotisync.simulator.world.seeding import Region


class Size(NamedTuple):
    tracks: int
    playlists: int
    largest: int  # rows of the largest playlist


PRESETS = {
    "tiny": Size(30, 6, 230),
    "small": Size(3_500, 50, 320),
    "medium": Size(10_000, 100, 1_200),
    "large": Size(50_000, 300, 2_500),
    "huge": Size(500_000, 1_000, 5_000),
}


def size_of(tracks: int) -> Size:
    """Return a size for this many saved tracks, in proportion to the presets."""
    return Size(tracks, min(1_000, max(6, tracks // 75)), 230 if tracks < 5_000 else 1_200)


def milliseconds_played(catalogue: Catalogue, play: PlayedTrack) -> int:
    return catalogue.track(play.track).duration_ms if play.ms_played is None else play.ms_played


class WorldState:
    """Libraries generated from a seed and a size. `libraries`: how many are generated; further accounts get copies.

    `others`: the saved tracks of each account but the first; half as many as the first by default.

    Hold `lock` while reading several related things: an in-process server works in a thread of its own. `clock_offset`
    is added to the time, in seconds. An edited playlist reports its new snapshot id after `snapshot_lag` seconds, and
    an intermediate one after half of them. `play_shift`: by how many seconds the reported time of a play may be off.
    `play_starts`: recently played reports when a play started (web-api#613, #1083; multi-scrobbler#167, #709, #710).
    """

    def __init__(
        self,
        library: str | int = "small",
        *,
        seed: int = 1,
        accounts: int = 1,
        libraries: int | None = None,
        others: int | None = None,
        quirks: bool = True,
    ) -> None:
        size = PRESETS[library] if isinstance(library, str) else size_of(library)
        other = size._replace(tracks=seeding.count_others(size.tracks)) if others is None else size_of(others)
        generated = min(accounts, libraries or accounts)
        regions = seeding.regions(size.tracks, other.tracks, generated)
        self.seed, self.lock, self.rng = seed, RLock(), Random(f"{seed}:edits")
        self.clock_offset = 0.0
        self.snapshot_lag = 0.0
        self.play_shift = 0.0
        self.play_starts = False
        self._shifts = Random(f"{seed}:reports")
        self.catalogue = Catalogue(seed, max(first + width for first, width in regions), quirks=quirks)
        self.accounts: dict[str, Library] = {}
        self.playlists: dict[str, Playlist] = {}
        for number, region in enumerate(regions):
            self._add_account(number, Region(self.catalogue, *region), other if number else size)
        self._add_copies(range(generated, accounts))

    def _add_account(self, number: int, region: Region, size: Size) -> None:
        library = seeding.library(self.catalogue, number, region, size.tracks)
        self.accounts[library.id] = library
        generator = PlaylistGenerator(self.catalogue, library, number, region, size.largest)
        self.playlists |= generator.generate(size.playlists)
        if number:
            share_playlists(self.first, library, self.playlists)

    def _add_copies(self, numbers: range) -> None:
        """Add accounts with the libraries of those before them, in turn; not the first one's, which is larger."""
        generated = list(self.accounts.values())
        originals = cycle(generated[1:] or generated)
        for number in numbers:
            library = next(originals).copy_for(seeding.identity(self.catalogue, number))
            self.accounts[library.id] = library

    @property
    def first(self) -> Library:
        return next(iter(self.accounts.values()))

    def library(self, account: str | None = None) -> Library:
        """Return an account's library, by default the first account's."""
        return self.first if account is None else self.accounts[account]

    def listed_playlists(self, library: Library, *, restricted: bool) -> list[str | None]:
        """Return the list of playlists that a client sees; None is a null row.

        The restricted regime leaves out Spotify's own playlists, which are the null rows of the full one; followed
        playlists of other people stay (stiefenm/spoton#120; Spotty-Plugin#233).
        """
        if not restricted:
            return library.playlists
        return [id_ for id_ in library.playlists if id_ and self.playlists[id_].owner_id != "spotify"]

    def top(self, library: Library, kind: str, time_range: str) -> list[int]:
        """Rank tracks, or artists by the plays of their tracks: best first."""
        plays = library.count_plays(time_range)
        if kind == "artists":
            by_artist = Counter[int]()
            for track, count in plays.items():
                by_artist.update(dict.fromkeys(self.catalogue.track(track).artists, count))
            plays = Counter({n: count for n, count in by_artist.items() if not self.catalogue.is_gone("artist", n)})
        return sorted(plays, key=lambda number: (-plays[number], number))

    def now(self) -> float:
        return time.time() + self.clock_offset

    def report(self, play: PlayedTrack) -> PlayedTrack:
        """Return a play as Spotify reports it: with `play_shift` at a slightly different time in each reply."""
        at = play.played_at
        if self.play_starts:
            at -= milliseconds_played(self.catalogue, play)
        if self.play_shift:
            at += int(self._shifts.uniform(-self.play_shift, self.play_shift) * 1000)
        return play._replace(played_at=at)
