"""Update saved tracks with few calls: read the head and a patrol page, and search for differences.

The head is read up to rows older than the newest known one, so it contains everything saved since. Then the row counts
are compared (`bisection`), and pages are read until all differences have been read. If the total changes meanwhile, or
the head differs at the end, the pages show different states of the list, and the read restarts.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal

from spotisync.core import bisection
from spotisync.core.bisection import Compared, Expected, ListRow, Probe
from spotisync.core.parse import EPOCH, SavedTracksPage
from spotisync.core.requests import PAGE, Family
from spotisync.core.walk import TIE_WINDOW

# A library that keeps changing is walked instead: a walk always ends.
MAX_BEGINNINGS = 3
# The most pages requested at once in a search.
MOST_PROBES = 8


@dataclass(frozen=True)
class Incremental:
    """Where an incremental read of saved tracks is. `newest`: when the newest row known at its start was saved.

    `grew`: it has read tracks that were not stored. `hides_any`: it has read a null row without a date, or a row twice
    on one page; either may stand in the place of any track.
    """

    stage: Literal["head", "search"] = "head"
    newest: datetime | None = None
    position: int = 0
    total: int | None = None
    pages: int = 0
    patrolled: bool = False
    grew: bool = False
    hides_any: bool = False
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
    """The stored state: expected rows, rows read in this search, and the offset of the patrol.

    `expected` is needed only after the head has been read. `walked`: a walk was proved, and every row has a date;
    `walk_deferred`: more than the head has to wait. `hidden`: stored rows that null rows may hide, with their minutes;
    `expected` contains the null rows instead.
    """

    expected: Expected
    read: Mapping[int, ListRow] = field(default_factory=dict)
    patrol: int = 0
    walked: bool = True
    walk_deferred: bool = False
    newest: datetime | None = None
    hidden: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadPages:
    """Pages to read. `check`: the first page again; if it is unchanged, `found` is valid."""

    offsets: tuple[int, ...]
    kind: Literal["head", "probe", "patrol", "check"]
    found: Compared | None = None


@dataclass(frozen=True)
class Conclude:
    """Write `found`; the stored library then equals Spotify's."""

    found: Compared


