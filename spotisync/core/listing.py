"""Lists that are not ordered by time: followed artists, saved albums, shows, playlists. They are read whole. Pure.

An incremental stops after an unchanged first page, but reads the whole list once a day. Rows that a list no longer
contains are removed only if the reading proves their absence (`ListRead`, `conclude`).
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from spotisync.core import null_rows, walk
from spotisync.core.cursors import Entity, Listing, ListName
from spotisync.core.null_rows import UNDATED, NullCount, SuspectRow
from spotisync.core.parse import ListingPage, Unreadable
from spotisync.core.requests import Request
from spotisync.core.rows import CatalogueRows
from spotisync.core.states import Phase
from spotisync.core.steps import Answer, DeferralStep, ListingStep, ListRead, read_prefix
from spotisync.core.walk import Walk

# The lists of a phase, in this order. Audiobooks come before shows, among which Spotify lists them without a mark.
LISTS_OF_PHASE: dict[Phase, tuple[ListName, ...]] = {
    "artists": ("followed_artists",),
    "albums": ("saved_albums", "saved_audiobooks", "saved_shows", "saved_episodes"),
    "playlists": ("playlists",),
}
# Lists of spoken word. A full sync reads each of them, an incremental once a day. A run never waits long for them.
SPOKEN: frozenset[ListName] = frozenset({"saved_audiobooks", "saved_shows", "saved_episodes"})
# The catalogue table of the rows of a list. Playlists are not in the catalogue; their list is always read whole,
# because it carries their snapshot ids.
ENTITY: dict[ListName, Entity] = {"followed_artists": "artists", "saved_albums": "albums"}
FULL_READ_INTERVAL = timedelta(days=1)
# Lists paged by the last id instead of by offset.
_BY_ID: set[ListName] = {"followed_artists"}


@dataclass(frozen=True)
class LastRead:
    """The last proved reading of a list, of any run. `nulls`: None if none was proved in this regime."""

    total: int
    first_page: str
    read_at: datetime
    nulls: NullCount | None


def plan(cursor: Listing, pages: int = 1) -> tuple[Request, ...]:
    """Up to `pages` pages, which overlap because rows of a changing list move between them; the first one alone.

    Of a list by id only the first one is known: see `follow`.
    """
    if cursor.name in _BY_ID:
        return (Request(cursor.name, offset=cursor.walk.position, after=cursor.after),)
    return tuple(Request(cursor.name, offset=offset) for offset in walk.offsets(cursor.walk, pages))


def follow(cursor: Listing, answers: Sequence[Answer]) -> Request | None:
    """The next page of a list by id, which these answers tell. After the first one, the reading may be over."""
    is_first = cursor.walk.total is None
    if is_first or cursor.name not in _BY_ID or any(answer.refused for answer in answers):
        return None
    try:
        after = fold(cursor, answers).cursor
    except Unreadable:
        return None
    return plan(after)[0] if isinstance(after, Listing) and after.after else None


def fold(cursor: Listing, answers: Sequence[Answer]) -> ListingStep | DeferralStep:
    if answers[0].refused:
        return pass_by(cursor) or DeferralStep(reason=str(answers[0].refused), failed=True)
    readable = itertools.takewhile(lambda answer: not answer.refused, answers)
    pages: list[ListingPage] = read_prefix(list(readable), lambda answer: answer.parsed)
    if cursor.name not in _BY_ID:
        after, accepted = walk.accept(cursor.walk, pages, _ids)
        if not accepted:
            return ListingStep(
                cursor=replace(cursor, walk=after, steady=False), total=after.total, regime=pages[0].regime
            )
        pages = pages[: len(accepted)]
    steps = [_fold_next(cursor, pages[0])]
    for page in pages[1:]:
        assert isinstance(steps[-1].cursor, Listing)  # noqa: S101 (by construction)
        try:
            steps.append(_fold_next(steps[-1].cursor, page))
        except Unreadable:
            break
    return _merge(steps)


def _fold_next(cursor: Listing, page: ListingPage) -> ListingStep:
    if cursor.name in _BY_ID:
        return _fold_page(cursor, page, _accept_by_id(cursor, page), done=page.after is None)
    after, _ = walk.accept(cursor.walk, [page], _ids)
    return _fold_page(cursor, page, after, done=after.done)


def _ids(page: ListingPage) -> list[str | None]:
    return [row.id if row else None for row in page.rows]


def _merge(steps: Sequence[ListingStep]) -> ListingStep:
    """One step of several pages. The row that two pages overlap by is kept once."""
    if len(steps) == 1:
        return steps[0]
    catalogue = CatalogueRows()
    for step in steps:
        catalogue.add(step.catalogue)
    return replace(
        steps[-1],
        catalogue=catalogue,
        regime=next((step.regime for step in reversed(steps) if step.regime), None),
        rows=tuple({row.id: row for step in steps for row in step.rows}.values()),
        full=frozenset().union(*(step.full for step in steps)),
        playlists=tuple({row.id: row for step in steps for row in step.playlists}.values()),
        first_page=steps[0].first_page,
    )


def pass_by(cursor: Listing) -> ListingStep | None:
    """Pass by a page that can't be read; None if nothing behind it can be read either."""
    if cursor.name in _BY_ID or (after := walk.pass_by(cursor.walk)) is None:
        return None
    cursor = replace(cursor, walk=after)
    return ListingStep(cursor=cursor, total=after.total, end=_end(cursor, is_first=False) if after.done else None)


