"""A batch's rows, its counters and the cursor after it, in one transaction. What a step means for the tables."""

import logging
from dataclasses import dataclass, replace
from uuid import UUID

from spotisync.core import cursors, null_rows, phases
from spotisync.core import listing as saved_lists
from spotisync.core.cursors import Contents, Cursor, Late, Listing, Lookups, Reading, SavedList
from spotisync.core.incremental import Incremental, LibraryChanges
from spotisync.core.phases import Entity, Listed, SavedRead, Step
from spotisync.core.states import Phase, next_phase
from spotisync.store import catalogue, history, incremental, listings, playlists, runs, saved_tracks
from spotisync.store.database import Connection
from spotisync.store.runs import Checkpoint, Counts, Run
from spotisync.sync.fetch import ClaimLost

log = logging.getLogger(__name__)

ENTITIES: tuple[Entity, ...] = ("artists", "albums")
MOST_PLAYLISTS = 100_000


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
    if not runs.lock_claim(connection, run.id, token):
        raise ClaimLost("another worker has the batch, or the run is over")
    history.set_current_run(connection, run.id)
    written = _write(connection, run, at, cursor, step)
    runs.add_counts(connection, run.id, written.counts_for or run.phase, written.counts, api_calls)
    if written.counts_for:
        runs.set_deferred(connection, run.id, written.counts_for, written.deferred + _of_list(connection, run, written))
    over = written.cursor is None
    offset = cursors.offset(written.cursor) if written.cursor else written.total or at.current_offset
    runs.save_checkpoint(
        connection,
        run,
        cursor=cursors.dump(written.cursor) if written.cursor else None,
        offset=offset,
        total=written.total,
        deferred=_put_off(connection, run, written),
        over=over,
    )
    phase = next_phase(run.phase) if over else run.phase
    seq = 0 if over else run.seq + 1
    family = _family(connection, phase, written.cursor)
    if not runs.advance(connection, run, token, phase, seq, family, stall=stall):
        raise ClaimLost("another worker has the batch, or the run is over")
    return Committed(phase, seq, written, written.total, offset)


def _put_off(connection: Connection, run: Run, written: Written) -> int:
    """What the phase leaves for later: of playlists, also those of which the list has not proved that they are gone."""
    if run.phase != "playlists":
        return written.deferred + _of_list(connection, run, written)
    if isinstance(written.cursor, Listing):
        return 0
    unread = 0 if written.counts_for else written.deferred
    return unread + playlists.count_unproved(connection, run.account_id, run.id)


def _of_list(connection: Connection, run: Run, written: Written) -> int:
    """What this run has put off of the list that the phase began with: it stays so while stubs are looked up."""
    phase = written.counts_for or run.phase
    name = saved_lists.OF_PHASE.get(phase) if phase in ENTITIES else None
    return listings.put_off_by(connection, run.account_id, run.id, name) if name else 0


def _family(connection: Connection, phase: Phase, cursor: Cursor | None) -> str:
    """Whose limits the next batch counts against."""
    if isinstance(cursor, Late):
        return late_entity(connection, cursor) or "playlists"
    if isinstance(cursor, SavedList) or (cursor is None and phase in ENTITIES):
        return "library"
    return {"tracks": "library", "artists": "artists", "albums": "albums"}.get(phase, "playlists")


def _write(connection: Connection, run: Run, at: Checkpoint, cursor: Cursor, step: Step) -> Written:
    if isinstance(cursor, SavedList):
        return _write_saved(connection, run, cursor, step)
    if step.put_off:
        return Written(Counts(), None, deferred=_left_unread(connection, run, cursor))
    match cursor:
        case Lookups():
            return _write_lookups(connection, run, at, step)
        case Listing():
            return _write_listing(connection, run, cursor, step)
        case Contents():
            return _write_contents(connection, run, step)
        case Late():
            return _write_late(connection, run, cursor, step)
        case Incremental():
            return _write_incremental(connection, run, step)
        case _:
            return _write_tracks(connection, run, step)


