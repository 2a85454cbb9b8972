"""Bringing saved tracks up to date for a few calls: the head, a patrol page, and a search for what differs.

The head is read until it meets rows that are older than the newest one known: what was saved since is in it. Then the
numbers are compared (`bisection`), and pages are read until all that differs has been read. If the total changes on the
way, or the head is another one at the end, what was read does not belong together, and it begins again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal

from spotisync.core import bisection
from spotisync.core.bisection import Compared, Expected, ListRow, Probe
from spotisync.core.parse import EPOCH, SavedTracksPage
from spotisync.core.requests import PAGE, Family
from spotisync.core.walk import TIES

# A library that changes all the time is walked instead: a walk comes to an end whatever happens.
MOST_BEGINNINGS = 3
# Pages asked for at once in a search.
MOST_PROBES = 8


@dataclass(frozen=True)
class Incremental:
    """Where an incremental read of saved tracks is. `newest`: when the newest row known at its start was saved."""

    stage: Literal["head", "search"] = "head"
    newest: datetime | None = None
    position: int = 0
    total: int | None = None
    pages: int = 0
    patrolled: bool = False
    beginnings: int = 1
    family: ClassVar[Family] = "library"


@dataclass(frozen=True)
class PlacedRow:
    """A row of Spotify's list, at its place. `track_id` is None where the row is null."""

    place: int
    track_id: str | None
    added_at: datetime

    @property
    def entry(self) -> ListRow:
        return ListRow(truncate_to_minute(self.added_at), self.track_id)


@dataclass(frozen=True)
class KnownLibrary:
    """What is known: the rows that are expected, those that were read in this search, and where the patrol is.

    `walked`: a proved walk has been over it, and every row has its date. `hidden`: the stored rows that null rows may
    stand for, by the minute; in `expected` they are not, but the null rows are.
    """

    expected: Expected
    read: Mapping[int, ListRow] = field(default_factory=dict)
    patrol: int = 0
    walked: bool = True
    newest: datetime | None = None
    hidden: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadPages:
    """Pages to read. `check`: the head once more, and if it is still the same, `found` is true."""

    offsets: tuple[int, ...]
    kind: Literal["head", "probe", "patrol", "check"]
    found: Compared | None = None


@dataclass(frozen=True)
class Conclude:
    """The library is known to be as Spotify has it, once this is written."""

    found: Compared


@dataclass(frozen=True)
class Rewalk:
    """Read the whole list after all."""

    reason: str


@dataclass(frozen=True)
class PagesRead:
    """What pages came to. `rows` are new; `again`: nothing that was read before belongs to them."""

    cursor: Incremental
    rows: tuple[PlacedRow, ...] = ()
    again: bool = False
    found: Compared | None = None


def truncate_to_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def plan(cursor: Incremental, library: KnownLibrary) -> ReadPages | Conclude | Rewalk:
    if not library.walked:
        return Rewalk("no walk over the library has been proved yet")
    if cursor.beginnings > MOST_BEGINNINGS:
        return Rewalk("the library changes while it is read")
    if cursor.stage == "head":
        return ReadPages((cursor.position,), "head")
    assert cursor.total is not None  # noqa: S101 (the head is in)
    step = bisection.find_differences(library.expected, library.read, cursor.total)
    match step:
        case bisection.FullRead(reason):
            return Rewalk(reason)
        case Probe(offsets):
            return ReadPages(offsets[:MOST_PROBES], "probe")
        case Compared():
            return _found(cursor, library, step)


def _found(cursor: Incremental, library: KnownLibrary, found: Compared) -> ReadPages | Conclude:
    """Rows that are gone from a single page are gone; from several pages, only if nothing moved between these."""
    differs = bool(found.missing or found.redated) or found.excess != library.expected.excess
    if differs and cursor.pages > 1:
        return ReadPages((0,), "check", found)
    unread = cursor.total is not None and len(library.read) < cursor.total
    if unread and not differs and not cursor.patrolled:
        return ReadPages((library.patrol,), "patrol")
    return Conclude(found)


def fold(cursor: Incremental, step: ReadPages, pages: Sequence[SavedTracksPage], library: KnownLibrary) -> PagesRead:
    """What the pages say. Those behind the first one that does not fit are not looked at."""
    if any(page.total != (cursor.total if cursor.total is not None else page.total) for page in pages):
        return _begin_again(cursor)
    rows = _rows(pages, library.read)
    if any(library.read.get(row.place, row.entry) != row.entry for row in rows):
        return _begin_again(cursor)
    if step.kind == "check":
        return PagesRead(cursor, found=step.found)
    new = tuple(row for row in rows if row.place not in library.read)
    newest = cursor.newest or (library.newest if cursor.total is None else None)
    after = replace(cursor, total=pages[0].total, pages=cursor.pages + len(pages), newest=newest)
    if step.kind == "head":
        return PagesRead(_after_head(after, pages[-1]), new)
    return PagesRead(replace(after, patrolled=cursor.patrolled or step.kind == "patrol"), new)


def _after_head(cursor: Incremental, page: SavedTracksPage) -> Incremental:
    position = page.offset + page.length
    known = cursor.newest is None or any(EPOCH < row.added_at < cursor.newest - TIES for row in page.rows if row)
    over = known or position >= page.total
    return replace(cursor, position=position, stage="search" if over else "head")


def _begin_again(cursor: Incremental) -> PagesRead:
    return PagesRead(Incremental(newest=cursor.newest, beginnings=cursor.beginnings + 1), again=True)


def _rows(pages: Sequence[SavedTracksPage], read: Mapping[int, ListRow]) -> tuple[PlacedRow, ...]:
    """A row without a date takes that of the row before it, or else that of the next one that has one."""
    found: list[PlacedRow] = []
    for page in pages:
        before = read.get(page.offset - 1)
        date = before.minute if before else next((each for each in page.dates if each > EPOCH), EPOCH)
        for place, (row, own) in enumerate(zip(page.rows, page.dates, strict=True), start=page.offset):
            date = own if own > EPOCH else date
            found.append(PlacedRow(place, row.track_id if row else None, date))
    return tuple(found)


@dataclass(frozen=True)
class LibraryChanges:
    """What is to be written at the end: rows that are gone, rows that a null row may hide, those with another date."""

    removed: frozenset[str]
    hidden: frozenset[str]
    redated: frozenset[str]
    excess: Counter[datetime]


def resolve_changes(found: Compared, library: KnownLibrary) -> LibraryChanges:
    """A row that is missing where there is a null row more, of the same minute, is hidden rather than gone (law 6)."""
    now = Counter(entry.minute for entry in found.excess)
    more = now - Counter(entry.minute for entry in library.expected.excess)
    dates = {entry.track_id: entry.minute for entry in library.expected.entries if entry.track_id in found.missing}
    hidden = {id_ for id_, minute in dates.items() if id_ and more[minute]}
    # What had been hidden, and has no null row left to be behind, has been removed meanwhile.
    lost = {id_ for id_, minute in library.hidden.items() if not now[minute]}
    return LibraryChanges(
        removed=frozenset(found.missing - hidden) | lost,
        hidden=frozenset(library.hidden.keys() - lost) | hidden,
        redated=found.redated,
        excess=now,
    )


def next_patrol_offset(offset: int, library: KnownLibrary, total: int) -> int:
    """Where the patrol goes on: at the last boundary of its page, so that rows of one minute are seen together."""
    last = min(offset + PAGE, total) - 1
    place = last
    while place > offset and place - 1 in library.read and library.read[place - 1].minute == library.read[last].minute:
        place -= 1
    after = place if place > offset else last + 1
    return 0 if last + 1 >= total else after
