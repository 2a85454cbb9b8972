"""What a document tells of a run besides its row, in as many queries for many runs as for one."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping

from spotisync.store.database import Connection, execute

Document = dict[str, Any]
PHASE_COLUMNS: Final = (
    "status, current_offset, total_items, items_processed, items_added, items_updated, items_removed, items_deferred, "
    "batches, failures, percent_complete, last_error, rate_limit_reset_at"
)
# Written exactly as the condition of the partial index.
IS_UNFINISHED: Final = "status IN ('pending', 'in_progress', 'rate_limited')"
# One run of each account.
_CHOSEN: Final = "unnest(CAST(:accounts AS bigint[]), CAST(:runs AS bigint[])) c(account_id, sync_id)"


def read_parts(connection: Connection, runs: Mapping[int, int]) -> dict[int, Document]:
    """By account id. `runs`: the id of one run of each account, by account id."""
    chosen = {"accounts": list(runs), "runs": list(runs.values())}
    phases = read_phases(connection, chosen["runs"], ", busy_seconds")
    unread, deferred = _unread_lists(connection, chosen), _deferred(connection, chosen)
    others, lookups = _other_runs(connection, chosen), _deferred_lookups(connection, phases)
    earlier = _last_durations(connection, chosen)
    return {
        account_id: {
            "phases": phases[sync_id],
            "lists_put_off": unread[account_id],
            "deferred": deferred[account_id],
            "other_runs": others[account_id],
            "to_look_up": lookups[sync_id],
            "earlier": earlier[account_id],
        }
        for account_id, sync_id in runs.items()
    }


def read_phases(connection: Connection, sync_ids: list[int], more_columns: str = "") -> dict[int, Document]:
    """The phases of runs in their order, by run."""
    rows = execute(
        connection,
        f"""SELECT sync_id, entity_type, {PHASE_COLUMNS}{more_columns} FROM sync_state WHERE sync_id = ANY(:ids)
        ORDER BY id""",
        {"ids": sync_ids},
    ).mappings()
    found: dict[int, Document] = {sync_id: {} for sync_id in sync_ids}
    for row in rows:
        phase = to_json_types(row)
        found[phase.pop("sync_id")][phase.pop("entity_type")] = phase
    return found


def _deferred_lookups(connection: Connection, phases: dict[int, Document]) -> dict[int, dict[str, int]]:
    """How many of the look-ups that each run deferred are still pending, by entity."""
    pending: dict[int, dict[str, int]] = {sync_id: {} for sync_id in phases}
    for entity in ("artists", "albums"):
        deferred = {sync_id: of_run[entity]["items_deferred"] for sync_id, of_run in phases.items() if of_run}
        if any(deferred.values()):
            stubs = execute(connection, f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'").scalar_one()
            for sync_id, number in deferred.items():
                pending[sync_id].update({entity: min(number, stubs)} if number else {})
    return pending


def _deferred(connection: Connection, chosen: dict[str, list[int]]) -> dict[int, list[Document]]:
    """What the runs could not read or prove: lists, then removals that wait for confirmation, then playlists.

    `retry_at`: until then scheduled syncs do not try it again.
    """
    found = defaultdict[int, list[Document]](list)
    for row in execute(connection, _DEFERRED, chosen).mappings():
        entry = {name: value for name, value in to_json_types(row).items() if name not in {"rank", "account_id"}}
        found[row["account_id"]].append(entry)
    return found


_DEFERRED = f"""SELECT c.account_id, 1 AS rank, 'list' AS kind, list AS id, replace(list, '_', ' ') AS name,
        deferred_reason AS reason, deferred_until AS retry_at, deferred AS rows, unread, false AS confirmed
    FROM {_CHOSEN} JOIN listings l ON l.account_id = c.account_id AND l.deferred_sync_id = c.sync_id
        AND deferred > 0 AND deferred_reason IS NOT NULL
    UNION ALL SELECT c.account_id, 2, 'removal', list, replace(list, '_', ' '),
        'most rows are missing at once', NULL, held_rows, false, removal_confirmed
    FROM {_CHOSEN} JOIN listings l ON l.account_id = c.account_id AND held_rows IS NOT NULL
    UNION ALL SELECT c.account_id, 3, 'playlist', a.playlist_id, p.name, a.deferred_reason, a.deferred_until, NULL,
        true, false
    FROM {_CHOSEN} JOIN account_playlists a ON a.account_id = c.account_id AND a.items_status = 'deferred'
        AND a.removed_at IS NULL JOIN playlists p ON p.id = a.playlist_id
    ORDER BY 2, 4"""


def _unread_lists(connection: Connection, chosen: dict[str, list[int]]) -> dict[int, dict[str, str]]:
    """The lists that the runs could not read, with the reason."""
    rows = execute(
        connection,
        f"""SELECT c.account_id, list, deferred_reason FROM {_CHOSEN} JOIN listings l ON l.account_id = c.account_id
        AND l.deferred_sync_id = c.sync_id AND unread AND deferred_reason IS NOT NULL ORDER BY list""",
        chosen,
    )
    found = defaultdict[int, dict[str, str]](dict)
    for row in rows:
        found[row.account_id][row.list] = row.deferred_reason
    return found


def _other_runs(connection: Connection, chosen: dict[str, list[int]]) -> dict[int, list[Document]]:
    rows = execute(
        connection,
        f"""SELECT c.account_id, r.id AS sync_id, r.sync_type, r.status FROM {_CHOSEN} JOIN sync_history r
        ON r.account_id = c.account_id AND r.id <> c.sync_id AND r.{IS_UNFINISHED} ORDER BY r.id""",
        chosen,
    )
    found = defaultdict[int, list[Document]](list)
    for row in rows:
        found[row.account_id].append({"sync_id": row.sync_id, "sync_type": row.sync_type, "status": row.status})
    return found


def _last_durations(connection: Connection, chosen: dict[str, list[int]]) -> dict[int, dict[str, float]]:
    """Busy seconds of each phase in the last successful run of the same type, of runs that are unfinished."""
    rows = execute(
        connection,
        f"""SELECT c.account_id, s.entity_type, s.busy_seconds FROM {_CHOSEN}
        JOIN sync_history r ON r.id = c.sync_id AND r.{IS_UNFINISHED} CROSS JOIN LATERAL (
            SELECT id FROM sync_history h WHERE h.account_id = r.account_id AND h.sync_type = r.sync_type
            AND h.status = 'success' ORDER BY h.id DESC LIMIT 1) l
        JOIN sync_state s ON s.sync_id = l.id""",
        chosen,
    )
    found = defaultdict[int, dict[str, float]](dict)
    for row in rows:
        found[row.account_id][row.entity_type] = row.busy_seconds
    return found


def to_json_types(row: RowMapping) -> Document:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
