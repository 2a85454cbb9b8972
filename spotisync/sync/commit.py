"""Write a batch's rows, its counters and the next cursor in one transaction, with one writer per kind of step."""

import logging
from dataclasses import dataclass, replace
from uuid import UUID

from spotisync.core import batch_size, cursors, listing, tracks
from spotisync.core.cursors import Contents, Cursor, Entity, Listing, ListName, Lookups, PlaylistProgress
from spotisync.core.incremental import Incremental
from spotisync.core.requests import Family
from spotisync.core.states import Phase, next_phase
from spotisync.core.steps import (
    ContentsStep,
    DeferralStep,
    IncrementalStep,
    ListingStep,
    ListRead,
    LookupStep,
    Step,
    WalkStep,
)
from spotisync.core.walk import TracksWalk
from spotisync.store import (
    catalogue,
    history,
    listings,
    pending_lookups,
    playlists,
    reply_shapes,
    runs,
    saved_tracks,
    spoken,
    vanished,
)
from spotisync.store.database import Connection
from spotisync.store.runs import Checkpoint, Counts, Run
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.batch_events import BatchEvents
from spotisync.sync.fetch import ClaimLost

log = logging.getLogger(__name__)

ENTITIES: tuple[Entity, ...] = ("artists", "albums")


@dataclass(frozen=True)
class ClaimedBatch:
    """A batch claimed by this worker: `token` fences its commit, `at` is the checkpoint that `cursor` was read from.

    `podcasts`: whether the lists of spoken word are read.
    """

    app: SpotifyApp
    run: Run
    token: UUID
    at: Checkpoint
    cursor: Cursor
    events: BatchEvents
    podcasts: bool = True

    @property
    def factor(self) -> int:
        """The size of this batch, as a multiple of the usual one: small again after a worker was lost."""
        return self.at.batch_factor if self.events.attempt == 1 else 1

    def get_next_factor(self) -> int:
        undisturbed = self.events.attempt == 1 and not self.at.failures
        return batch_size.next_factor(self.factor, self.events.get_seconds(), undisturbed=undisturbed)


@dataclass(frozen=True)
class Written:
    """What a step wrote: counters, the next cursor (`None`: the phase is over), the total that the phase shows.

    `counts_for`: the phase that the counters belong to, if it is not the run's.
    """

    counts: Counts
    cursor: Cursor | None
    total: int | None = None
    deferred: int = 0
    counts_for: Phase | None = None


@dataclass(frozen=True)
class Committed:
    """The batch that is due next."""

    phase: Phase
    seq: int
    written: Written
    total: int | None
    offset: int

    @property
    def items_read(self) -> int:
        """The items that the batch has read for the first time; 0 if it has taken back what it reads again."""
        return max(0, self.written.counts.processed)


def commit(connection: Connection, batch: ClaimedBatch, step: Step, *, api_calls: int) -> Committed:
    """Write the step and make the next batch due. Raises `ClaimLost`, writing nothing, if the claim is lost."""
    run = batch.run
    if not runs.lock_claim(connection, run.id, batch.token):
        raise ClaimLost("another worker has the batch, or the run is over")
    history.set_current_run(connection, run.id)
    written = _write(connection, batch, step)
    runs.add_counts(connection, run.id, written.counts_for or run.phase, written.counts, api_calls)
    if written.counts_for:
        items = written.deferred + _count_deferred_rows(connection, run, written.counts_for, written.cursor)
        runs.set_deferred(connection, run.id, written.counts_for, items)
    over = written.cursor is None
    offset = cursors.offset(written.cursor) if written.cursor else written.total or batch.at.current_offset
    deferred = 0 if written.counts_for else written.deferred
    runs.save_checkpoint(
        connection,
        run,
        cursor=cursors.dump(written.cursor) if written.cursor else None,
        offset=offset,
        total=written.total,
        deferred=deferred + _count_deferred_rows(connection, run, run.phase, written.cursor),
        over=over,
        batch_factor=batch.get_next_factor(),
    )
    phase = next_phase(run.phase) if over else run.phase
    seq = 0 if over else run.seq + 1
    family = _next_family(run, phase, written.cursor)
    if not runs.advance(connection, run, batch.token, phase, seq, family):
        raise ClaimLost("another worker has the batch, or the run is over")
    return Committed(phase, seq, written, written.total, offset)


