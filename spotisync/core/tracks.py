"""Plan the requests of the tracks phase and fold the answers, for a walk and for an incremental read. Pure.

A batch may get only some of its answers; `fold_*` takes the contiguous prefix and returns the next cursor.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from spotisync.core import incremental, null_rows, parse, walk
from spotisync.core.bisection import Compared
from spotisync.core.incremental import Conclude, Incremental, KnownLibrary, Plan, ReadPages, Rewalk, Stop
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.requests import PAGE, Request
from spotisync.core.rows import CatalogueRows, NullRow, SavedTrackRow
from spotisync.core.steps import Answer, DeferralStep, IncrementalStep, WalkStep, read_prefix
from spotisync.core.walk import TracksWalk


def plan_walk(cursor: TracksWalk, batch_size: int) -> tuple[Request, ...]:
    pages = -(-batch_size // PAGE)
    return tuple(Request("saved_tracks", offset=offset) for offset in walk.tracks_offsets(cursor, pages))


def fold_walk(cursor: TracksWalk, answers: Sequence[Answer]) -> WalkStep | DeferralStep:
    if answers[0].refused:
        return pass_by_walk(cursor) or DeferralStep(reason=str(answers[0].refused), failed=True)
    after, accepted = walk.accept_tracks(cursor, _read_pages(answers))
    return WalkStep(
        cursor=None if after.done else after,
        catalogue=_catalogue(accepted),
        total=after.walk.total,
        skipped=after.walk.skipped,
        phantoms=after.walk.phantoms,
        saved=tuple(dict.fromkeys(row for page in accepted for row in page.rows if row)),
        # The head is read a second time at the end; its null rows have been counted.
        nulls=_nulls(cursor, after, accepted) if cursor.stage == "list" else (),
    )


def pass_by_walk(cursor: TracksWalk) -> WalkStep | None:
    """Pass by a page that can't be read; None if the list can't be read at all."""
    after = walk.pass_by_tracks(cursor)
    return WalkStep(cursor=after, total=after.walk.total, skipped=after.walk.skipped) if after else None


def _nulls(before: TracksWalk, after: TracksWalk, pages: Sequence[parse.SavedTracksPage]) -> tuple[NullRow, ...]:
    """The null rows of the pages.

    Rows that stand on a page twice, and rows that Spotify counts beyond the end of the list, are null rows without a
    date: each may stand in the place of any track.
    """
    phantoms = after.walk.phantoms if not before.walk.phantoms else 0
    return (
        *(row for page in pages for row in page.nulls),
        *(NullRow(parse.EPOCH, page.total - place) for page in pages for place in page.repeated_places),
        *(NullRow(parse.EPOCH, place) for place in range(1, phantoms + 1)),
    )


def _read_pages(answers: Sequence[Answer]) -> list[parse.SavedTracksPage]:
    return read_prefix(answers, lambda answer: answer.parsed)


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
    """The state at the end of a walk. `last_nulls`: None if no walk was proved before.

    `met`: rows with a track; both rows of a track that is listed twice count.
    """

    met: int
    nulls: Mapping[datetime, int]
    last_nulls: Mapping[datetime, NullCount] | None
    suspects: Sequence[SuspectRow] = ()


def find_hidden(evidence: WalkEvidence) -> tuple[set[str], dict[datetime, NullCount]]:
    """Find the tracks not met by the walk that null rows may hide, and the null rows to remember."""
    if evidence.last_nulls is None:
        return set(), null_rows.first_count(evidence.nulls)
    return null_rows.find_hidden(evidence.suspects, evidence.nulls, evidence.last_nulls)


def is_proved(evidence: WalkEvidence, step: WalkStep) -> bool:
    """Whether the rows met and the null rows add up to the total of the walk's last page."""
    return not step.skipped and evidence.met + sum(evidence.nulls.values()) == step.total


def plan_incremental(step: Plan) -> tuple[Request, ...]:
    offsets = step.offsets if isinstance(step, ReadPages) else ()
    return tuple(Request("saved_tracks", offset=offset) for offset in offsets)


def fold_incremental(
    cursor: Incremental,
    step: Plan,
    library: KnownLibrary,
    find_stored: Callable[[Collection[str]], Collection[str]],
    answers: Sequence[Answer],
) -> IncrementalStep | DeferralStep:
    """`find_stored` returns those of the ids that are stored and not hidden."""
    if isinstance(step, Rewalk):
        return IncrementalStep(cursor=TracksWalk(), restart=True)
    if isinstance(step, Stop):
        return DeferralStep(reason=step.reason, known=True)
    if isinstance(step, Conclude):
        return _conclude(cursor, step.found, library)
    if answers[0].refused:
        return DeferralStep(reason=str(answers[0].refused), failed=True)
    pages = _read_pages(answers)
    stored = find_stored([row.track_id for page in pages for row in page.rows if row])
    after = incremental.fold(cursor, step, pages, library, stored)
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
