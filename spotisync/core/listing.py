"""Lists in no order of time: followed artists, saved albums, playlists. They are read whole. Pure.

The first page may tell that nothing changed: an incremental then reads no further, but once a day it reads all.
What a list no longer contains is removed only if the reading proves it (`ListRead`, `conclude`).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from spotisync.core import null_rows, parse, walk
from spotisync.core.cursors import Entity, Listing, ListName
from spotisync.core.null_rows import UNDATED, NullCount, SuspectRow
from spotisync.core.parse import ListingPage, Unreadable
from spotisync.core.requests import Request
from spotisync.core.states import Phase
from spotisync.core.steps import Answer, DeferralStep, ListingStep, ListRead
from spotisync.core.walk import Walk

OF_PHASE: dict[Phase, ListName] = {"artists": "followed_artists", "albums": "saved_albums", "playlists": "playlists"}
# What a row of the list is in the catalogue. Playlists are no part of it; their list is always read whole, because
# it carries their snapshot ids.
ENTITY: dict[ListName, Entity] = {"followed_artists": "artists", "saved_albums": "albums"}
WHOLE_EVERY = timedelta(days=1)
_PARSE: dict[ListName, Callable[[Any, int], ListingPage]] = {
    "followed_artists": parse.followed_artists,
    "saved_albums": parse.saved_albums,
    "playlists": parse.playlists,
}
# Lists that continue after an id and have no offsets.
_BY_ID: set[ListName] = {"followed_artists"}


@dataclass(frozen=True)
class LastRead:
    """The last proved reading of a list, of any run."""

    total: int
    first_page: str
    read_at: datetime
    nulls: NullCount


def plan(cursor: Listing) -> tuple[Request, ...]:
    """One page: rows move between pages of a list that changes, so pages are read in order."""
    if cursor.name in _BY_ID:
        return (Request(cursor.name, offset=cursor.walk.position, after=cursor.after),)
    return (Request(cursor.name, offset=cursor.walk.offset),)


def fold(cursor: Listing, answers: Sequence[Answer]) -> ListingStep | DeferralStep:
    answer = answers[0]
    if answer.refused:
        return DeferralStep(reason=str(answer.refused))
    page = _PARSE[cursor.name](answer.body, answer.request.offset)
    if cursor.name in _BY_ID:
        after, accepted = _accept_by_id(cursor, page), True
        done = page.after is None
    else:
        after, pages = walk.accept(cursor.walk, [page], lambda page: page.rows)
        accepted, done = bool(pages), after.done
    if not accepted:
        return ListingStep(cursor=replace(cursor, walk=after), total=after.total, regime=page.regime)
    return _fold_page(cursor, page, after, done=done)


def _accept_by_id(cursor: Listing, page: ListingPage) -> Walk:
    """Check that the page continues the list. A missing row of a list whose total did not change is not its end."""
    position = cursor.walk.position + page.length
    if page.after and (page.after == cursor.after or not page.length):
        raise Unreadable("Spotify sent a page of followed artists that leads nowhere")
    unchanged = cursor.walk.total in (None, page.total)
    if unchanged and ((page.after is None and position < page.total) or position > page.total):
        raise Unreadable(f"Spotify sent {position} of {page.total} followed artists")
    return Walk(position, page.total)


def _fold_page(cursor: Listing, page: ListingPage, after: Walk, *, done: bool) -> ListingStep:
    rows = tuple(row for row in page.rows if row)
    nulls = cursor.nulls + page.length - len(rows)
    steady = cursor.steady and cursor.walk.total in (None, page.total)
    is_first = cursor.walk.total is None
    first = fingerprint(page) if is_first else cursor.first
    return ListingStep(
        cursor=replace(cursor, walk=after, after=page.after or "", first=first, steady=steady, nulls=nulls),
        catalogue=page.catalogue,
        total=page.total,
        regime=page.regime,
        rows=rows,
        full=page.full,
        playlists=page.playlists,
        first_page=first if is_first else "",
        end=ListRead(page.total, nulls, steady, is_first, cursor.reading, cursor.before) if done else None,
    )


def fingerprint(page: ListingPage) -> str:
    """Of the rows of a page, in their order: ids, and when they were saved."""
    rows = [[row.id, row.added_at.isoformat() if row.added_at else ""] if row else None for row in page.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def is_unchanged(last: LastRead | None, step: ListingStep, now: datetime) -> bool:
    """Whether this is the first page, it and the total are as they were, and the whole list was read within a day."""
    return (
        last is not None
        and step.first_page != ""
        and (last.total, last.first_page) == (step.total, step.first_page)
        and now - last.read_at < WHOLE_EVERY
    )


@dataclass(frozen=True)
class ListEvidence:
    """What the tables hold when a list has been read to its end.

    `met`: how many rows this reading met, each counted once. `same_as_before`: both readings of the run met the same
    rows. `suspects`: rows that this reading did not meet, and hidden ones that it met.
    """

    met: int
    same_as_before: bool
    suspects: Sequence[SuspectRow]
    last: LastRead | None


@dataclass(frozen=True)
class ListVerdict:
    """What follows from the end of a list.

    `read_again`: nothing is decided before a second reading. `proved`: rows that are neither met nor in `hidden` are
    gone, and `nulls` are the null rows to remember.
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
    # Rows that several pages do not contain may be moving from one to another.
    is_last_reading = read.one_page or read.reading == 2
    read_again = not is_last_reading and (null_rows.has_removable(evidence.suspects, hidden) or not proved)
    return ListVerdict(read_again, proved and not read_again, frozenset(hidden), remembered.get(UNDATED, NullCount()))


def _is_proved(read: ListRead, evidence: ListEvidence, known_nulls: int) -> bool:
    """Whether no row that stayed in the list was skipped.

    A row that moves up past the place of the reading pushes another one down into the next page. Then the rows do not
    add up to the total, unless the row that moved is a null row, which looks like any other one: so their number must
    be the known one, or the previous reading must have met the same rows and as many null rows.
    """
    if read.one_page:
        return True
    adds_up = evidence.met + read.nulls == read.total
    nulls_known = read.nulls == known_nulls or (evidence.same_as_before and read.nulls == read.before)
    return read.steady and adds_up and nulls_known


def second_reading(cursor: Listing, read: ListRead) -> Listing:
    return Listing(cursor.name, reading=2, before=read.nulls)
