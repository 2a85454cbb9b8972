"""Recent runs of accounts and what they changed, in as many queries for many accounts as for one."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

from spotisync.status.messages import count_of
from spotisync.store.database import Connection, execute

Document = dict[str, Any]
# Runs with changes that are listed per account, and names that are listed per run.
RUNS: Final = 5
NAMES: Final = 10
NEWEST: Final = 2**63 - 1


def recent_changes(connection: Connection, account_ids: Sequence[int]) -> dict[int, list[Document]]:
    """The last runs that changed the library, each with some names, by account id."""
    rows = execute(connection, _RECENT_RUNS, {"ids": list(account_ids), "runs": RUNS}).all()
    names = _names(connection, [row.sync_id for row in rows]) if rows else {}
    found: dict[int, list[Document]] = {account_id: [] for account_id in account_ids}
    for row in rows:
        found[row.account_id].append(_run_changes(row, names.get(row.sync_id, {})))
    return found


_RECENT_RUNS = """SELECT a.id AS account_id, r.id AS sync_id, r.sync_type, r.completed_at, r.changes
    FROM unnest(CAST(:ids AS bigint[])) a(id) CROSS JOIN LATERAL (
        SELECT h.* FROM sync_history h WHERE h.account_id = a.id AND h.changes IS NOT NULL
        AND h.completed_at IS NOT NULL ORDER BY h.id DESC LIMIT :runs) r
    ORDER BY a.id, r.id DESC"""


def list_changes(connection: Connection, account: str | None, limit: int, before: int | None = None) -> list[Document]:
    """The newest runs that changed a library, below the run `before`; each with its account and some names."""
    rows = execute(
        connection, _RUNS, {"account": account, "before": before if before is not None else NEWEST, "limit": limit}
    ).all()
    names = _names(connection, [row.sync_id for row in rows]) if rows else {}
    return [{**_run_changes(row, names.get(row.sync_id, {})), "account": row.account} for row in rows]


# By account, so that the index of runs with changes is used for one account as for all.
_RUNS = """SELECT a.spotify_user_id AS account, r.id AS sync_id, r.sync_type, r.completed_at, r.changes
    FROM accounts a CROSS JOIN LATERAL (
        SELECT h.* FROM sync_history h WHERE h.account_id = a.id AND h.changes IS NOT NULL
        AND h.completed_at IS NOT NULL AND h.id < :before ORDER BY h.id DESC LIMIT :limit) r
    WHERE CAST(:account AS text) IS NULL OR a.spotify_user_id = :account
    ORDER BY r.id DESC LIMIT :limit"""


def _names(connection: Connection, sync_ids: list[int]) -> dict[int, dict[tuple[str, str], list[Document]]]:
    """Up to `NAMES` names of each kind and change, by run."""
    rows = execute(connection, _NAMES, {"ids": sync_ids, "limit": NAMES})
    found: dict[int, dict[tuple[str, str], list[Document]]] = {}
    for row in rows:
        of_run = found.setdefault(row.sync_id, {})
        entry = {"kind": row.kind, "change": row.change, "id": row.id, "name": row.name}
        of_run.setdefault((row.kind, row.change), []).append(entry)
    return found


# Limited per run and read by index: a first run has added the whole library. LIMIT 1 keeps Postgres from joining, for
# which it may read all tracks.
_SOURCES: Final = (
    ("track", "added", "SELECT s.track_id AS id FROM saved_spans s WHERE s.from_run = r.id"),
    ("track", "removed", "SELECT s.track_id AS id FROM saved_spans s WHERE s.to_run = r.id"),
    ("playlist", "new", "SELECT s.playlist_id AS id FROM playlist_spans s WHERE s.from_run = r.id"),
    ("playlist", "gone", "SELECT s.playlist_id AS id FROM playlist_spans s WHERE s.to_run = r.id"),
    (
        "playlist",
        "changed",
        """SELECT v.playlist_id AS id FROM playlist_versions v WHERE v.sync_id = r.id AND NOT EXISTS (
            SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = r.id)""",
    ),
)
_NAMES = " UNION ALL ".join(
    f"""SELECT r.id AS sync_id, '{kind}' AS kind, '{change}' AS change, c.id, t.name
    FROM unnest(CAST(:ids AS bigint[])) r(id) CROSS JOIN LATERAL ({source} LIMIT :limit) c
    JOIN LATERAL (SELECT left(name, 200) AS name FROM {kind}s WHERE id = c.id LIMIT 1) t ON true"""
    for kind, change, source in _SOURCES
)


def _run_changes(row: Any, names: dict[tuple[str, str], list[Document]]) -> Document:
    counts = {change: int(row.changes.get(change, 0)) for _, change, _ in _SOURCES}
    shown = sample_of([sorted(each, key=lambda entry: entry["name"] or "") for each in names.values()])
    tracks = {change: counts[change] for change in ("added", "removed")}
    playlists = {change: counts[change] for change in ("new", "gone", "changed")}
    return {
        "sync_id": row.sync_id,
        "sync_type": row.sync_type,
        "completed_at": row.completed_at.isoformat(),
        **tracks,
        "playlists": playlists,
        "names": shown,
        "more": max(0, sum(counts.values()) - len(shown)),
        "words": "; ".join(filter(None, (_counts("track", tracks), _counts("playlist", playlists)))),
    }


def sample_of(kinds: list[list[Document]]) -> list[Document]:
    """Up to `NAMES` entries, taken in turn from each kind of change; in the order of the kinds."""
    chosen = [entry for turn in zip_longest(*kinds) for entry in turn if entry is not None][:NAMES]
    return [entry for kind in kinds for entry in kind if entry in chosen]


def _counts(thing: str, changes: dict[str, int]) -> str:
    """As in: 2 tracks added, 1 removed."""
    found = [(change, number) for change, number in changes.items() if number]
    if not found:
        return ""
    (change, number), *rest = found
    return ", ".join([f"{count_of(number, thing)} {change}", *(f"{number:,} {change}" for change, number in rest)])


def newest_runs(connection: Connection, account_ids: Sequence[int]) -> dict[int, dict[str, Document]]:
    """The newest run of each type, by account id."""
    rows = execute(
        connection,
        """SELECT a.id AS account_id, r.id AS sync_id, r.sync_type, r.status
        FROM unnest(CAST(:ids AS bigint[])) a(id) CROSS JOIN (VALUES ('full'), ('incremental')) t(name)
        CROSS JOIN LATERAL (SELECT h.id, h.sync_type, h.status FROM sync_history h
            WHERE h.account_id = a.id AND h.sync_type = t.name ORDER BY h.id DESC LIMIT 1) r""",
        {"ids": list(account_ids)},
    )
    found: dict[int, dict[str, Document]] = {account_id: {} for account_id in account_ids}
    for row in rows:
        found[row.account_id][row.sync_type] = {
            "sync_id": row.sync_id,
            "sync_type": row.sync_type,
            "status": row.status,
        }
    return found
