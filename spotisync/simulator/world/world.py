"""The world that a simulator serves: a catalogue, accounts with libraries, a clock. No I/O."""

import time
from random import Random
from threading import RLock
from typing import Any, NamedTuple

from spotisync.simulator.world import edits, playlist_edits, seeding
from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.library import Library, Play, Playlist
from spotisync.simulator.world.playlists import Shelf, share
from spotisync.simulator.world.seeding import Region
from spotisync.simulator.world.streaming_history import archive
from spotisync.simulator.world.truth import truth

# fmt: off
EDITS = {
    each.__name__: each
    for each in (
        edits.like, edits.unlike, edits.relike, edits.like_album, edits.insert_old, edits.relink, edits.duplicate,
        edits.save_album, edits.unsave_album, edits.follow, edits.unfollow, edits.play,
        edits.hide_track, edits.show_track, edits.withdraw, edits.drift,
        playlist_edits.create_playlist, playlist_edits.delete_playlist, playlist_edits.follow_playlist,
        playlist_edits.rename_playlist, playlist_edits.move_playlist, playlist_edits.add_items,
        playlist_edits.remove_items, playlist_edits.reorder_items,
        playlist_edits.hide_playlist, playlist_edits.show_playlist, playlist_edits.withhold,
    )
}
# What an unattended person does, and how often. Left out: what no cheap look at the list can show (`PATROL_EDITS`).
HABITS = {
    "like": 20, "unlike": 12, "relike": 6, "like_album": 3, "save_album": 3, "unsave_album": 2, "follow": 3,
    "unfollow": 2, "create_playlist": 2, "delete_playlist": 1, "rename_playlist": 2, "add_items": 8,
    "remove_items": 4, "reorder_items": 3, "move_playlist": 2, "play": 10,
}
# fmt: on
PATROL_EDITS = ("insert_old", "relink", "duplicate")
# What Spotify does, and no person: the library stays what it is, but less of it is shown.
ODDITIES = ("hide_track", "show_track", "withdraw", "drift", "hide_playlist", "show_playlist", "withhold")


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
    """Size a library of this many saved tracks like the presets."""
    return Size(tracks, min(1_000, max(6, tracks // 75)), 230 if tracks < 5_000 else 1_200)


class World:
    """Libraries that follow from a seed and a size, and the edits made since.

    Hold `lock` while reading several things that belong together: an in-process server works in its own thread.
    `clock_offset` moves what the simulator takes for now. An edited playlist shows its new snapshot id after
    `snapshot_lag` seconds: until half of them its old one, then one in between. `play_shift` is by how many
    seconds a report of a play may be off.
    """

    def __init__(self, library: str | int = "small", *, seed: int = 1, accounts: int = 1, quirks: bool = True) -> None:
        size = PRESETS[library] if isinstance(library, str) else size_of(library)
        spots = seeding.regions(size.tracks, accounts)
        self.seed, self.lock, self.rng = seed, RLock(), Random(f"{seed}:edits")
        self.clock_offset = 0.0
        self.snapshot_lag = 0.0
        self.play_shift = 0.0
        self._reports = Random(f"{seed}:reports")
        self.catalogue = Catalogue(seed, max(first + width for first, width in spots), quirks=quirks)
        self.accounts: dict[str, Library] = {}
        self.playlists: dict[str, Playlist] = {}
        for number, (spot, tracks) in enumerate(zip(spots, seeding.sizes(size.tracks, accounts), strict=True)):
            self._settle(number, Region(self.catalogue, *spot), size._replace(tracks=tracks))

    def _settle(self, number: int, region: Region, size: Size) -> None:
        library = seeding.library(self.catalogue, number, region, size.tracks)
        self.accounts[library.id] = library
        shelf = Shelf(self.catalogue, library, number, region, size.largest)
        self.playlists |= shelf.fill(size.playlists)
        if number:
            share(self.first, library, self.playlists)

    @property
    def first(self) -> Library:
        return next(iter(self.accounts.values()))

    def library(self, account: str | None = None) -> Library:
        """Give an account's library, the first account's by default."""
        return self.first if account is None else self.accounts[account]

    def now(self) -> float:
        return time.time() + self.clock_offset

    def edit(self, op: str, account: str | None = None, rng: Random | None = None, **args: Any) -> dict[str, Any]:
        """Do one of `EDITS` to an account's library and say what was done."""
        if op == "random":
            return self.random_edit(rng, account, **args)
        if op not in EDITS:
            raise LookupError(f"no edit {op!r}; there are {', '.join(EDITS)}")
        with self.lock:
            done = EDITS[op](edits.Hand(self, self.library(account), rng or self.rng), **args)
        return {"op": op, **done}

    def random_edit(
        self, rng: Random | None = None, account: str | None = None, ops: list[str] | None = None
    ) -> dict[str, Any]:
        """Do one edit out of `ops` (default: out of `HABITS`, by weight) to a thing picked by `rng`."""
        rng = rng or self.rng
        names = ops or list(HABITS)
        for _ in range(100):
            op = rng.choices(names, [HABITS.get(name, 1) for name in names])[0]
            try:
                return self.edit(op, account, rng)
            except (LookupError, IndexError):
                continue  # there is nothing left to do this to
        raise LookupError(f"none of {', '.join(names)} is possible")

    def report(self, play: Play) -> Play:
        """Tell a play as Spotify does: each time a little different, if so set."""
        if not self.play_shift:
            return play
        shift = self._reports.uniform(-self.play_shift, self.play_shift)
        return play._replace(played_at=play.played_at + int(shift * 1000))

    def export(self, account: str | None = None, *, rows_a_file: int = 50, shuffled: bool = False) -> bytes:
        """Give the zip of an account's extended streaming history; `shuffled`: as it was until 2022."""
        with self.lock:
            return archive(self.catalogue, self.library(account), rows_a_file, shuffled=shuffled)

    def truth(self, account: str | None = None, *, regime: str = "full") -> dict[str, Any]:
        """Give what a right sync of this account knows, as a JSON document."""
        with self.lock:
            return truth(self, self.library(account), restricted=regime == "restricted")
