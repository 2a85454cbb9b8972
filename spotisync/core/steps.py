"""What one batch brings, as data for `sync.commit`: one result type for each kind of work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from spotisync.core import parse
from spotisync.core.cursors import Cursor, Entity, PlaylistProgress
from spotisync.core.incremental import LibraryChanges, PlacedRow
from spotisync.core.regimes import Regime
from spotisync.core.requests import Request
from spotisync.core.rows import CatalogueRows, ListingRow, NullRow, PlaylistItemRow, PlaylistRow, SavedTrackRow
from spotisync.errors import Refused

T = TypeVar("T")
Access = Literal["synced", "forbidden", "not_found"]


@dataclass(frozen=True)
class Answer:
    """A request and its reply: JSON, or Spotify's refusal of one thing that says nothing about the rest."""

    request: Request
    body: Any = None
    refused: Refused | None = None


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
    """`cursor`: where the phase asks next, None at its end. `regime`: which Spotify API the replies show."""

    cursor: Cursor | None
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)
    total: int | None = None
    regime: Regime | None = None


@dataclass(frozen=True, kw_only=True)
class DeferralStep(Step):
    """Nothing was read: what the batch's cursor stands for is left to a later run. That cursor decides what follows."""

    cursor: Cursor | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class WalkStep(Step):
    """Pages of the walk over saved tracks."""

    saved: tuple[SavedTrackRow, ...] = ()
    nulls: tuple[NullRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IncrementalStep(Step):
    """Pages of an incremental read of saved tracks. `restart`: what was read before no longer fits together.

    `changes`: the search is over. `patrol`: where the next incremental reads its patrol page.
    """

    saved: tuple[SavedTrackRow, ...] = ()
    read: tuple[PlacedRow, ...] = ()
    restart: bool = False
    changes: LibraryChanges | None = None
    patrol: int | None = None


@dataclass(frozen=True)
class ListRead:
    """A list read to its end. `before`: the null rows of the previous reading in the same run."""

    total: int
    nulls: int
    steady: bool
    one_page: bool
    reading: int
    before: int | None = None


@dataclass(frozen=True, kw_only=True)
class ListingStep(Step):
    """A page of a list. `full`: the rows that came with all that a look-up would tell.

    `first_page`: the fingerprint of the page, if it is the first one; `end`: the list has been read to its end.
    """

    rows: tuple[ListingRow, ...] = ()
    full: frozenset[str] = frozenset()
    playlists: tuple[PlaylistRow, ...] = ()
    first_page: str = ""
    end: ListRead | None = None


@dataclass(frozen=True, kw_only=True)
class LookupStep(Step):
    """Look-ups by id. `missed`: an answer came, but not for these.

    `partial`: the answers are as much as a restricted app gets. `settled`: nothing was asked; what the pages told of
    all stubs is as much as is wanted.
    """

    entity: Entity
    known: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    partial: bool = False
    settled: bool = False


@dataclass(frozen=True, kw_only=True)
class ContentsStep(Step):
    """Pages of playlists, with the id of their playlist. `finished`: the playlists that were read to the end."""

    items: tuple[tuple[str, PlaylistItemRow], ...] = ()
    finished: tuple[tuple[PlaylistProgress, Access], ...] = ()