def _count_deferred_rows(connection: Connection, run: Run, phase: Phase, following: Cursor | None) -> int:
    """Count the rows of the phase's lists that this run defers. Each checkpoint overwrites `items_deferred`.

    Contents that are still unread count once the phase reads no more of them: `following` is its next work, if any.
    """
    if phase == "finish":
        return 0
    names: tuple[listings.AnyList, ...] = listing.LISTS_OF_PHASE.get(phase, ("saved_tracks",))
    rows = sum(listings.count_deferred(connection, run.account_id, run.id, name) for name in names)
    if phase != "playlists":
        return rows
    is_reading = isinstance(following, Listing | Contents)
    unread = 0 if is_reading else playlists.count_wanted(connection, run.account_id, run.id)
    return rows + unread + playlists.count_deferred(connection, run.account_id, run.id)


def _next_family(run: Run, phase: Phase, cursor: Cursor | None) -> Family:
    """The family whose limits the next batch counts against."""
    if cursor is None and phase == "finish":
        return "playlists"
    return (cursor or cursors.first_cursor(phase, run.sync_type)).family


def _write(connection: Connection, batch: ClaimedBatch, step: Step) -> Written:
    match step:
        case DeferralStep():
            return _write_deferral(connection, batch, step)
        case WalkStep():
            return _write_walk(connection, batch, step)
        case IncrementalStep():
            return _write_incremental(connection, batch, step)
        case ListingStep():
            return _write_page_of_list(connection, batch, step)
        case LookupStep():
            return _write_lookups(connection, batch, step)
        case ContentsStep():
            return _write_contents(connection, batch.run, step)
    raise AssertionError(f"no writer for {type(step).__name__}")


def _write_deferral(connection: Connection, batch: ClaimedBatch, step: DeferralStep) -> Written:
    run, cursor = batch.run, batch.cursor
    match cursor:
        case Lookups():
            catalogue.release_stubs(connection, cursor.entity, run.id)
            deferred = replace(cursor, deferred=(*cursor.deferred, cursor.entity))
            return _after_lookups(connection, batch, deferred, Counts())
        case Listing():
            _defer_list(connection, run, cursor.name, step)
            return _after_unread_list(connection, batch, cursor)
        case Contents() if step.playlist_id:
            playlists.defer_contents(connection, run.account_id, run.id, step.playlist_id, step.reason)
            log.warning("contents of playlist %s deferred: %s", step.playlist_id, step.reason)
            return Written(Counts(), _contents_or_late(connection, run, None))
        case Contents():
            return Written(Counts(), _late_lookups(connection, run))
        case _:
            if isinstance(cursor, Incremental) and step.failed:
                saved_tracks.skip_patrol_page(connection, run.account_id)
            _defer_list(connection, run, "saved_tracks", step, unread=cursor in (TracksWalk(), Incremental()))
            return Written(Counts(), None)


def _defer_list(
    connection: Connection, run: Run, name: listings.AnyList, step: DeferralStep, *, unread: bool = True
) -> None:
    if step.known:
        listings.keep_deferred(connection, run.account_id, run.id, name)
        return
    if step.failed and name in listing.SPOKEN:
        listings.record_attempt(connection, run.account_id, name)
    listings.defer(connection, run.account_id, run.id, name, 1, step.reason, failed=step.failed, unread=unread)
    log.warning("%s deferred: %s", name.replace("_", " "), step.reason)


def _after_unread_list(connection: Connection, batch: ClaimedBatch, cursor: Listing) -> Written:
    """Continue with the next list, or with what was stored before: look-ups, or contents of playlists that were met."""
    if cursor.name != "playlists":
        return _end_listing(connection, batch, cursor.name, Counts())
    return Written(Counts(), _contents_or_late(connection, batch.run, None))


# ---- tracks ---------------------------------------------------------------------------------------------------------


