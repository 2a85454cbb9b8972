"""What a batch of each phase asks for, and what its replies come to. Pure: requests out, replies in.

A batch may get only some of its replies; each `fold_*` takes the contiguous prefix and says where to go on.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from spotisync.core import incremental, parse, walk
from spotisync.core.bisection import Compared
from spotisync.core.cursors import Contents, Cursor, Listing, Reading
from spotisync.core.incremental import Conclude, Incremental, KnownLibrary, LibraryChanges, PlacedRow, ReadPages, Rewalk
from spotisync.core.regimes import Regime, regime_of_lookup
from spotisync.core.requests import IDS_A_CALL, PAGE, Kind, Request
from spotisync.core.rows import CatalogueRows, ListingRow, NullRow, PlaylistItemRow, PlaylistRow, SavedTrackRow
from spotisync.core.walk import TracksWalk
from spotisync.errors import Refused

# Contents are many calls of one page: a batch of eight is a second or two, little to lose and quick to give way.
CONTENTS_CALLS = 8
T = TypeVar("T")
Entity = Literal["artists", "albums"]
Access = Literal["synced", "forbidden", "not_found"]


@dataclass(frozen=True)
class Answer:
    """A request and what came back: JSON, or Spotify's refusal where one thing may be refused without the rest."""

    request: Request
    body: Any = None
    refused: Refused | None = None


@dataclass(frozen=True)
class Listed:
    """A list read to its end (of playlists, say): what that proves. `before`: the null rows of the last reading."""

    total: int
    nulls: int
    steady: bool
    one_page: bool
    reading: int
    before: int | None = None

    def proves(self, met: int, known_nulls: int, *, as_before: bool) -> bool:
        """No playlist that stayed was skipped. `met`: how many there were, each counted once.

        Playlists can be moved about in their list. One that went up past the place of the reading pushed another row
        down into the next page, so that the rows do not add up to the total, unless it was a null row, which looks like
        any other: so their number must be the known one. Else the reading before must have found just the same.
        """
        adds_up = met + self.nulls == self.total and self.nulls == known_nulls
        return self.one_page or (self.steady and (adds_up or (as_before and self.nulls == self.before)))

    @property
    def last(self) -> bool:
        """What several pages do not have may only be on its way from one to the other: they are read twice."""
        return self.one_page or self.reading == 2


@dataclass(frozen=True)
class SavedRead:
    """A page of saved albums or followed artists. `full`, `partial`: those that need no look-up (any more).

    `first`: the fingerprint of the page, if it is the first one; `listed`: the list has been read to its end.
    """

    rows: tuple[ListingRow, ...]
    full: frozenset[str]
    partial: frozenset[str]
    total: int
    first: str = ""
    listed: Listed | None = None


@dataclass(frozen=True)
class Step:
    """What one batch brings: rows to write, and the cursor after it (`None`: the phase is over)."""

    cursor: Cursor | None
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)
    total: int | None = None
    saved: tuple[SavedTrackRow, ...] = ()
    nulls: tuple[NullRow, ...] = ()
    walk_done: bool = False
    read: tuple[PlacedRow, ...] = ()
    read_again: bool = False
    differences: LibraryChanges | None = None
    patrol: int | None = None
    put_off: bool = False
    why: str = ""
    saved_list: SavedRead | None = None
    looked_up: Entity | None = None
    known: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    deferred: bool = False
    regime: Regime | None = None
    # What was looked up is as much as a restricted app gets; and: so is what the pages told of all other stubs.
    partial: bool = False
    settled: bool = False
    listed: tuple[tuple[int, PlaylistRow], ...] = ()
    listing: Listed | None = None
    items: tuple[tuple[str, PlaylistItemRow], ...] = ()
    contents: tuple[tuple[Reading, Access], ...] = ()


def _read(answers: Sequence[Answer], read: Callable[[Answer], T]) -> list[T]:
    """The answers read, up to the first unreadable one; if that comes first, it is the outcome."""
    found: list[T] = []
    for answer in answers:
        try:
            found.append(read(answer))
        except parse.Unreadable:
            if not found:
                raise
            break
    return found


# ---- tracks ---------------------------------------------------------------------------------------------------------


