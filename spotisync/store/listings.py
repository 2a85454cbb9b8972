"""The lists of an account that are read whole: followed artists, saved albums, playlists.

Each has a table of the same form: a row per member, `removed_at` once removed, `hidden_since` while a null row may
hide it, and the run and readings that met it last. The table `listings` stores the last proved reading of each list.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from spotisync.core.cursors import ListName
from spotisync.core.listing import LastRead, ListEvidence, ListVerdict
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.parse import EPOCH
from spotisync.core.rows import ListingRow
from spotisync.store import schema
from spotisync.store.bulk import upsert
from spotisync.store.database import Connection, execute

TABLES: dict[ListName, Table] = {
    "followed_artists": schema.followed_artists,
    "saved_albums": schema.saved_albums,
    "playlists": schema.account_playlists,
}
KEYS: dict[ListName, str] = {"followed_artists": "artist_id", "saved_albums": "album_id", "playlists": "playlist_id"}


def last_read(connection: Connection, account_id: int, name: ListName) -> LastRead | None:
    """The last proved reading; None if there was none."""
    found = execute(
        connection,
        """SELECT total, first_page, read_at, null_rows, idle_null_rows FROM listings
        WHERE account_id = :account_id AND list = :list AND read_at IS NOT NULL""",
        {"account_id": account_id, "list": name},
    ).one_or_none()
    return LastRead(found[0], found[1], found[2], NullCount(found[3], found[4])) if found else None


def now(connection: Connection) -> datetime:
    found: datetime = execute(connection, "SELECT now()").scalar_one()
    return found


def save(
    connection: Connection, account_id: int, sync_id: int, name: ListName, rows: Sequence[ListingRow], reading: int
) -> set[str]:
    """Write rows as listed; one that had been removed is restored. Returns the ids that are new to the account."""
    table, key, by_id = TABLES[name].name, KEYS[name], {row.id: row for row in rows}
    bound = {"account_id": account_id, "ids": list(by_id)}
    known = execute(
        connection,
        f"SELECT {key} FROM {table} WHERE account_id = :account_id AND {key} = ANY(:ids) AND removed_at IS NULL",
        bound,
    )
    added = set(by_id) - set(known.scalars())
    columns = _columns(connection, account_id, name, by_id)
    upsert(
        connection,
        TABLES[name],
        [{"account_id": account_id, key: id_, "removed_at": None, **columns[id_]} for id_ in by_id],
        keep_unknown=False,
    )
    execute(
        connection,
        f"""UPDATE {table} SET listed_sync_id = :sync_id,
            listed_readings = CASE WHEN listed_sync_id = :sync_id THEN listed_readings | :bit ELSE :bit END
        WHERE account_id = :account_id AND {key} = ANY(:ids)""",
        {**bound, "sync_id": sync_id, "bit": reading},
    )
    return added


def _columns(
    connection: Connection, account_id: int, name: ListName, rows: Mapping[str, ListingRow]
) -> dict[str, dict[str, Any]]:
    """The columns of this list's table other than the key, by id."""
    match name:
        case "saved_albums":
            return {id_: {"added_at": date} for id_, date in _dates(connection, account_id, rows).items()}
        case "playlists":
            return {id_: {"position": row.position, "snapshot_told": row.snapshot_known} for id_, row in rows.items()}
        case "followed_artists":
            return {id_: {} for id_ in rows}


def _dates(connection: Connection, account_id: int, rows: Mapping[str, ListingRow]) -> dict[str, datetime]:
    """The dates of saved albums; one listed without a date keeps the stored one."""
    dated = {id_: row.added_at for id_, row in rows.items() if row.added_at and row.added_at > EPOCH}
    stored = execute(
        connection,
        "SELECT album_id, added_at FROM saved_albums WHERE account_id = :account_id AND album_id = ANY(:ids)",
        {"account_id": account_id, "ids": sorted(rows.keys() - dated.keys())},
    )
    return dict.fromkeys(rows, EPOCH) | {row.album_id: row.added_at for row in stored} | dated


# ---- the end of a list ----------------------------------------------------------------------------------------------

_NOT_LISTED = "listed_sync_id IS DISTINCT FROM :sync_id"
_UNLISTED = f"account_id = :account_id AND removed_at IS NULL AND {_NOT_LISTED}"


def get_evidence(connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int) -> ListEvidence:
    return ListEvidence(
        met=count_listed(connection, account_id, sync_id, name, reading),
        same_as_before=reading == 2 and _met_same_rows(connection, account_id, sync_id, name),
        suspects=_find_suspects(connection, account_id, sync_id, name, reading),
        last=last_read(connection, account_id, name),
    )