def _write_walk(connection: Connection, batch: ClaimedBatch, step: WalkStep) -> Written:
    run = batch.run
    if _must_confirm_empty(connection, batch, step):
        return Written(Counts(), TracksWalk(empty_once=True))
    changed = catalogue.save_rows(connection, step.catalogue)
    vanished.record_availability(connection, run.account_id, step.catalogue.tracks.values())
    new, rows = saved_tracks.mark_seen(connection, run.id, run.account_id, step.saved)
    added, updated = saved_tracks.save_tracks(connection, run.account_id, rows)
    saved_tracks.mark_nulls_seen(connection, run.id, step.nulls)
    removed = _end_walk(connection, batch, step) if step.cursor is None else 0
    updated |= changed & {row.track_id for row in step.saved}
    counts = Counts(len(new), len(added), len(updated - added), removed)
    return Written(counts, step.cursor, step.total)


def _must_confirm_empty(connection: Connection, batch: ClaimedBatch, step: WalkStep) -> bool:
    """Whether a list that was not empty is empty now for the first time: it is read again before rows are removed."""
    confirmed = isinstance(batch.cursor, TracksWalk) and batch.cursor.empty_once
    is_empty = step.cursor is None and step.total == 0
    return is_empty and not confirmed and saved_tracks.count_saved(connection, batch.run.account_id) > 0


def _end_walk(connection: Connection, batch: ClaimedBatch, step: WalkStep) -> int:
    """Conclude a walk, with removals if it is proved. Returns the number of tracks removed."""
    run, account, total = batch.run, batch.run.account_id, step.total or 0
    evidence = saved_tracks.get_walk_evidence(connection, account, run.id)
    catalogue.rank_stubs(connection, account)
    if not tracks.is_proved(evidence, step):
        listed = evidence.met + sum(evidence.nulls.values())
        reason = _difference(total, listed)
        listings.defer(connection, account, run.id, "saved_tracks", max(1, abs(total - listed)), reason, failed=True)
        missing = saved_tracks.count_removable(connection, account, run.id, ())
        _forget_held(connection, run, "saved_tracks", missing, saved_tracks.count_saved(connection, account))
        saved_tracks.drop_walk(connection, run.id)
        return 0
    hidden, nulls = tracks.find_hidden(evidence)
    rows = saved_tracks.count_removable(connection, account, run.id, hidden)
    if _hold(connection, batch, "saved_tracks", rows, saved_tracks.count_saved(connection, account)):
        saved_tracks.drop_walk(connection, run.id)
        return 0
    listings.defer(connection, account, run.id, "saved_tracks", len(hidden) + step.phantoms, _excess(step.phantoms))
    return saved_tracks.end_walk(connection, account, run.id, total, hidden, nulls)


def _difference(total: int, listed: int) -> str:
    return f"Spotify counts {total:,} rows and has listed {listed:,}, so no row was removed"


def _excess(phantoms: int) -> str | None:
    return f"Spotify counts {phantoms:,} more than it lists" if phantoms else None


def _hold(connection: Connection, batch: ClaimedBatch, name: listings.AnyList, rows: int, stored: int) -> bool:
    """Hold a removal while the form of the replies is in doubt, and one of most rows until it is confirmed.

    Returns whether it is held.
    """
    run = batch.run
    if rows and reply_shapes.is_frozen(connection, batch.app.client_id, name):
        reason = f"replies lack a key that spotisync needs, so {rows:,} rows are kept that they do not contain"
        listings.defer(connection, run.account_id, run.id, name, rows, reason)
        return True
    if _forget_held(connection, run, name, rows, stored):
        return False
    if not listings.hold_removal(connection, run.account_id, run.id, name, rows):
        return False
    listings.defer(connection, run.account_id, run.id, name, rows)
    log.warning("removal of %d of %d rows of %s held until it is confirmed", rows, stored, name.replace("_", " "))
    return True


def _forget_held(connection: Connection, run: Run, name: listings.AnyList, missing: int, stored: int) -> bool:
    """Forget a held removal if most rows are listed after all, even by a reading that proves nothing."""
    if listing.is_mass_removal(missing, stored):
        return False
    listings.clear_held(connection, run.account_id, name)
    return True