@dataclass(frozen=True)
class Rewalk:
    """Read the whole list instead."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """Read no further than the head: recent runs could not read or prove the rest, and the next attempt has to wait."""

    reason: str


Plan = ReadPages | Conclude | Rewalk | Stop


@dataclass(frozen=True)
class PagesRead:
    """The result of reading pages. `rows` are new; `restart`: rows read before show another state of the list."""

    cursor: Incremental
    rows: tuple[PlacedRow, ...] = ()
    restart: bool = False
    found: Compared | None = None


def truncate_to_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def plan(cursor: Incremental, library: KnownLibrary) -> Plan:
    step = _plan(cursor, library)
    if not library.walk_deferred or isinstance(step, Conclude):
        return step
    if cursor.stage == "head" and cursor.beginnings <= MAX_BEGINNINGS:
        return ReadPages((cursor.position,), "head")
    return Stop("pages of the saved tracks could not be read, or did not agree")


def _plan(cursor: Incremental, library: KnownLibrary) -> Plan:
    if not library.walked:
        return Rewalk("no walk over the library has been proved yet")
    if cursor.beginnings > MAX_BEGINNINGS:
        return Rewalk("the library changes while it is read, or its pages contradict each other")
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
            return _plan_end(cursor, library, step)


def _plan_end(cursor: Incremental, library: KnownLibrary, found: Compared) -> Plan:
    """Plan the end of a search. `check`: several pages with differences count only if the head is unchanged.

    A list that is suddenly empty may be an error of Spotify, so it is checked as well.
    """
    if cursor.hides_any and (found.missing or library.hidden):
        return Rewalk("a null or repeated row may hide any missing track")
    differs = bool(found.missing or found.redated) or found.excess != library.expected.excess
    if (cursor.pages - cursor.patrolled > 1 and (differs or cursor.grew)) or (differs and cursor.total == 0):
        return ReadPages((0,), "check", found)
    unread = cursor.total is not None and len(library.read) < cursor.total
    if unread and not differs and not cursor.patrolled:
        return ReadPages((library.patrol,), "patrol")
    return Conclude(found)


def fold(
    cursor: Incremental,
    step: ReadPages,
    pages: Sequence[SavedTracksPage],
    library: KnownLibrary,
    stored: Collection[str],
) -> PagesRead:
    """Fold the pages into the cursor. A changed total, or a row that differs from the one read before, restarts.

    `stored`: those tracks of the pages that are stored and not hidden.
    """
    rows = _place_rows(pages, library.read)
    grew = cursor.grew or any(row.track_id not in stored for row in rows if row.track_id)
    if not _are_consistent(cursor, pages, rows, library):
        return _restart(cursor, grew=grew)
    if step.kind == "check":
        return PagesRead(cursor, found=step.found)
    new = tuple(row for row in rows if row.place not in library.read)
    newest = cursor.newest or (library.newest if cursor.total is None else None)
    after = replace(
        cursor,
        total=pages[0].total,
        pages=cursor.pages + len(pages),
        newest=newest,
        grew=grew,
        hides_any=cursor.hides_any or any(map(_may_hide_any, pages)),
    )
    if step.kind == "head":
        return PagesRead(_advance_head(after, pages[-1]), new)
    return PagesRead(replace(after, patrolled=cursor.patrolled or step.kind == "patrol"), new)


def _advance_head(cursor: Incremental, page: SavedTracksPage) -> Incremental:
    position = page.offset + page.length
    reaches_known = cursor.newest is None or any(
        EPOCH < row.added_at < cursor.newest - TIE_WINDOW for row in page.rows if row
    )
    over = reaches_known or position >= page.total
    return replace(cursor, position=position, stage="search" if over else "head")


def _are_consistent(
    cursor: Incremental, pages: Sequence[SavedTracksPage], rows: Sequence[PlacedRow], library: KnownLibrary
) -> bool:
    """Whether the pages show the same state of the list as those before them."""
    total = pages[0].total if cursor.total is None else cursor.total
    are_plausible = all(page.is_plausible and page.total == total for page in pages)
    return are_plausible and all(library.read.get(row.place, row.entry) == row.entry for row in rows)


def _may_hide_any(page: SavedTracksPage) -> bool:
    return bool(page.repeated_places) or any(null.added_at == EPOCH for null in page.nulls)


def _restart(cursor: Incremental, *, grew: bool) -> PagesRead:
    """Begin again, or walk if tracks of several pages were stored.

    One of them may have been removed since, and another one missed: their numbers in the list would agree.
    """
    beginnings = MAX_BEGINNINGS + 1 if grew and cursor.pages else cursor.beginnings + 1
    return PagesRead(Incremental(newest=cursor.newest, beginnings=beginnings), restart=True)


def _place_rows(pages: Sequence[SavedTracksPage], read: Mapping[int, ListRow]) -> tuple[PlacedRow, ...]:
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
    """The changes to write: removed rows, rows that a null row may hide, rows with another date, and excess rows."""

    removed: frozenset[str]
    hidden: frozenset[str]
    redated: frozenset[str]
    excess: Counter[datetime]


def resolve_changes(found: Compared, library: KnownLibrary) -> LibraryChanges:
    """Treat a missing row as hidden, not removed, if its minute has more null rows than before (law 6)."""
    now = Counter(entry.minute for entry in found.excess)
    more = now - Counter(entry.minute for entry in library.expected.excess)
    dates = {entry.track_id: entry.minute for entry in library.expected.entries if entry.track_id in found.missing}
    hidden = {id_ for id_, minute in dates.items() if id_ and more[minute]}
    # A hidden row whose minute has no null row any more was removed, unless one without a date may hide it.
    lost = {id_ for id_, minute in library.hidden.items() if not now[minute] and not now[EPOCH]}
    return LibraryChanges(
        removed=frozenset(found.missing - hidden) | lost,
        hidden=frozenset(library.hidden.keys() - lost) | hidden,
        redated=found.redated,
        excess=now,
    )


def next_patrol_offset(offset: int, library: KnownLibrary, total: int) -> int:
    """Return the next patrol offset: the last boundary of the page, so that rows of one minute are read together."""
    # The page may be shorter than requested.
    last = offset
    while last + 1 < min(offset + PAGE, total) and last + 1 in library.read:
        last += 1
    place = last
    while place > offset and place - 1 in library.read and library.read[place - 1].minute == library.read[last].minute:
        place -= 1
    after = place if place > offset else last + 1
    return 0 if last + 1 >= total else after