def count_listed(connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int = 3) -> int:
    """Count the distinct rows that this run met in that reading (3: in either)."""
    found = execute(
        connection,
        f"""SELECT count(*) FROM {TABLES[name].name} WHERE account_id = :account_id AND removed_at IS NULL
        AND listed_sync_id = :sync_id AND listed_readings & :reading > 0""",
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return int(found.scalar_one())


def _met_same_rows(connection: Connection, account_id: int, sync_id: int, name: ListName) -> bool:
    found = execute(
        connection,
        f"""SELECT count(*) FROM {TABLES[name].name}
        WHERE account_id = :account_id AND listed_sync_id = :sync_id AND listed_readings <> 3""",
        {"account_id": account_id, "sync_id": sync_id},
    )
    return not found.scalar_one()


def _find_suspects(
    connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int
) -> list[SuspectRow]:
    not_met = f"({_NOT_LISTED} OR listed_readings & :reading = 0)"
    found = execute(
        connection,
        f"""SELECT {KEYS[name]} AS id, hidden_since IS NOT NULL AS hidden, NOT {not_met} AS shown
        FROM {TABLES[name].name}
        WHERE account_id = :account_id AND removed_at IS NULL AND ({not_met} OR hidden_since IS NOT NULL)""",
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return [SuspectRow(row.id, hidden=row.hidden, shown=row.shown) for row in found]


def apply_verdict(connection: Connection, account_id: int, sync_id: int, name: ListName, verdict: ListVerdict) -> int:
    """Remove rows missing from the proved list, and mark those that a null row may hide. Returns the number removed."""
    table, key = TABLES[name].name, KEYS[name]
    set_hidden(connection, table, key, account_id, verdict.hidden)
    return execute(
        connection,
        f"UPDATE {table} SET removed_at = now() WHERE {_UNLISTED} AND {key} <> ALL(:hidden)",
        {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(verdict.hidden)},
    ).rowcount


def set_hidden(connection: Connection, table: str, key: str, account_id: int, ids: Collection[str]) -> None:
    """Mark exactly these rows of the account as possibly hidden by a null row."""
    execute(
        connection,
        f"""UPDATE {table} SET hidden_since = CASE WHEN {key} = ANY(:ids) THEN now() END
        WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> ({key} = ANY(:ids))""",
        {"account_id": account_id, "ids": sorted(ids)},
    )


def invalidate_first_page(connection: Connection, account_id: int, name: ListName) -> None:
    """Forget the first page before rows are written: until the next proved reading, no list counts as unchanged."""
    execute(
        connection,
        "UPDATE listings SET first_page = '' WHERE account_id = :account_id AND list = :list",
        {"account_id": account_id, "list": name},
    )


def record_read(
    connection: Connection, account_id: int, name: ListName, total: int, first_page: str, nulls: NullCount
) -> None:
    """Store a proved reading, with which the next one is compared."""
    row = {
        "account_id": account_id,
        "list": name,
        "total": total,
        "first_page": first_page,
        "null_rows": nulls.rows,
        "idle_null_rows": nulls.idle,
    }
    upsert(connection, schema.listings, [row])
    execute(connection, "UPDATE listings SET read_at = now() WHERE account_id = :account_id AND list = :list", row)


# ---- rows deferred to a later run -----------------------------------------------------------------------------------


def count_unproved(connection: Connection, account_id: int, sync_id: int, name: ListName) -> int:
    """Count the rows that are kept although this run's list lacks them."""
    found = execute(
        connection,
        f"SELECT count(*) FROM {TABLES[name].name} WHERE {_UNLISTED}",
        {"account_id": account_id, "sync_id": sync_id},
    )
    return int(found.scalar_one())


def defer(
    connection: Connection, account_id: int, sync_id: int, name: ListName, rows: int, reason: str | None = None
) -> None:
    """Store the number of rows that this run defers to a later one, and the reason."""
    row = {
        "account_id": account_id,
        "list": name,
        "deferred": rows,
        "deferred_sync_id": sync_id,
        "deferred_reason": reason,
    }
    upsert(connection, schema.listings, [row], keep_unknown=False)


def count_deferred(connection: Connection, account_id: int, sync_id: int, name: ListName) -> int:
    found = execute(
        connection,
        """SELECT COALESCE(sum(deferred), 0) FROM listings
        WHERE account_id = :account_id AND list = :list AND deferred_sync_id = :sync_id""",
        {"account_id": account_id, "list": name, "sync_id": sync_id},
    )
    return int(found.scalar_one())