def _write_incremental(connection: Connection, batch: ClaimedBatch, step: IncrementalStep) -> Written:
    run = batch.run
    changed = catalogue.save_rows(connection, step.catalogue)
    vanished.record_availability(connection, run.account_id, step.catalogue.tracks.values())
    rows = saved_tracks.filter_newest(connection, run.account_id, step.saved)
    added, updated = saved_tracks.save_tracks(connection, run.account_id, rows)
    if step.restart:
        saved_tracks.clear_read_rows(connection, run.id)
    saved_tracks.save_read_rows(connection, run.id, run.account_id, step.read)
    catalogue.rank_stubs_of(connection, added)
    updated |= changed & {row.track_id for row in step.saved}
    removed = _end_incremental(connection, batch, step)
    # Rows that are read again count once.
    taken_back = batch.at.items_processed if step.restart else 0
    counts = Counts(len(step.read) - taken_back, len(added), len(updated - added), removed)
    return Written(counts, step.cursor)


def _end_incremental(connection: Connection, batch: ClaimedBatch, step: IncrementalStep) -> int:
    """Apply the result of a finished search. Returns how many tracks were removed, 0 while the search continues."""
    run = batch.run
    if step.changes is None:
        return 0
    if step.patrol is not None:
        saved_tracks.save_patrol_offset(connection, run.account_id, step.patrol)
    rows = len(step.changes.removed)
    stored = saved_tracks.count_saved(connection, run.account_id) if rows else 0  # counting reads every row
    if _hold(connection, batch, "saved_tracks", rows, stored):
        saved_tracks.clear_read_rows(connection, run.id)
        return 0
    listings.defer(connection, run.account_id, run.id, "saved_tracks", len(step.changes.hidden))
    removed = saved_tracks.apply_changes(connection, run.account_id, run.id, step.changes)
    catalogue.rank_stubs_of(connection, step.changes.removed)
    return removed


# ---- lists that are read whole ----------------------------------------------------------------------


def _write_page_of_list(connection: Connection, batch: ClaimedBatch, step: ListingStep) -> Written:
    assert isinstance(step.cursor, Listing)  # noqa: S101 (by construction)
    run, cursor, account = batch.run, step.cursor, batch.run.account_id
    last = listings.last_read(connection, account, cursor.name)
    changed, enriched = _save_listed(connection, cursor, step)
    if _is_skipped(connection, run, cursor, last, step):
        listings.defer(connection, account, run.id, cursor.name, 0)
        return _end_listing(connection, batch, cursor.name, Counts(len(enriched), len(enriched)))
    if step.first_page:
        listings.invalidate_first_page(connection, account, cursor.name)
    added = listings.save(connection, account, run.id, cursor.name, step.rows, cursor.reading, cursor.regime)
    counts = _count_listed(cursor, enriched | added, changed - added)
    if step.end is None:
        return Written(counts, cursor, _total_of_list(cursor, step.total))
    evidence = listings.get_evidence(connection, account, run.id, cursor.name, cursor.reading, cursor.regime)
    verdict = listing.conclude(step.end, evidence)
    if verdict.read_again:
        return Written(counts, listing.second_reading(cursor, step.end), _total_of_list(cursor, step.total))
    removed = _end_list(connection, batch, cursor, step.end, verdict, evidence.met)
    if cursor.name not in listing.SPOKEN:
        counts = replace(counts, removed=removed)
    return _after_list(connection, batch, cursor, step, counts)


def _end_list(
    connection: Connection, batch: ClaimedBatch, cursor: Listing, end: ListRead, verdict: listing.ListVerdict, met: int
) -> int:
    """Conclude a list, with removals if it is proved. Returns the number of rows removed."""
    run, account, name, regime = batch.run, batch.run.account_id, cursor.name, cursor.regime
    if name in listing.SPOKEN:
        listings.record_attempt(connection, account, name)
    if not verdict.proved:
        missing = listings.count_removable(connection, account, run.id, name, regime=regime)
        listed = met + end.nulls
        reason = _difference(end.total, listed) if listed != end.total else None
        rows = max(missing, abs(end.total - listed))
        listings.defer(connection, account, run.id, name, rows, reason, failed=rows > 0)
        _forget_held(connection, run, name, missing, listings.count_stored(connection, account, name))
        return 0
    rows = listings.count_removable(connection, account, run.id, name, verdict.hidden, regime)
    if _hold(connection, batch, name, rows, listings.count_stored(connection, account, name)):
        return 0
    listings.defer(connection, account, run.id, name, len(verdict.hidden) + end.phantoms, _excess(end.phantoms))
    listings.record_read(connection, account, name, end.total, cursor.first, verdict.nulls, regime)
    return listings.apply_verdict(connection, account, run.id, name, verdict, regime)