def _left_unread(connection: Connection, run: Run, cursor: Cursor) -> int:
    """What a phase that is put off leaves: the playlists still to be read, or the list that nobody has counted."""
    if isinstance(cursor, Contents):
        return len(playlists.find_wanted(connection, run.account_id, run.id, None, MOST_PLAYLISTS))
    return 1


# ---- tracks ---------------------------------------------------------------------------------------------------------


def _write_tracks(connection: Connection, run: Run, step: Step) -> Written:
    changed = catalogue.save_rows(connection, step.catalogue)
    new, rows = saved_tracks.mark_seen(connection, run.id, run.account_id, step.saved)
    added, updated = saved_tracks.save_tracks(connection, run.account_id, rows)
    saved_tracks.mark_nulls_seen(connection, run.id, step.nulls)
    removed, hidden = _end_walk(connection, run, step.total or 0) if step.walk_done else (0, 0)
    updated |= changed & {row.track_id for row in step.saved}
    counts = Counts(len(new), len(added), len(updated - added), removed)
    return Written(counts, step.cursor, step.total, deferred=hidden)


def _end_walk(connection: Connection, run: Run, total: int) -> tuple[int, int]:
    """The walk is proved. Returns how many tracks are no longer saved, and how many a null row may hide."""
    since = saved_tracks.get_walk_start(connection, run.id)
    met = saved_tracks.count_nulls_seen(connection, run.id)
    last = saved_tracks.get_last_nulls(connection, run.account_id)
    hidden, now = set[str](), null_rows.first_count(met)
    if last is not None and (met or last):
        rows = saved_tracks.find_unseen(
            connection, run.id, run.account_id, since, null_rows.dates_with_new_nulls(met, last)
        )
        hidden, now = null_rows.find_hidden(rows, met, last)
    removed = saved_tracks.remove_unseen(connection, run.id, run.account_id, since, hidden)
    saved_tracks.record_walk(connection, run.account_id, total, now)
    incremental.record_excess(connection, run.account_id, total)
    catalogue.rank_stubs(connection)
    return removed, len(hidden)


def _write_incremental(connection: Connection, run: Run, step: Step) -> Written:
    changed = catalogue.save_rows(connection, step.catalogue)
    rows = incremental.filter_newest(connection, run.account_id, step.saved)
    added, updated = saved_tracks.save_tracks(connection, run.account_id, rows)
    if step.read_again:
        incremental.clear_read_rows(connection, run.id)
    incremental.save_read_rows(connection, run.id, run.account_id, step.read)
    updated |= changed & {row.track_id for row in step.saved}
    removed = _settle(connection, run, step.differences, step.patrol) if step.differences else 0
    counts = Counts(len(step.read), len(added), len(updated - added), removed)
    return Written(counts, step.cursor, deferred=len(step.differences.hidden) if step.differences else 0)


def _settle(connection: Connection, run: Run, found: LibraryChanges, patrol: int | None) -> int:
    if patrol is not None:
        incremental.save_patrol_offset(connection, run.account_id, patrol)
    removed = incremental.apply_changes(connection, run.account_id, run.id, found)
    catalogue.rank_stubs(connection, try_again=False)
    return removed


# ---- followed artists, saved albums ---------------------------------------------------------------------------------


def _write_saved(connection: Connection, run: Run, cursor: SavedList, step: Step) -> Written:
    """Its end is where the look-ups begin."""
    if step.put_off:
        listings.put_off(connection, run.account_id, run.id, cursor.name, 1, step.why)
        log.warning("%s put off: %s", cursor.name.replace("_", " "), step.why)
        return Written(Counts(), Lookups())
    read = step.saved_list
    if read is None:
        return Written(Counts(), step.cursor)
    last = listings.last_read(connection, run.account_id, cursor.name)
    ids = _save_told(connection, cursor, step, read)
    if (
        run.sync_type == "incremental"
        and cursor.reading == 1
        and saved_lists.unchanged(last, read, listings.now(connection))
    ):
        return Written(Counts(len(ids), len(ids)), Lookups())
    if read.first:
        listings.begin(connection, run.account_id, cursor.name)
    ids |= listings.save(connection, run.account_id, run.id, cursor.name, read.rows, cursor.reading)
    counts = Counts(len(ids), len(ids))
    if read.listed is None:
        return Written(counts, step.cursor)
    assert isinstance(step.cursor, SavedList)  # noqa: S101 (by construction)
    removed = _end_saved(connection, run, step.cursor, read.listed)
    if removed is None:
        return Written(counts, saved_lists.read_again(cursor, read.listed))
    return Written(replace(counts, removed=removed), Lookups())


