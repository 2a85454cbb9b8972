"""The one read model: what `get()`, the command line and every other face of a run say about it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

PHASE_COLUMNS = (
    "status, current_offset, total_items, items_processed, items_added, items_updated, items_removed, items_deferred, "
    "batches, failures, percent_complete, last_error, rate_limit_reset_at"
)
RUN = """SELECT r.id AS sync_id, a.spotify_user_id AS account, r.sync_type, r.status, r.trigger, r.started_at,
    r.completed_at, r.items_processed, r.items_added, r.items_updated, r.items_removed,
    (SELECT COALESCE(sum(s.items_deferred), 0) FROM sync_state s WHERE s.sync_id = r.id) AS items_deferred,
    r.api_calls, r.last_error, r.phase AS current_phase, r.seq AS current_batch
    FROM sync_history r JOIN accounts a ON a.id = r.account_id"""
SUMMARY = (
    "sync_id", "account", "sync_type", "status", "started_at", "completed_at", "items_processed", "items_added",
    "items_updated", "items_removed", "items_deferred", "api_calls", "last_error",
)  # fmt: skip
Document = dict[str, Any]


def run(connection: Connection, sync_id: int) -> Document | None:
    """A run as it stands, with its four phases; times are ISO 8601."""
    row = connection.execute(text(f"{RUN} WHERE r.id = :id"), {"id": sync_id}).one_or_none()
    return _document(connection, row) if row else None


def latest(connection: Connection, account: str | None) -> Document | None:
    """The unfinished run, or the last one. A run that goes comes before one that is parked or pending."""
    row = connection.execute(
        text(
            f"""{RUN} WHERE CAST(:account AS text) IS NULL OR a.spotify_user_id = :account
            ORDER BY r.status = 'in_progress' DESC, r.completed_at IS NULL DESC, r.id DESC LIMIT 1"""
        ),
        {"account": account},
    ).one_or_none()
    return _document(connection, row) if row else None


def history(connection: Connection, account: str | None, limit: int) -> list[Document]:
    rows = connection.execute(
        text(
            f"""{RUN} WHERE CAST(:account AS text) IS NULL OR a.spotify_user_id = :account
            ORDER BY r.id DESC LIMIT :limit"""
        ),
        {"account": account, "limit": limit},
    )
    return [_plain(row._mapping) for row in rows]  # noqa: SLF001


def summary(connection: Connection, sync_id: int) -> Document:
    """What a caller gets when the run is over."""
    document = run(connection, sync_id)
    if document is None:
        raise LookupError(f"there is no run {sync_id}")
    return {**{name: document[name] for name in SUMMARY}, "phases": document["phases"]}


def _document(connection: Connection, row: Any) -> Document:
    phases = connection.execute(
        text(f"SELECT entity_type, {PHASE_COLUMNS} FROM sync_state WHERE sync_id = :id ORDER BY id"),
        {"id": row.sync_id},
    )
    by_name = {phase.entity_type: _plain(phase._mapping) for phase in phases}  # noqa: SLF001
    for phase in by_name.values():
        del phase["entity_type"]
    return {**_plain(row._mapping), "phases": by_name}  # noqa: SLF001


def _plain(row: Any) -> Document:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
