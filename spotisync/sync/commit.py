"""A batch's rows, its counters and the cursor after it, in one transaction. What a step means for the tables."""

from dataclasses import dataclass, replace
from uuid import UUID

from spotisync.core import cursors, phases
from spotisync.core.cursors import Contents, Cursor, Late, Listing, Lookups, Reading
from spotisync.core.phases import Entity, Step
from spotisync.core.states import Phase, next_phase
from spotisync.store import catalogue, library, playlists, runs
from spotisync.store.database import Connection
from spotisync.store.runs import Checkpoint, Counts, Run
from spotisync.sync.fetch import ClaimLost

ENTITIES: tuple[Entity, ...] = ("artists", "albums")


@dataclass(frozen=True)
class Written:
    """What a step came to: counters, the cursor after it (`None`: the phase is over), what the phase shows."""

    counts: Counts
    cursor: Cursor | None
    total: int | None = None
    deferred: int = 0
    counts_for: Phase | None = None


@dataclass(frozen=True)
class Committed:
    """What is due next."""

    phase: Phase
    seq: int
    written: Written
    total: int | None
    offset: int


def commit(
    connection: Connection,
    run: Run,
    token: UUID,
    at: Checkpoint,
    cursor: Cursor,
    step: Step,
    *,
    api_calls: int,
    stall: float,
) -> Committed:
    """Raises `ClaimLost`, and writes nothing, when the batch is not ours any more."""
    if not runs.holds(connection, run.id, token):
        raise ClaimLost("another worker has the batch, or the run is over")
    written = _write(connection, run, at, cursor, step)
    runs.count(connection, run.id, written.counts_for or run.phase, written.counts, api_calls)
    if written.counts_for:
        runs.defer(connection, run.id, written.counts_for, written.deferred)
    over = written.cursor is None
    offset = cursors.offset(written.cursor) if written.cursor else written.total or at.current_offset
    runs.save_checkpoint(
        connection,
        run,
        cursor=cursors.dump(written.cursor) if written.cursor else None,
        offset=offset,
        total=written.total,
        deferred=0 if written.counts_for else written.deferred,
        over=over,
    )
    phase = next_phase(run.phase) if over else run.phase
    seq = 0 if over else run.seq + 1
    family = _family(connection, run, phase, written.cursor)
    if not runs.advance(connection, run, token, phase, seq, family, stall=stall):
        raise ClaimLost("another worker has the batch, or the run is over")
    return Committed(phase, seq, written, written.total, offset)


def _family(connection: Connection, run: Run, phase: Phase, cursor: Cursor | None) -> str:
    """Whose limits the next batch counts against."""
    if isinstance(cursor, Late):
        return late_entity(connection, run, cursor) or "playlists"
    return {"tracks": "library", "artists": "artists", "albums": "albums"}.get(phase, "playlists")


def _write(connection: Connection, run: Run, at: Checkpoint, cursor: Cursor, step: Step) -> Written:
    match cursor:
        case Lookups():
            return _write_lookups(connection, run, at, step)
        case Listing():
            return _write_listing(connection, run, cursor, step)
        case Contents():
            return _write_contents(connection, run, step)
        case Late():
            return _write_late(connection, run, cursor, step)
        case _:
            return _write_tracks(connection, run, step)


# ---- tracks ---------------------------------------------------------------------------------------------------------


def _write_tracks(connection: Connection, run: Run, step: Step) -> Written:
    changed = catalogue.save(connection, step.catalogue)
    new, rows = library.see(connection, run.id, run.account_id, step.saved)
    added, updated = library.save_tracks(connection, run.account_id, rows)
    removed = 0
    if step.walk_done:
        removed = library.remove_unseen(connection, run.id, run.account_id, library.walk_began(connection, run.id))
        catalogue.rank_stubs(connection)
    updated |= changed & {row.track_id for row in step.saved}
    return Written(Counts(len(new), len(added), len(updated - added), removed), step.cursor, step.total)