def _save_listed(connection: Connection, cursor: Listing, step: ListingStep) -> tuple[set[str], set[str]]:
    """Write the details in the page. Returns the ids of changed playlists, and of rows that are no longer stubs."""
    entity = listing.ENTITY.get(cursor.name)
    if cursor.name in listing.SPOKEN:
        spoken.save_rows(connection, step.catalogue)
        return set(), set()
    if entity is None:
        return playlists.save_rows(connection, step.playlists), set()
    catalogue.save_rows(connection, step.catalogue)
    partial = {row.id for row in step.rows} - step.full
    full = catalogue.mark_listed(connection, entity, step.full)
    return set(), full | catalogue.mark_listed(connection, entity, partial, partial=True)


def _is_skipped(
    connection: Connection, run: Run, cursor: Listing, last: listing.LastRead | None, step: ListingStep
) -> bool:
    """Whether an incremental reads no further, because the first page shows that the list is unchanged."""
    if run.sync_type != "incremental" or cursor.reading != 1 or cursor.name not in listing.ENTITY:
        return False
    return listing.is_unchanged(last, step, listings.now(connection))


def _count_listed(cursor: Listing, new: set[str], changed: set[str]) -> Counts:
    """A playlist counts as processed once its contents are stored. The phase of albums counts albums alone."""
    if cursor.name in listing.SPOKEN:
        return Counts()
    if cursor.name in listing.ENTITY:
        return Counts(len(new), len(new))
    return Counts(added=len(new), updated=len(changed))


def _total_of_list(cursor: Listing, total: int | None) -> int | None:
    """The phases of artists and albums show a total that covers the look-ups too."""
    return total if cursor.name == "playlists" else None


def _after_list(
    connection: Connection, batch: ClaimedBatch, cursor: Listing, step: ListingStep, counts: Counts
) -> Written:
    run = batch.run
    if cursor.name != "playlists":
        return _end_listing(connection, batch, cursor.name, counts)
    unchanged = playlists.mark_unchanged(
        connection,
        run.account_id,
        run.id,
        restricted=step.regime == "restricted",
        incremental=run.sync_type == "incremental",
    )
    if run.trigger == "beat":
        playlists.keep_deferred(connection, run.account_id, run.id)
    total = listings.count_listed(connection, run.account_id, run.id, cursor.name)
    return Written(replace(counts, processed=unchanged), _contents_or_late(connection, run, None), total)


def _end_listing(connection: Connection, batch: ClaimedBatch, name: ListName, counts: Counts) -> Written:
    """What follows a list that is read or deferred: the next one of the phase, or the look-ups."""
    run, names = batch.run, listing.LISTS_OF_PHASE[batch.run.phase]
    for following in names[names.index(name) + 1 :]:
        if batch.podcasts and (run.sync_type == "full" or listings.is_due(connection, run.account_id, following)):
            return Written(counts, Listing(following))
    return _begin_lookups(connection, batch, listing.ENTITY[names[0]], counts)


# ---- look-ups of artists and albums ---------------------------------------------------------------------------------


def _begin_lookups(connection: Connection, batch: ClaimedBatch, entity: Entity, counts: Counts) -> Written:
    """What follows the phase's list. A full run retries the ids without an answer, too."""
    run = batch.run
    if run.sync_type == "full":
        pending_lookups.retry_misses(connection, run.account_id, entity)
    found = pending_lookups.collect(connection, run.id, run.account_id, entity)
    # The next batch may find partial rows that have to be looked up again.
    if found.stubs or catalogue.has_partial(connection, entity):
        return Written(counts, Lookups(entity))
    return Written(counts, None, total=batch.at.items_processed + counts.processed)


