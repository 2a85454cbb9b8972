"""Read a list that changes while it is read, without skipping a row.

Rows enter at the head and leave anywhere, so between two pages the rest can only have shifted *up* by what the list
shrank: removals less additions. Two rules ensure that every row that stayed saved throughout is met:

- A page is accepted if it begins no later than the end of the last one, less what the total shrank since; otherwise the
  walk steps back by that much and reads again.
- Pages requested at the same time overlap by one row. If the last row of one is the first row of the next, the next
  page continues the list. Otherwise the remaining pages are read again in order.

Rows that entered at the head meanwhile are met by reading the head again at the end, up to rows that were there at the
start.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from spotisync.core.parse import EPOCH, ListPage, SavedTracksPage
from spotisync.core.requests import PAGE, Family

STRIDE = PAGE - 1
# Spotify orders by the minute: rows of the newest known minute, and of the one before it, may be in any order.
TIE_WINDOW = timedelta(minutes=2)
MOST_STALLS = 12


@dataclass(frozen=True)
class Walk:
    """The position of a walk: `position` rows read, including null rows; `total` as of the last page accepted.

    `empty_at`: the offset of an empty page that the total contradicts; `phantoms`: rows that Spotify counts beyond the
    end of the list, once a second reply has shown the same. `stuck_at`: the highest offset of a page that could not be
    read and for which the walk has stepped back; `skipped`: rows of such pages that it then left out. `stalls`: empty
    pages and steps back since the walk was further than ever (`furthest`): a total that keeps changing has no end.
    """

    position: int = 0
    total: int | None = None
    step_back: int = 0
    empty_at: int | None = None
    phantoms: int = 0
    stuck_at: int = 0
    skipped: int = 0
    furthest: int = field(default=0, compare=False)
    stalls: int = field(default=0, compare=False)

    @property
    def offset(self) -> int:
        """The offset of the next request."""
        return max(0, self.position - self.step_back)

    @property
    def done(self) -> bool:
        return self.total is not None and self.position + self.phantoms >= self.total

    @property
    def is_stalled(self) -> bool:
        """Whether the total keeps changing where the list ends: the reading ends there, and proves nothing."""
        return self.stalls > MOST_STALLS

    def shrunk(self, total: int) -> int:
        return max(0, (self.total if self.total is not None else total) - total)


def offsets(walk: Walk, pages: int) -> list[int]:
    """Return the offsets of up to `pages` pages to request at once; one while the total is unknown."""
    if walk.total is None:
        return [walk.offset]
    return [walk.offset] + [
        offset
        for offset in range(walk.offset + STRIDE, walk.offset + STRIDE * pages, STRIDE)
        if offset + 1 < walk.total
    ]


def accept(
    walk: Walk, pages: Sequence[ListPage], rows: Callable[[Any], Sequence[Hashable | None]]
) -> tuple[Walk, list[ListPage]]:
    """Return the position after the pages, and those pages that provably skip no row."""
    accepted: list[ListPage] = []
    for page in pages:
        if accepted and not _overlaps(rows(accepted[-1]), rows(page)):
            break
        earliest = max(0, walk.position - walk.shrunk(page.total))
        if not accepted and page.offset > earliest:
            if not walk.is_stalled:
                # The total is known even if the page before can't be read.
                return replace(walk, position=earliest, total=page.total, step_back=0, stalls=walk.stalls + 1), []
            walk = replace(walk, skipped=walk.skipped + 1)
        if accepted and not page.is_plausible:
            break
        walk = _accept(walk, page)
        accepted.append(page)
    return walk, accepted


def _accept(walk: Walk, page: ListPage) -> Walk:
    """Move behind the page. An empty one before the end of the list must be read twice before it counts as the end.

    Spotify counts rows that it does not list, some of them for years (spotify/web-api#961, #1226, #1295).
    """
    if page.ends_early:
        is_end = (walk.empty_at, walk.total) == (page.offset, page.total) or walk.is_stalled
        phantoms = page.total - page.offset if is_end else 0
        skipped = walk.skipped + walk.is_stalled
        walk = replace(walk, empty_at=page.offset, phantoms=phantoms, stalls=walk.stalls + 1, skipped=skipped)
    else:
        page.check_plausible()
        walk = replace(walk, empty_at=None)
    position = page.offset + page.length
    if position > walk.furthest:
        walk = replace(walk, furthest=position, stalls=0)
    return replace(walk, position=position, total=page.total, step_back=0)


def pass_by(walk: Walk) -> Walk | None:
    """Pass by a page that can't be read; None if it is the first one.

    The list may have become shorter, and Spotify may answer 5xx beyond its end (music-assistant/server#3818). Therefore
    the page before is read again first, which tells the total.
    """
    if walk.total is None:
        return None
    if walk.offset > walk.stuck_at:
        return replace(walk, step_back=walk.step_back + PAGE, stuck_at=walk.offset)
    end = min(walk.offset + PAGE, walk.total)
    return replace(walk, position=end, step_back=0, skipped=walk.skipped + end - walk.offset)


def _overlaps(before: Sequence[Hashable | None], after: Sequence[Hashable | None]) -> bool:
    return bool(before and after) and before[-1] is not None and before[-1] == after[0]


@dataclass(frozen=True)
class TracksWalk:
    """A read of the whole list of saved tracks, then of its head. `newest`: the newest `added_at` at the start.

    `empty_once`: the list was read before in this run and was empty, although tracks are stored.
    """

    stage: Literal["list", "head"] = "list"
    walk: Walk = field(default_factory=Walk)
    newest: datetime | None = None
    empty_once: bool = False
    family: ClassVar[Family] = "library"

    @property
    def done(self) -> bool:
        return self.stage == "head" and self.walk.done


def tracks_offsets(cursor: TracksWalk, pages: int) -> list[int]:
    return offsets(cursor.walk, pages if cursor.stage == "list" else 1)


def accept_tracks(cursor: TracksWalk, pages: Sequence[SavedTracksPage]) -> tuple[TracksWalk, list[SavedTracksPage]]:
    walk, accepted = accept(cursor.walk, pages, lambda page: page.rows)
    taken = [page for page in accepted if isinstance(page, SavedTracksPage)]
    cursor = replace(cursor, walk=walk)
    if not taken:
        return cursor, taken
    if cursor.stage == "head":
        return (_complete(cursor) if _reaches_known(taken, cursor.newest) else cursor), taken
    if cursor.newest is None:
        dates = (row.added_at for page in taken for row in page.rows if row and row.added_at > EPOCH)
        cursor = replace(cursor, newest=next(dates, None))
    if not walk.done:
        return cursor, taken
    in_one_piece = len(taken) == 1 and taken[0].offset == 0
    head = _begin_head(cursor)
    return (_complete(head) if in_one_piece else head), taken


def pass_by_tracks(cursor: TracksWalk) -> TracksWalk | None:
    """Pass by a page of the list that can't be read; None if it is the first one."""
    if cursor.stage == "head" or (walk := pass_by(cursor.walk)) is None:
        return None
    cursor = replace(cursor, walk=walk)
    return _begin_head(cursor) if walk.done else cursor


def _begin_head(cursor: TracksWalk) -> TracksWalk:
    """Read the head again. `skipped` and `phantoms` of the list are kept for its conclusion."""
    at = replace(cursor.walk, position=0, step_back=0, empty_at=None, furthest=0, stalls=0)
    return replace(cursor, stage="head", walk=at)


def _reaches_known(pages: Sequence[SavedTracksPage], newest: datetime | None) -> bool:
    return newest is None or any(
        EPOCH < row.added_at < newest - TIE_WINDOW for page in pages for row in page.rows if row
    )


def _complete(cursor: TracksWalk) -> TracksWalk:
    return replace(cursor, stage="head", walk=replace(cursor.walk, position=cursor.walk.total or 0, step_back=0))
