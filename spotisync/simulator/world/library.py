"""An account's library: saved tracks in Spotify's order, albums, followed artists, playlists, plays."""

from array import array
from base64 import b64encode
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

NO_TRACK = -1
RECENT_PLAYS = 50  # listed by Spotify's "recently played"
MIN_RECENT_MS = 30_000  # shorter plays appear in the streaming history only


class PlaylistItem(NamedTuple):
    """One row of a playlist. `number` has no meaning in an unavailable row (`track: null`)."""

    kind: str  # "track", "episode", "local" or "unavailable"
    number: int
    added_at: int | None
    added_by: str | None


class PlayedTrack(NamedTuple):
    played_at: int  # the end of the play, in milliseconds
    track: int
    context_album: int | None
    ms_played: int | None = None  # None: the whole track


class SavedTracks:
    """Saved tracks, newest first, in 16 bytes per row.

    Rows are sorted by the minute, as Spotify does: within a minute the order is fixed but ignores the seconds.
    A track can occur twice (twins that became one); a row without a track has a negative number.
    """

    def __init__(self, rows: Iterable[tuple[int, int]], *, by_minute: bool) -> None:
        self._unit = 60 if by_minute else 1
        ordered = sorted(rows, key=lambda row: self._key(*row))
        self._added = array("q", (added for added, _ in ordered))
        self._track = array("q", (track for _, track in ordered))

    def __copy__(self) -> "SavedTracks":
        copied = SavedTracks((), by_minute=self._unit == 60)
        copied._added, copied._track = self._added[:], self._track[:]
        return copied

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
        """Remove every row of this track and return when each was added."""
        removed = []
        while track in self._track:
            place = self._track.index(track)
            removed.append(self._added.pop(place))
            self._track.pop(place)
        return removed

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
    rows: list[PlaylistItem] = field(default_factory=list)
    revision: int = 1
    shown_revision: int = 0  # the old snapshot, reported until `shown_until`
    shown_until: float = 0
    settled_at: float = 0  # the new snapshot is reported from then on; before it an intermediate one
    withheld: tuple[str, ...] = ()  # fields that are null in lists of playlists

    def mark_changed(self, now: float, lag: float) -> None:
        """Set a new snapshot id, reported after `lag` seconds; an intermediate id is reported after half of them."""
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


class Identity(NamedTuple):
    id: str
    account_id: str
    display_name: str


@dataclass
class Library:
    """One account's library. None in a list is a null row, which Spotify lists and counts."""

    id: str
    account_id: str
    display_name: str
    saved: SavedTracks
    albums: list[tuple[int, int | None]]  # (added_at, album)
    followed: list[tuple[str, int]]  # (id, artist), sorted by id
    playlists: list[str | None]
    plays: list[PlayedTrack]  # newest last
    shows: list[tuple[int, int | None]] = field(default_factory=list)  # (added_at, show); audiobooks too
    episodes: list[tuple[int, int | None]] = field(default_factory=list)  # (added_at, episode)
    books: list[int | None] = field(default_factory=list)  # the audiobooks among the shows
    has_books: bool = True  # False: audiobooks are not sold in the user's market, so that their list is empty
    refusals: dict[str, str] = field(default_factory=dict)  # playlist id: "forbidden" or "not_found"
    hidden: dict[int, bool] = field(default_factory=dict)  # listed as rows without a track, or (True) as null
    hidden_albums: set[int] = field(default_factory=set)  # listed as null
    hidden_playlists: set[str] = field(default_factory=set)

    def copy_for(self, identity: Identity) -> "Library":
        """Give another account the same library. Later edits of either don't change the other, but for playlists."""
        return replace(self, **{name: copy(value) for name, value in vars(self).items()} | identity._asdict())

    def visible_plays(self) -> list[PlayedTrack]:
        """List the plays that "recently played" reports, oldest first."""
        newest = (play for play in reversed(self.plays) if play.ms_played is None or play.ms_played > MIN_RECENT_MS)
        return list(islice(newest, RECENT_PLAYS))[::-1]

    def count_plays(self, time_range: str) -> Counter[int]:
        """Count the plays of each track in a range of Spotify: here the last quarter, half, or all of the plays."""
        share = {"short_term": 4, "medium_term": 2, "long_term": 1}[time_range]
        return Counter(play.track for play in self.plays[-len(self.plays) // share :])

    def access(self, playlist: Playlist, *, restricted: bool) -> str:
        """Return whether this account may read the playlist's rows: "ok", "forbidden" or "not_found"."""
        refusal = self.refusals.get(playlist.id, "ok")
        mine = playlist.owner_id == self.id or playlist.collaborative
        return "forbidden" if refusal == "ok" and restricted and not mine else refusal
