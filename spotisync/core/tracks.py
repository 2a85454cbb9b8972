"""Plan the requests of the tracks phase and fold the answers, for a walk and for an incremental read. Pure.

A batch may get only some of its answers; `fold_*` takes the contiguous prefix and returns the next cursor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from spotisync.core import incremental, null_rows, parse, walk
from spotisync.core.bisection import Compared
from spotisync.core.incremental import Conclude, Incremental, KnownLibrary, ReadPages, Rewalk
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.requests import PAGE, Request
from spotisync.core.rows import CatalogueRows, SavedTrackRow
from spotisync.core.steps import Answer, IncrementalStep, WalkStep, read_prefix
from spotisync.core.walk import TracksWalk


def plan_walk(cursor: TracksWalk, batch_size: int) -> tuple[Request, ...]:
    pages = -(-batch_size // PAGE)
    return tuple(Request("saved_tracks", offset=offset) for offset in walk.tracks_offsets(cursor, pages))


def fold_walk(cursor: TracksWalk, answers: Sequence[Answer]) -> WalkStep:
    after, accepted = walk.accept_tracks(cursor, _read_pages(answers))
    return WalkStep(
        cursor=None if after.done else after,
        catalogue=_catalogue(accepted),
        total=after.walk.total,
        saved=_newest_of_twins(accepted),
        # The head is read a second time at the end; its null rows have been counted.
        nulls=tuple(row for page in accepted for row in page.nulls) if cursor.stage == "list" else (),
    )


def _read_pages(answers: Sequence[Answer]) -> list[parse.SavedTracksPage]:
    return read_prefix(answers, lambda answer: parse.saved_tracks(answer.body, answer.request.offset))


def _catalogue(pages: Iterable[parse.SavedTracksPage]) -> CatalogueRows:
    catalogue = CatalogueRows()
    for page in pages:
        catalogue.add(page.catalogue)
    return catalogue


def _newest_of_twins(pages: Iterable[parse.SavedTracksPage]) -> tuple[SavedTrackRow, ...]:
    """Keep one row per track: relinking can list a track twice, and the row added last counts."""
    newest: dict[str, SavedTrackRow] = {}
    for row in (row for page in pages for row in page.rows if row):
        if row.track_id not in newest or newest[row.track_id].added_at < row.added_at:
            newest[row.track_id] = row
    return tuple(newest.values())


@dataclass(frozen=True)
class WalkEvidence:
    """The stored state when a walk is proved. `last_nulls`: None if no walk was proved before."""

    nulls: Mapping[datetime, int]
    last_nulls: Mapping[datetime, NullCount] | None
    suspects: Sequence[SuspectRow] = ()


def find_hidden(evidence: WalkEvidence) -> tuple[set[str], dict[datetime, NullCount]]:
    """Find the tracks not met by the walk that null rows may hide, and the null rows to remember."""
    if evidence.last_nulls is None:
        return set(), null_rows.first_count(evidence.nulls)
    return null_rows.find_hidden(evidence.suspects, evidence.nulls, evidence.last_nulls)


def plan_incremental(step: ReadPages | Conclude | Rewalk) -> tuple[Request, ...]:
    offsets = step.offsets if isinstance(step, ReadPages) else ()
    return tuple(Request("saved_tracks", offset=offset) for offset in offsets)


def fold_incremental(
    cursor: Incremental, step: ReadPages | Conclude | Rewalk, library: KnownLibrary, answers: Sequence[Answer]
) -> IncrementalStep:
    if isinstance(step, Rewalk):
        return IncrementalStep(cursor=TracksWalk(), restart=True)
    if isinstance(step, Conclude):
        return _conclude(cursor, step.found, library)
    pages = _read_pages(answers)
    after = incremental.fold(cursor, step, pages, library)
    if after.found:
        return _conclude(cursor, after.found, library)
    return IncrementalStep(
        cursor=after.cursor,
        catalogue=_catalogue(pages),
        saved=_newest_of_twins(pages),
        read=after.rows,
        restart=after.restart,
    )


def _conclude(cursor: Incremental, found: Compared, library: KnownLibrary) -> IncrementalStep:
    assert cursor.total is not None  # noqa: S101 (the head has been read)
    patrol = incremental.next_patrol_offset(library.patrol, library, cursor.total) if cursor.patrolled else None
    changes = incremental.resolve_changes(found, library)
    return IncrementalStep(cursor=None, total=cursor.total, changes=changes, patrol=patrol)