def _save_told(connection: Connection, cursor: SavedList, step: Step, read: SavedRead) -> set[str]:
    """The catalogue, as the page tells it. Returns the ids that need no look-up any more."""
    entity = saved_lists.ENTITY[cursor.name]
    catalogue.save_rows(connection, step.catalogue)
    full = catalogue.mark_listed(connection, entity, read.full)
    return full | catalogue.mark_listed(connection, entity, read.partial, partial=True)


def _end_saved(connection: Connection, run: Run, cursor: SavedList, listed: Listed) -> int | None:
    """How many are gone; None if the list is to be read once more, to see whether they are."""
    name, account = cursor.name, run.account_id
    rows = listings.unlisted(connection, account, run.id, name, listed.reading)
    met = listings.met(connection, account, run.id, name, listed.reading)
    as_before = listed.reading == 2 and listings.met_as_before(connection, account, run.id, name)
    last = listings.last_read(connection, account, name)
    proved = saved_lists.proves(listed, met, last.nulls.rows if last else 0, as_before=as_before)
    there = {null_rows.UNDATED: listed.nulls}
    hidden, now = null_rows.find_hidden(
        rows, there, {null_rows.UNDATED: last.nulls} if last else null_rows.first_count(there)
    )
    if not listed.last and (null_rows.has_removable(rows, hidden) or not proved):
        return None
    removed = 0
    if proved:
        removed = listings.remove_unlisted(connection, account, run.id, name, hidden)
        known = now.get(null_rows.UNDATED, null_rows.NullCount())
        listings.note_read(connection, account, name, listed.total, cursor.first, known)
    unproved = listings.unproved(connection, account, run.id, name)
    listings.put_off(connection, account, run.id, name, unproved, None)
    return removed


# ---- artists, albums ------------------------------------------------------------------------------------------------


def _write_lookups(connection: Connection, run: Run, at: Checkpoint, step: Step) -> Written:
    assert step.looked_up  # noqa: S101 (by construction)
    counts = _save_looked_up(connection, run, step)
    processed = at.items_processed + counts.processed
    if not step.deferred and catalogue.has_stubs(connection, step.looked_up):
        return Written(counts, step.cursor, total=_lookups_total(connection, step.looked_up, at, processed))
    return Written(counts, None, total=processed, deferred=catalogue.count_stubs(connection, step.looked_up))


def _lookups_total(connection: Connection, entity: Entity, at: Checkpoint, processed: int) -> int:
    """Counted at the first batch, and again when there turn out to be more: counting reads every stub."""
    if at.total_items and at.total_items > processed:
        return at.total_items
    return processed + catalogue.count_claimable_stubs(connection, entity)


def _save_looked_up(connection: Connection, run: Run, step: Step) -> Counts:
    assert step.looked_up  # noqa: S101 (by construction)
    if step.deferred:
        catalogue.release_stubs(connection, step.looked_up, run.id)
    if step.settled:
        settled = catalogue.mark_stubs_partial(connection, step.looked_up)
        return Counts(processed=settled, added=settled)
    enriched = save_looked_up(connection, step.looked_up, step)
    return Counts(processed=enriched, added=enriched)