def _write_lookups(connection: Connection, batch: ClaimedBatch, step: LookupStep) -> Written:
    assert isinstance(step.cursor, Lookups)  # noqa: S101 (by construction)
    # This settles the stubs of all accounts, but a run counts only those of its account.
    own = pending_lookups.count_stubs(connection, batch.run.account_id, step.entity) if step.settled else None
    written = save_lookups(connection, step)
    enriched = written if own is None else own
    return _after_lookups(connection, batch, step.cursor, Counts(enriched, enriched))


def save_lookups(connection: Connection, step: LookupStep) -> int:
    """Write the results of look-ups. Returns how many rows are no longer stubs."""
    if step.settled:
        return catalogue.mark_stubs_partial(connection, step.entity)
    catalogue.save_rows(connection, step.catalogue)
    enriched = catalogue.mark_enriched(connection, step.entity, step.known, step.gone, partial=step.partial)
    catalogue.record_misses(connection, step.entity, step.missed)
    catalogue.record_misses(connection, step.entity, step.given_up, catalogue.MOST_ATTEMPTS)
    return enriched


def _after_lookups(connection: Connection, batch: ClaimedBatch, cursor: Lookups, counts: Counts) -> Written:
    run, entity = batch.run, cursor.entity
    if cursor.late:
        following = _late_lookups(connection, run, cursor)
        # Counting reads the account's rows, so it waits for the last batch of a kind.
        changes = following is None or following.entity != entity
        deferred = pending_lookups.count_stubs(connection, run.account_id, entity) if changes else 0
        return Written(counts, following, deferred=deferred, counts_for=entity)
    processed = batch.at.items_processed + counts.processed
    is_deferred = entity in cursor.deferred
    if not is_deferred and pending_lookups.has_any(connection, run.id, entity):
        return Written(counts, cursor, total=_total_of_lookups(connection, batch, entity, processed))
    # The list is empty, so stubs that were met meanwhile are looked for.
    found = pending_lookups.collect(connection, run.id, run.account_id, entity)
    if found.pending and not is_deferred:
        return Written(counts, cursor, total=_total_of_lookups(connection, batch, entity, processed))
    return Written(counts, None, total=processed, deferred=found.stubs)


def _total_of_lookups(connection: Connection, batch: ClaimedBatch, entity: Entity, processed: int) -> int:
    """Return the stored total while it suffices, or else count: counting reads the run's list."""
    total = batch.at.total_items
    if total and total > processed:
        return total
    return processed + pending_lookups.count(connection, batch.run.id, entity)


def _late_lookups(connection: Connection, run: Run, cursor: Lookups | None = None) -> Lookups | None:
    """Find stubs first met in playlists: artists, then albums (whose artists may be new), until none remains."""
    deferred = cursor.deferred if cursor else ()
    if cursor and cursor.entity not in deferred and pending_lookups.has_any(connection, run.id, cursor.entity):
        return cursor
    for entity in ENTITIES:
        if entity not in deferred and pending_lookups.collect(connection, run.id, run.account_id, entity).pending:
            return Lookups(entity, late=True, deferred=deferred)
    return None


# ---- contents of playlists ------------------------------------------------------------------------------------------


def _write_contents(connection: Connection, run: Run, step: ContentsStep) -> Written:
    catalogue.save_rows(connection, step.catalogue)
    vanished.record_availability(connection, run.account_id, step.catalogue.tracks.values())
    playlists.stage_items(connection, run.id, step.items)
    playlists.finish_contents(connection, run.account_id, run.id, step.finished)
    progress = step.cursor.progress if isinstance(step.cursor, Contents) else None
    return Written(Counts(processed=len(step.finished)), _contents_or_late(connection, run, progress))


def _contents_or_late(connection: Connection, run: Run, progress: PlaylistProgress | None) -> Cursor | None:
    if progress or playlists.find_wanted(connection, run.account_id, run.id, None, 1):
        return Contents(progress)
    return _late_lookups(connection, run)
