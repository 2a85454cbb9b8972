"""What an account has: saved tracks in Spotify's order, albums, followed artists, playlists, plays."""

from array import array
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

NO_TRACK = -1
REMEMBERED = 50  # plays that Spotify still tells
SHORTEST_TOLD = 30_000  # what was heard for less is in the export alone


class Row(NamedTuple):
    """One row of a playlist. `number` means nothing for an unavailable row (`track: null`)."""

    kind: str  # "track", "episode", "local" or "unavailable"
    number: int
    added_at: int | None
    added_by: str | None


class Play(NamedTuple):
    played_at: int  # milliseconds: the end of the play
    track: int
    context_album: int | None
    ms_played: int | None = None  # all of it


class SavedTracks:
    """Saved tracks, newest first, in sixteen bytes a row.

    Like Spotify it sorts by the minute: inside one minute the order is fixed but says nothing about seconds.
    The same track can stand here twice (twins that became one); a row without a track is negative.
    """

    def __init__(self, rows: Iterable[tuple[int, int]], *, by_minute: bool) -> None:
        self._unit = 60 if by_minute else 1
        ordered = sorted(rows, key=lambda row: self._key(*row))
        self._added = array("q", (added for added, _ in ordered))
        self._track = array("q", (track for _, track in ordered))

    def __len__(self) -> int:
        return len(self._track)

    def __contains__(self, track: int) -> bool:
        return track in self._track

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._added, self._track, strict=True)

    def __getitem__(self, position: int) -> tuple[int, int]:
        return self._added[position], self._track[position]

    def page(self, offset: int, limit: int) -> list[tuple[int, int]]:
        end = offset + limit
        return list(zip(self._added[offset:end], self._track[offset:end], strict=True))

    def add(self, added_at: int, track: int) -> None:
        place = bisect_left(range(len(self)), self._key(added_at, track), key=lambda i: self._key(*self[i]))
        self._added.insert(place, added_at)
        self._track.insert(place, track)

    def remove(self, track: int) -> list[int]:
        """Take every row of this track away and say when each was added."""
        taken = []
        while track in self._track:
            place = self._track.index(track)
            taken.append(self._added.pop(place))
            self._track.pop(place)
        return taken

    def _key(self, added_at: int, track: int) -> int:
        scrambled = (track + 2**62) * 0x9E3779B97F4A7C15 % 2**64
        return (-(added_at // self._unit) << 64) + scrambled


@dataclass(slots=True)
class Playlist:
    """`pictures` is a style of `pictures.images`."""

    id: str
    name: str
    description: str | None
    owner_id: str
    owner_name: str
    public: bool | None = True
    collaborative: bool = False
    pictures: str = "full"
    rows: list[Row] = field(default_factory=list)
    revision: int = 1
    shown_revision: int = 0  # the snapshot that is still answered
    shown_until: float = 0  # ... until this second, after an edit
    settled_at: float = 0  # from then on the new one is; between the two, one that stands for nothing
    withheld: tuple[str, ...] = ()  # what lists of playlists say null to

    def changed(self, now: float, lag: float) -> None:
        """Give it a new snapshot id, which readers see `lag` seconds from now; half-way they see another one."""
        self.shown_revision = self.visible_revision(now)
        self.shown_until, self.settled_at = now + lag / 2, now + lag
        self.revision += 2

    def visible_revision(self, now: float) -> int:
        if now < self.shown_until:
            return self.shown_revision
        return self.revision - 1 if now < self.settled_at else self.revision

    def snapshot_id(self, now: float) -> str:
        return snapshot_id(self.id, self.visible_revision(now))


def snapshot_id(playlist_id: str, revision: int) -> str:
    digest = blake2b(f"{playlist_id}:{revision}".encode(), digest_size=20).digest()
    return b64encode(revision.to_bytes(4, "big") + digest).decode()


@dataclass
class Library:
    """One account. None in `albums` and `playlists` is a null row that Spotify lists and counts."""

    id: str
    account_id: str
    display_name: str
    saved: SavedTracks
    albums: list[tuple[int, int | None]]  # added_at, album
    followed: list[tuple[str, int]]  # id, artist; by id
    playlists: list[str | None]
    plays: list[Play]  # newest last
    refusals: dict[str, str] = field(default_factory=dict)  # playlist id: "forbidden" or "not_found"
    hidden: dict[int, bool] = field(default_factory=dict)  # saved tracks listed without their track; True: null alone
    hidden_playlists: set[str] = field(default_factory=set)

    def told_plays(self) -> list[Play]:
        """Give the plays that recently played tells, oldest first."""
        long = [play for play in self.plays if play.ms_played is None or play.ms_played > SHORTEST_TOLD]
        return long[-REMEMBERED:]

    def access(self, that: Playlist, *, restricted: bool) -> str:
        """Say whether this account may read a playlist's rows: "ok", "forbidden" or "not_found"."""
        refusal = self.refusals.get(that.id, "ok")
        mine = that.owner_id == self.id or that.collaborative
        return "forbidden" if refusal == "ok" and restricted and not mine else refusal
