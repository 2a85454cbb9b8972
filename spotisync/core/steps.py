"""Results of a batch, as data for `sync.commit`: one type for each kind of work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeVar

from spotisync.core import parse
from spotisync.core.cursors import Cursor, Entity, PlaylistProgress
from spotisync.core.incremental import LibraryChanges, PlacedRow
from spotisync.core.regimes import Regime
from spotisync.core.requests import Kind, Request
from spotisync.core.rows import CatalogueRows, ListingRow, NullRow, PlaylistItemRow, PlaylistRow, SavedTrackRow
from spotisync.errors import Refused

T = TypeVar("T")
Access = Literal["synced", "forbidden", "not_found"]  # what an account may read


_LISTS: Final[Mapping[Kind, Callable[[Any, int], Any]]] = {
    "saved_tracks": parse.saved_tracks,
    "playlist_items": parse.playlist_items,
    "followed_artists": parse.followed_artists,
    "saved_albums": parse.saved_albums,
    "saved_audiobooks": parse.saved_audiobooks,
    "saved_shows": parse.saved_shows,
    "saved_episodes": parse.saved_episodes,
    "playlists": parse.playlists,
    "top_artists": parse.top_artists,
    "top_tracks": parse.top_tracks,
}
_LOOKUPS: Final[Mapping[Kind, Callable[[Any, Sequence[str]], Any]]] = {
    "artists": parse.artists_by_id,
    "albums": parse.albums_by_id,
    "artist": parse.artist_by_id,
    "album": parse.album_by_id,
}


@dataclass(frozen=True)
class Answer:
    """A request and its reply: JSON, or Spotify's refusal of a single object."""

    request: Request
    body: Any = None
    refused: Refused | None = None

    @cached_property
    def parsed(self) -> Any:
        """The reply to a request for a page of a list or for look-ups, parsed once. Raises `Unreadable`."""
        if parse_list := _LISTS.get(self.request.kind):
            return parse_list(self.body, self.request.offset)
        return _LOOKUPS[self.request.kind](self.body, self.request.ids)

    def parse_early(self) -> "Answer":
        """Parse a reply before its batch is complete, and drop it: it takes ten times the memory.

        What is wrong with it shows when it is used.
        """
        if self.refused or self.request.kind not in EARLY:
            return self
        try:
            parsed = self.parsed
        except Exception:  # noqa: BLE001 (it is raised again by whoever uses the reply)
            return self
        answer = Answer(self.request)
        vars(answer)["parsed"] = parsed
        return answer


# Of a single look-up the regime is read from the reply itself.
EARLY: Final = {*_LISTS, "artists", "albums"}


def read_prefix(answers: Sequence[Answer], read: Callable[[Answer], T]) -> list[T]:
    """Read the answers up to the first unreadable one. Raises `Unreadable` if that is the first."""
    found: list[T] = []
    for answer in answers:
        try:
            found.append(read(answer))
        except parse.Unreadable:
            if not found:
                raise
            break
    return found


@dataclass(frozen=True, kw_only=True)
class Step:
    """A result. `cursor`: the next position of the phase, None at its end; `regime`: as shown by the replies."""

    cursor: Cursor | None
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)
    total: int | None = None
    regime: Regime | None = None


@dataclass(frozen=True, kw_only=True)
class DeferralStep(Step):
    """The work of the batch's cursor is deferred to a later run; that cursor decides what follows.

    `failed`: it could not be read, so later runs try it at growing intervals. `playlist_id`: only this playlist.
    `known`: an earlier run deferred it, and it was not tried.
    """

    cursor: Cursor | None = None
    reason: str = ""
    failed: bool = False
    known: bool = False
    playlist_id: str = ""


@dataclass(frozen=True, kw_only=True)
class WalkStep(Step):
    """Pages of the walk over saved tracks. `saved` has both rows of a track that is listed twice.

    `skipped`: rows of the whole walk that could not be read; `phantoms`: rows that Spotify counts and does not list.
    """

    skipped: int = 0
    phantoms: int = 0
    saved: tuple[SavedTrackRow, ...] = ()
    nulls: tuple[NullRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IncrementalStep(Step):
    """Pages of an incremental read of saved tracks. `restart`: discard the rows read before.

    `changes`: set once the search is over. `patrol`: the offset of the next incremental's patrol page.
    """

    saved: tuple[SavedTrackRow, ...] = ()
    read: tuple[PlacedRow, ...] = ()
    restart: bool = False
    changes: LibraryChanges | None = None
    patrol: int | None = None


@dataclass(frozen=True)
class ListRead:
    """A list read to its end. `before`: the null rows of the previous reading in the same run.

    `nulls` includes rows that one page lists twice, each in the place of a row that it may hide, and `phantoms`: rows
    that Spotify counts beyond the end of the list. `skipped`: rows of pages that could not be read.
    """

    total: int
    nulls: int
    steady: bool
    one_page: bool
    reading: int
    before: int | None = None
    phantoms: int = 0
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class ListingStep(Step):
    """Pages of a list. `full`: the rows with all details of a look-up.

    `first_page`: the fingerprint of the first page, if it is among them; `end`: set once the list has been read whole.
    """

    rows: tuple[ListingRow, ...] = ()
    full: frozenset[str] = frozenset()
    playlists: tuple[PlaylistRow, ...] = ()
    first_page: str = ""
    end: ListRead | None = None


@dataclass(frozen=True, kw_only=True)
class LookupStep(Step):
    """Look-ups by id. `missed`: ids missing from an answer; `given_up`: ids whose look-up failed repeatedly.

    `partial`: the answers have only the fields of the restricted regime. `settled`: no request was made; the data from
    list pages suffices for all stubs.
    """

    entity: Entity
    known: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    partial: bool = False
    settled: bool = False


@dataclass(frozen=True, kw_only=True)
class ContentsStep(Step):
    """Items of playlists, with the playlist's id. `finished`: the playlists read to the end or refused."""

    items: tuple[tuple[str, PlaylistItemRow], ...] = ()
    finished: tuple[tuple[PlaylistProgress, Access], ...] = ()