def _accept_by_id(cursor: Listing, page: ListingPage) -> Walk:
    """Check that the page continues the list."""
    position = cursor.walk.position + page.length
    if page.after and (page.after == cursor.after or not page.length):
        raise Unreadable("Spotify sent a page of followed artists without a usable next page")
    if cursor.walk.total in (None, page.total) and position > page.total:
        raise Unreadable(f"Spotify sent {position} of {page.total} followed artists")
    # The total counts some artists twice (spotify/web-api#1226).
    phantoms = max(0, page.total - position) if page.after is None else 0
    return replace(cursor.walk, position=position, total=page.total, phantoms=phantoms)


def _fold_page(cursor: Listing, page: ListingPage, after: Walk, *, done: bool) -> ListingStep:
    rows = tuple(row for row in page.rows if row)
    is_first = cursor.walk.total is None
    first = fingerprint(page) if is_first else cursor.first
    cursor = replace(
        cursor,
        walk=after,
        after=page.after or "",
        first=first,
        steady=cursor.steady and cursor.walk.total in (None, page.total),
        nulls=cursor.nulls + page.length - len(rows),
        doubles=cursor.doubles + len(rows) - len({row.id for row in rows}),
        regime=page.regime or cursor.regime,
    )
    return ListingStep(
        cursor=cursor,
        catalogue=page.catalogue,
        total=page.total,
        regime=page.regime,
        rows=rows,
        full=page.full,
        playlists=page.playlists,
        first_page=first if is_first else "",
        end=_end(cursor, is_first=is_first) if done else None,
    )


def _end(cursor: Listing, *, is_first: bool) -> ListRead:
    at = cursor.walk
    return ListRead(
        total=at.total or 0,
        nulls=cursor.nulls + cursor.doubles + at.phantoms,
        steady=cursor.steady,
        one_page=is_first,
        reading=cursor.reading,
        before=cursor.before,
        phantoms=at.phantoms,
        skipped=at.skipped,
    )


def fingerprint(page: ListingPage) -> str:
    """Hash the ids and dates of the rows of a page, in their order."""
    rows = [[row.id, row.added_at.isoformat() if row.added_at else ""] if row else None for row in page.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def is_unchanged(last: LastRead | None, step: ListingStep, now: datetime) -> bool:
    """Whether this is the first page, it and the total are unchanged, and the list was read whole within a day."""
    return (
        last is not None
        and step.first_page != ""
        and (last.total, last.first_page) == (step.total, step.first_page)
        and now - last.read_at < FULL_READ_INTERVAL
    )


# A removal of more rows than this, and of more than half of a list, must be confirmed.
MOST_REMOVED_AT_ONCE = 20


def is_mass_removal(removed: int, stored: int) -> bool:
    """Whether a removal is rather an error of Spotify than a wish: the next run or a person must confirm it."""
    return removed > MOST_REMOVED_AT_ONCE and 2 * removed > stored


@dataclass(frozen=True)
class ListEvidence:
    """The stored state when a list has been read to its end.

    `met`: the number of distinct rows in this reading. `same_as_before`: both readings of the run contained the same
    rows. `suspects`: stored rows that this reading lacks, and hidden rows that it contains.
    """

    met: int
    same_as_before: bool
    suspects: Sequence[SuspectRow]
    last: LastRead | None


@dataclass(frozen=True)
class ListVerdict:
    """The result of reading a list to its end.

    `read_again`: a second reading has to decide. `proved`: rows that are neither met nor in `hidden` are gone, and
    `nulls` are the null rows to remember.
    """

    read_again: bool
    proved: bool
    hidden: frozenset[str]
    nulls: NullCount


def conclude(read: ListRead, evidence: ListEvidence) -> ListVerdict:
    known = evidence.last.nulls if evidence.last else None
    proved = _is_proved(read, evidence, known.rows if known else 0)
    nulls = {UNDATED: read.nulls}
    last = {UNDATED: known} if known else null_rows.first_count(nulls)
    hidden, remembered = null_rows.find_hidden(evidence.suspects, nulls, last)
    # A row missing from several pages may have moved from one page to another while they were read. A list that is
    # suddenly empty may be an error of Spotify.
    is_emptied = read.total == 0 and len(evidence.suspects) > 0
    is_last_reading = read.reading == 2 or (read.one_page and not is_emptied) or read.skipped > 0
    read_again = not is_last_reading and (null_rows.has_removable(evidence.suspects, hidden) or not proved)
    return ListVerdict(read_again, proved and not read_again, frozenset(hidden), remembered.get(UNDATED, NullCount()))


def _is_proved(read: ListRead, evidence: ListEvidence, known_nulls: int) -> bool:
    """Whether the rows met and the known excess (null rows, rows listed twice) add up to the total of the reading.

    A row that moves from behind the reading position to before it is missed, and the row that it pushes into the next
    page is met twice. The distinct rows then fall short of the total, unless the pushed row is a null row, which is
    counted twice because null rows can't be told apart. The number of null rows must therefore be the known one, which
    the previous reading does not contradict, or the previous reading must have met the same rows and as many null rows.
    """
    if read.total == 0 and evidence.suspects and not evidence.same_as_before:
        return False  # an empty list after one with rows
    adds_up = evidence.met + read.nulls == read.total and not read.skipped
    if read.one_page:
        return adds_up
    is_known = read.nulls == known_nulls and read.before in {None, read.nulls}
    nulls_known = is_known or (evidence.same_as_before and read.nulls == read.before)
    return read.steady and adds_up and nulls_known


def second_reading(cursor: Listing, read: ListRead) -> Listing:
    return Listing(cursor.name, reading=2, before=read.nulls, regime=cursor.regime)