# ---- artists, albums ------------------------------------------------------------------------------------------------


def _write_lookups(connection: Connection, run: Run, at: Checkpoint, step: Step) -> Written:
    assert step.looked_up  # noqa: S101 (by construction)
    counts = _save_looked_up(connection, step)
    left = 0 if step.deferred else catalogue.left(connection, step.looked_up, run.id)
    return Written(
        counts,
        step.cursor if left else None,
        total=at.items_processed + counts.processed + left,
        deferred=0 if left else catalogue.put_off(connection, step.looked_up, run.id),
    )


def _save_looked_up(connection: Connection, step: Step) -> Counts:
    assert step.looked_up  # noqa: S101 (by construction)
    if step.settled:
        settled = catalogue.settle(connection, step.looked_up)
        return Counts(processed=settled, added=settled)
    enriched = save_looked_up(connection, step.looked_up, step)
    return Counts(processed=enriched, added=enriched)


def save_looked_up(connection: Connection, entity: Entity, step: Step) -> int:
    """What look-ups brought; returns how many stubs are none any more."""
    catalogue.save(connection, step.catalogue)
    enriched = catalogue.enriched(connection, entity, step.known, step.gone, partial=step.partial)
    catalogue.missed(connection, entity, step.missed)
    return enriched


def late_entity(connection: Connection, run: Run, cursor: Late) -> Entity | None:
    """Which late stubs to look up now: artists, then albums (whose artists may be new), until none is left."""
    for entity in ENTITIES:
        if entity not in cursor.deferred and catalogue.left(connection, entity, run.id):
            return entity
    return None


def _write_late(connection: Connection, run: Run, cursor: Late, step: Step) -> Written:
    if step.looked_up is None:
        return Written(Counts(), _late_or_over(connection, run, cursor))
    counts = _save_looked_up(connection, step)
    if step.deferred:
        cursor = replace(cursor, deferred=(*cursor.deferred, step.looked_up))
    put_off = catalogue.put_off(connection, step.looked_up, run.id)
    return Written(counts, _late_or_over(connection, run, cursor), deferred=put_off, counts_for=step.looked_up)


def _late_or_over(connection: Connection, run: Run, cursor: Late) -> Late | None:
    return cursor if late_entity(connection, run, cursor) else None


# ---- playlists ------------------------------------------------------------------------------------------------------


def _write_listing(connection: Connection, run: Run, cursor: Listing, step: Step) -> Written:
    added, changed = playlists.save_listed(connection, run.account_id, run.id, step.listed)
    counts = Counts(added=len(added), updated=len(changed))
    if not step.listing_done:
        return Written(counts, step.cursor, step.total)
    if playlists.unlisted(connection, run.account_id, run.id):
        if not step.listing_proved and cursor.reading == 1:
            return Written(counts, phases.read_again(), step.total)
        if step.listing_proved:
            removed = playlists.remove_unlisted(connection, run.account_id, run.id)
            counts = replace(counts, removed=removed)
    settled = playlists.settle_unchanged(connection, run.account_id, run.id, restricted=step.regime == "restricted")
    total = playlists.listed(connection, run.account_id, run.id)
    return Written(replace(counts, processed=settled), _contents_or_late(connection, run, None), total)


def _write_contents(connection: Connection, run: Run, step: Step) -> Written:
    catalogue.save(connection, step.catalogue)
    playlists.stage(connection, run.id, step.items)
    playlists.conclude(connection, run.account_id, run.id, step.contents)
    reading = step.cursor.reading if isinstance(step.cursor, Contents) else None
    return Written(Counts(processed=len(step.contents)), _contents_or_late(connection, run, reading))


def _contents_or_late(connection: Connection, run: Run, reading: Reading | None) -> Cursor | None:
    if reading or playlists.wanted(connection, run.account_id, run.id, None, 1):
        return Contents(reading)
    return _late_or_over(connection, run, Late())
