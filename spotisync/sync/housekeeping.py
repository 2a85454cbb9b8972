"""Delete what the retention periods no longer keep, in pieces that commit."""

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic

from spotisync.settings import Settings
from spotisync.store import call_ledger, reply_shapes, retention, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Context, in_transaction

Piece = Callable[[Connection, int], int]
"""Delete up to this number of rows; return how many."""

# Seconds of one task, after which its worker is free for other messages.
TASK_SECONDS = 2.0
# Seconds of one transaction; its number of rows follows from them.
PIECE_SECONDS = 0.5
FIRST_ROWS, MOST_ROWS = 200, 20_000
# Seconds without progress after which a scheduled task begins again: the chain of messages was lost.
LOST_SECONDS = 60.0

_claim_start = in_transaction(retention.claim_start)


class AnotherAtWork(Exception):
    """Another process deletes now."""


def delete_old_rows(context: Context, *, scheduled: bool = False) -> bool:
    """Delete old rows for a few seconds. True if more are left, for the caller to continue.

    `scheduled`: start the work, unless it is in progress.
    """
    if scheduled and not _claim_start(context, LOST_SECONDS):
        return False
    deadline = monotonic() + TASK_SECONDS
    try:
        return any(_delete_until(context, piece, deadline) for piece in _pieces(context.settings))
    except AnotherAtWork:
        return False


def _pieces(settings: Settings) -> Iterator[Piece]:
    days, runs = settings.retention_days, settings.shortest_run_retention
    yield call_ledger.trim
    yield waiters.delete_old
    yield _trim_reply_shapes
    if runs:
        yield lambda connection, rows: retention.delete_events(connection, runs, rows)
        yield lambda connection, rows: retention.delete_runs(connection, runs, days, rows)
    if days:
        yield lambda connection, rows: retention.delete_saved_spans(connection, days, rows)
        yield lambda connection, rows: retention.delete_playlist_spans(connection, days, rows)
        yield lambda connection, rows: retention.delete_versions(connection, days, rows)


def _trim_reply_shapes(connection: Connection, _rows: int) -> int:
    """These tables are small."""
    reply_shapes.trim(connection)
    return 0


def _delete_until(context: Context, piece: Piece, deadline: float) -> bool:
    """Delete until nothing is left, or until the deadline. Returns whether more may be left."""
    rows = FIRST_ROWS
    while True:
        began = monotonic()
        if context.database.transact(partial(_delete_piece, piece, rows)) < rows:
            return False
        seconds = monotonic() - began
        if context.stopping() or monotonic() > deadline:
            return True
        rows = min(MOST_ROWS, rows * 2) if seconds < PIECE_SECONDS / 2 else rows
        rows = max(1, rows // 2) if seconds > PIECE_SECONDS else rows


def _delete_piece(piece: Piece, rows: int, connection: Connection) -> int:
    if not retention.lock(connection):
        raise AnotherAtWork
    retention.mark_progress(connection)
    return piece(connection, rows)