def save_looked_up(connection: Connection, entity: Entity, step: Step) -> int:
    """What look-ups brought; returns how many stubs are none any more."""
    catalogue.save_rows(connection, step.catalogue)
    enriched = catalogue.mark_enriched(connection, entity, step.known, step.gone, partial=step.partial)
    catalogue.record_misses(connection, entity, step.missed)
    return enriched


def late_entity(connection: Connection, cursor: Late) -> Entity | None:
    """Which late stubs to look up now: artists, then albums (whose artists may be new), until none is left."""
    for entity in ENTITIES:
        if entity not in cursor.deferred and catalogue.has_stubs(connection, entity):
            return entity
    return None


def _write_late(connection: Connection, run: Run, cursor: Late, step: Step) -> Written:
    if step.looked_up is None:
        return Written(Counts(), _late_or_over(connection, cursor))
    counts = _save_looked_up(connection, run, step)
    if step.deferred:
        cursor = replace(cursor, deferred=(*cursor.deferred, step.looked_up))
    put_off = 0  # until its last batch is in: counting reads every stub
    if late_entity(connection, cursor) != step.looked_up:
        put_off = catalogue.count_stubs(connection, step.looked_up)
    return Written(counts, _late_or_over(connection, cursor), deferred=put_off, counts_for=step.looked_up)


def _late_or_over(connection: Connection, cursor: Late) -> Late | None:
    return cursor if late_entity(connection, cursor) else None


# ---- playlists ------------------------------------------------------------------------------------------------------


def _write_listing(connection: Connection, run: Run, cursor: Listing, step: Step) -> Written:
    added, changed = playlists.save_listed(connection, run.account_id, run.id, step.listed, cursor.reading)
    counts = Counts(added=len(added), updated=len(changed))
    if step.listing is None:
        return Written(counts, step.cursor, step.total)
    removed = _end_listing(connection, run, step.listing)
    if removed is None:
        return Written(counts, phases.read_again(step.listing), step.total)
    settled = playlists.settle_unchanged(
        connection,
        run.account_id,
        run.id,
        restricted=step.regime == "restricted",
        incremental=run.sync_type == "incremental",
    )
    total = playlists.count_listed(connection, run.account_id, run.id)
    counts = replace(counts, removed=removed, processed=settled)
    return Written(counts, _contents_or_late(connection, run, None), total)


def _end_listing(connection: Connection, run: Run, listed: Listed) -> int | None:
    """How many playlists are gone; None if the list is to be read once more, to see whether they are."""
    rows = playlists.find_unlisted(connection, run.account_id, run.id, listed.reading)
    met = playlists.count_listed(connection, run.account_id, run.id, listed.reading)
    as_before = listed.reading == 2 and playlists.met_same_rows(connection, run.account_id, run.id)
    last = playlists.last_nulls(connection, run.account_id)
    proved = listed.proves(met, last.rows if last else 0, as_before=as_before)
    there = {null_rows.UNDATED: listed.nulls}
    hidden, now = null_rows.find_hidden(
        rows, there, {null_rows.UNDATED: last} if last else null_rows.first_count(there)
    )
    if not listed.last and (null_rows.has_removable(rows, hidden) or not proved):
        return None
    if not proved:
        return 0
    playlists.record_read(connection, run.account_id, now.get(null_rows.UNDATED, null_rows.NullCount()))
    return playlists.remove_unlisted(connection, run.account_id, run.id, hidden)


def _write_contents(connection: Connection, run: Run, step: Step) -> Written:
    catalogue.save_rows(connection, step.catalogue)
    playlists.stage_items(connection, run.id, step.items)
    playlists.finish_contents(connection, run.account_id, run.id, step.contents)
    reading = step.cursor.reading if isinstance(step.cursor, Contents) else None
    return Written(Counts(processed=len(step.contents)), _contents_or_late(connection, run, reading))


def _contents_or_late(connection: Connection, run: Run, reading: Reading | None) -> Cursor | None:
    if reading or playlists.find_wanted(connection, run.account_id, run.id, None, 1):
        return Contents(reading)
    return _late_or_over(connection, Late())