def plan_tracks(cursor: TracksWalk, batch_size: int) -> list[Request]:
    pages = -(-batch_size // PAGE)
    return [Request("saved_tracks", offset=offset) for offset in walk.tracks_offsets(cursor, pages)]


def fold_tracks(cursor: TracksWalk, answers: Sequence[Answer]) -> Step:
    pages = _read(answers, lambda answer: parse.saved_tracks(answer.body, answer.request.offset))
    after, accepted = walk.accept_tracks(cursor, pages)
    catalogue = CatalogueRows()
    for page in accepted:
        catalogue.add(page.catalogue)
    return Step(
        cursor=None if after.done else after,
        catalogue=catalogue,
        total=after.walk.total,
        saved=_newest_of_twins(row for page in accepted for row in page.rows if row),
        # What the head shows once more has been counted.
        nulls=tuple(row for page in accepted for row in page.nulls) if cursor.stage == "list" else (),
        walk_done=after.done,
    )


def _newest_of_twins(rows: Any) -> tuple[SavedTrackRow, ...]:
    newest: dict[str, SavedTrackRow] = {}
    for row in rows:
        if row.track_id not in newest or newest[row.track_id].added_at < row.added_at:
            newest[row.track_id] = row
    return tuple(newest.values())


def plan_incremental(step: ReadPages | Conclude | Rewalk) -> list[Request]:
    return [Request("saved_tracks", offset=offset) for offset in step.offsets] if isinstance(step, ReadPages) else []


def fold_incremental(
    cursor: Incremental, step: ReadPages | Conclude | Rewalk, library: KnownLibrary, answers: Sequence[Answer]
) -> Step:
    if isinstance(step, Rewalk):
        return Step(cursor=TracksWalk(), read_again=True)
    if isinstance(step, Conclude):
        return _concluded(cursor, step.found, library)
    pages = _read(answers, lambda answer: parse.saved_tracks(answer.body, answer.request.offset))
    after = incremental.fold(cursor, step, pages, library)
    if after.found:
        return _concluded(cursor, after.found, library)
    catalogue = CatalogueRows()
    for page in pages:
        catalogue.add(page.catalogue)
    saved = _newest_of_twins(row for page in pages for row in page.rows if row)
    return Step(cursor=after.cursor, catalogue=catalogue, saved=saved, read=after.rows, read_again=after.again)


def _concluded(cursor: Incremental, found: Compared, library: KnownLibrary) -> Step:
    assert cursor.total is not None  # noqa: S101 (the head is in)
    patrol = incremental.next_patrol_offset(library.patrol, library, cursor.total) if cursor.patrolled else None
    return Step(cursor=None, total=cursor.total, differences=incremental.resolve_changes(found, library), patrol=patrol)


# ---- artists, albums ------------------------------------------------------------------------------------------------


def plan_lookups(entity: Entity, ids: Sequence[str], alone: Collection[str] = ()) -> list[Request]:
    """As many ids a call as Spotify takes; those in `alone` had no answer among others, and get a call each."""
    size = IDS_A_CALL[entity]
    together = [id_ for id_ in ids if id_ not in alone]
    chunks = [together[at : at + size] for at in range(0, len(together), size)]
    return [Request(entity, ids=tuple(chunk)) for chunk in (*chunks, *([id_] for id_ in ids if id_ in alone))]


SINGLY: dict[Entity, Kind] = {"artists": "artist", "albums": "album"}
BY_ID: dict[str, Callable[[Any, Sequence[str]], parse.LookupResult]] = {
    "artists": parse.artists_by_id,
    "albums": parse.albums_by_id,
    "artist": parse.artist_by_id,
    "album": parse.album_by_id,
}


def plan_single_lookups(entity: Entity, ids: Sequence[str]) -> list[Request]:
    """One id a call: all that an app of the restricted regime has."""
    return [Request(SINGLY[entity], ids=(id_,)) for id_ in ids]


def fold_lookups(cursor: Cursor, entity: Entity, answers: Sequence[Answer]) -> Step:
    """The phase ends when the store finds no stub left, so the cursor stays."""
    answers = list(itertools.takewhile(lambda answer: not _forbidden(answer), answers)) or answers
    if any(_forbidden(answer) for answer in answers):
        return _refused_lookups(cursor, entity, answers[0])
    found = _read(
        [answer for answer in answers if not answer.refused],
        lambda answer: BY_ID[answer.request.kind](answer.body, answer.request.ids),
    )
    catalogue = CatalogueRows()
    for each in found:
        catalogue.add(each.catalogue)
    known = frozenset().union(*(each.known for each in found))
    refused_alone = {answer.request.ids[0] for answer in answers if answer.refused and len(answer.request.ids) == 1}
    gone = frozenset(refused_alone).union(*(each.gone for each in found))
    asked = frozenset().union(*(answer.request.ids for answer in answers))
    regime = _told(entity, [answer for answer in answers if not answer.refused])
    return Step(
        cursor=cursor,
        catalogue=catalogue,
        looked_up=entity,
        known=known,
        gone=gone,
        missed=asked - known - gone,
        regime=regime,
        partial=regime is None,
    )


def _refused_lookups(cursor: Cursor, entity: Entity, refused: Answer) -> Step:
    """A 403 to many ids says that the app is of the restricted regime; to one id, it says nothing that would help."""
    if refused.request.kind == SINGLY[entity]:
        return Step(cursor=cursor, looked_up=entity, deferred=True)
    return Step(cursor=cursor, looked_up=entity, regime="restricted")


def _told(entity: Entity, answers: Sequence[Answer]) -> Regime | None:
    if any(answer.request.kind != SINGLY[entity] for answer in answers):
        return "full"
    return next((regime for answer in answers if (regime := regime_of_lookup(answer.body))), None)


def _forbidden(answer: Answer) -> bool:
    return answer.refused is not None and answer.refused.status == 403


# ---- playlists ------------------------------------------------------------------------------------------------------


def plan_listing(cursor: Listing) -> list[Request]:
    return [Request("playlists", offset=cursor.walk.offset)]


def fold_listing(cursor: Listing, answers: Sequence[Answer]) -> Step:
    pages = [parse.playlists(answer.body, answer.request.offset) for answer in answers]
    after, accepted = walk.accept(cursor.walk, pages, lambda page: page.rows)
    listed = tuple(
        (position, row)
        for page in accepted
        if isinstance(page, parse.PlaylistsPage)
        for position, row in enumerate(page.rows, start=page.offset)
        if row
    )
    totals = {page.total for page in accepted} | ({cursor.walk.total} - {None})
    steady = cursor.steady and len(totals) <= 1
    nulls = cursor.nulls + sum(page.length for page in accepted) - len(listed)
    whole = None
    if after.done and after.total is not None:
        one_page = cursor.walk.position == 0 and len(accepted) == 1
        whole = Listed(after.total, nulls, steady, one_page, cursor.reading, cursor.before)
    return Step(
        cursor=Contents() if whole else replace(cursor, walk=after, steady=steady, nulls=nulls),
        total=after.total,
        regime=next((page.regime for page in pages if page.regime), None),
        listed=listed,
        listing=whole,
    )


def read_again(listed: Listed) -> Listing:
    """Some playlists were not met, or something does not add up: read the list once more before anything is gone."""
    return Listing(reading=2, before=listed.nulls)


@dataclass(frozen=True)
class Wanted:
    """A playlist whose contents are to be read: the snapshot that its row has now, and how many rows it says."""

    playlist_id: str
    snapshot_id: str
    total: int | None


@dataclass(frozen=True)
class ContentsPlan:
    requests: tuple[Request, ...]
    readings: dict[str, Reading]
    empty: tuple[Reading, ...]


def plan_contents(cursor: Contents, wanted: Sequence[Wanted]) -> ContentsPlan:
    """Pages of whole playlists, in order, up to a batch's worth. One that says it is empty costs no call."""
    requests: list[Request] = []
    readings: dict[str, Reading] = {}
    empty: list[Reading] = []
    for each in wanted:
        if len(requests) >= CONTENTS_CALLS:
            break
        reading = _reading(cursor, each)
        readings[each.playlist_id] = reading
        if reading.total == 0:
            empty.append(reading)
            continue
        end = max(reading.position + 1, reading.total or 1)
        requests += [
            Request("playlist_items", offset=offset, playlist_id=each.playlist_id)
            for offset in itertools.islice(range(reading.position, end, PAGE), CONTENTS_CALLS)
        ]
    return ContentsPlan(tuple(requests[:CONTENTS_CALLS]), readings, tuple(empty))


def _reading(cursor: Contents, wanted: Wanted) -> Reading:
    if cursor.reading and cursor.reading.playlist_id == wanted.playlist_id:
        return cursor.reading
    return Reading(wanted.playlist_id, wanted.snapshot_id, total=wanted.total)


@dataclass
class _Fold:
    """The playlist being read while answers are taken one by one, and what came of those before it."""

    readings: dict[str, Reading]
    current: Reading | None = None
    refused: str = ""
    items: list[tuple[str, PlaylistItemRow]] = field(default_factory=list)
    contents: list[tuple[Reading, Access]] = field(default_factory=list)
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)

    def take(self, answer: Answer) -> bool:
        """False: this answer does not follow what is in; it and the rest are asked for again."""
        id_ = answer.request.playlist_id
        if id_ == self.refused:
            return True
        if self.current and self.current.playlist_id != id_:
            return False
        current = self.current or self.readings[id_]
        if answer.refused:
            self._conclude(current, "not_found" if answer.refused.status == 404 else "forbidden")
            self.refused = id_
            return True
        if answer.request.offset != current.position:
            # Behind the end of a playlist that has become shorter, or off the rhythm after a short page.
            return any(done.playlist_id == id_ for done, _ in self.contents)
        self._take_page(current, parse.playlist_items(answer.body, answer.request.offset))
        return True

    def _take_page(self, current: Reading, page: parse.PlaylistItemsPage) -> None:
        if page.length == 0 and page.offset < page.total:
            raise parse.Unreadable(f"Spotify sent no rows at {page.offset} of {page.total} of a playlist")
        self.catalogue.add(page.catalogue)
        self.items += [(current.playlist_id, row) for row in page.rows]
        current = replace(current, position=page.offset + page.length, total=page.total)
        if current.position >= page.total:
            self._conclude(current, "synced")
        else:
            self.current = current

    def _conclude(self, reading: Reading, access: Access) -> None:
        self.contents.append((reading, access))
        self.current = None


def fold_contents(plan: ContentsPlan, answers: Sequence[Answer]) -> Step:
    fold = _Fold(plan.readings)
    for answer in answers:
        try:
            if not fold.take(answer):
                break
        except parse.Unreadable:
            if answer is answers[0]:
                raise
            break
    return Step(
        cursor=Contents(fold.current),
        catalogue=fold.catalogue,
        items=tuple(fold.items),
        contents=(*fold.contents, *((reading, "synced") for reading in plan.empty)),
    )
