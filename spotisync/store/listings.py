"""Saved albums and followed artists of an account, and what the last reading of each list found."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, text

from spotisync.core.cursors import SavedName
from spotisync.core.listing import LastRead
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.parse import EPOCH
from spotisync.core.rows import ListingRow
from spotisync.store import schema
from spotisync.store.bulk import upsert

TABLE: dict[SavedName, Table] = {"saved_albums": schema.saved_albums, "followed_artists": schema.followed_artists}
KEY: dict[SavedName, str] = {"saved_albums": "album_id", "followed_artists": "artist_id"}


def last_read(connection: Connection, account_id: int, name: SavedName) -> LastRead | None:
    found = connection.execute(
        text(
            """SELECT total, first_page, read_at, null_rows, idle_null_rows FROM saved_lists
            WHERE account_id = :account_id AND list = :list AND read_at IS NOT NULL"""
        ),
        {"account_id": account_id, "list": name},
    ).one_or_none()
    return LastRead(found[0], found[1], found[2], NullCount(found[3], found[4])) if found else None


def now(connection: Connection) -> datetime:
    found: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return found


def save(
    connection: Connection, account_id: int, sync_id: int, name: SavedName, rows: Sequence[ListingRow], reading: int
) -> set[str]:
    """Rows as listed; one that had been removed is there again. Returns the ids that are new to the account."""
    key, by_id = KEY[name], {row.id: row for row in rows}
    bound = {"account_id": account_id, "ids": list(by_id)}
    there = set(
        connection.execute(
            text(
                f"SELECT {key} FROM {name} WHERE account_id = :account_id AND {key} = ANY(:ids) AND removed_at IS NULL"
            ),
            bound,
        ).scalars()
    )
    dates = _dates(connection, account_id, by_id) if name == "saved_albums" else {}
    upsert(
        connection,
        TABLE[name],
        [
            {"account_id": account_id, key: id_, "removed_at": None}
            | ({"added_at": dates[id_]} if name == "saved_albums" else {})
            for id_ in by_id
        ],
        keep_unknown=False,
    )
    connection.execute(
        text(
            f"""UPDATE {name} SET listed_sync_id = :sync_id,
                listed_readings = CASE WHEN listed_sync_id = :sync_id THEN listed_readings | :bit ELSE :bit END
            WHERE account_id = :account_id AND {key} = ANY(:ids)"""
        ),
        {**bound, "sync_id": sync_id, "bit": reading},
    )
    return set(by_id) - there


def _dates(connection: Connection, account_id: int, rows: dict[str, ListingRow]) -> dict[str, datetime]:
    """An album that came without a date keeps the one that is stored."""
    told = {id_: row.added_at for id_, row in rows.items() if row.added_at and row.added_at > EPOCH}
    stored = connection.execute(
        text("SELECT album_id, added_at FROM saved_albums WHERE account_id = :account_id AND album_id = ANY(:ids)"),
        {"account_id": account_id, "ids": sorted(rows.keys() - told.keys())},
    )
    return dict.fromkeys(rows, EPOCH) | {row.album_id: row.added_at for row in stored} | told


def met(connection: Connection, account_id: int, sync_id: int, name: SavedName, reading: int) -> int:
    """How many this reading of the list has, each counted once."""
    found = connection.execute(
        text(
            f"""SELECT count(*) FROM {name} WHERE account_id = :account_id AND removed_at IS NULL
            AND listed_sync_id = :sync_id AND listed_readings & :reading > 0"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return int(found.scalar_one())


def met_as_before(connection: Connection, account_id: int, sync_id: int, name: SavedName) -> bool:
    """Both readings had the same rows."""
    found = connection.execute(
        text(
            f"""SELECT count(*) FROM {name}
            WHERE account_id = :account_id AND listed_sync_id = :sync_id AND listed_readings <> 3"""
        ),
        {"account_id": account_id, "sync_id": sync_id},
    )
    return not found.scalar_one()


_NOT_LISTED = "listed_sync_id IS DISTINCT FROM :sync_id"
_UNLISTED = f"account_id = :account_id AND removed_at IS NULL AND {_NOT_LISTED}"


def unlisted(connection: Connection, account_id: int, sync_id: int, name: SavedName, reading: int) -> list[SuspectRow]:
    """What this reading did not have, and what it had though it was hidden."""
    not_met = f"({_NOT_LISTED} OR listed_readings & :reading = 0)"
    found = connection.execute(
        text(
            f"""SELECT {KEY[name]} AS id, hidden_since IS NOT NULL AS hidden, NOT {not_met} AS shown FROM {name}
            WHERE account_id = :account_id AND removed_at IS NULL AND ({not_met} OR hidden_since IS NOT NULL)"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return [SuspectRow(row.id, hidden=row.hidden, shown=row.shown) for row in found]


def remove_unlisted(
    connection: Connection, account_id: int, sync_id: int, name: SavedName, hidden: Collection[str]
) -> int:
    """The list is proved: what it does not have is gone, but for what a null row may hide."""
    key, bound = KEY[name], {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(hidden)}
    connection.execute(
        text(
            f"""UPDATE {name} SET hidden_since = CASE WHEN {key} = ANY(:hidden) THEN now() END
            WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> ({key} = ANY(:hidden))"""
        ),
        bound,
    )
    return connection.execute(
        text(f"UPDATE {name} SET removed_at = now() WHERE {_UNLISTED} AND {key} <> ALL(:hidden)"), bound
    ).rowcount


def begin(connection: Connection, account_id: int, name: SavedName) -> None:
    """From here on the tables differ from what was last proved: until it is again, nothing passes for unchanged."""
    connection.execute(
        text("UPDATE saved_lists SET first_page = '' WHERE account_id = :account_id AND list = :list"),
        {"account_id": account_id, "list": name},
    )


def note_read(
    connection: Connection, account_id: int, name: SavedName, total: int, first: str, nulls: NullCount
) -> None:
    """A proved reading: what the next one is compared with."""
    row = {
        "account_id": account_id,
        "list": name,
        "total": total,
        "first_page": first,
        "null_rows": nulls.rows,
        "idle_null_rows": nulls.idle,
    }
    upsert(connection, schema.saved_lists, [row])
    connection.execute(
        text("UPDATE saved_lists SET read_at = now() WHERE account_id = :account_id AND list = :list"), row
    )


def unproved(connection: Connection, account_id: int, sync_id: int, name: SavedName) -> int:
    """How many rows are kept though this run's list does not have them."""
    found = connection.execute(
        text(f"SELECT count(*) FROM {name} WHERE {_UNLISTED}"), {"account_id": account_id, "sync_id": sync_id}
    )
    return int(found.scalar_one())


def put_off(connection: Connection, account_id: int, sync_id: int, name: SavedName, rows: int, why: str | None) -> None:
    """This run leaves so much of the list to a later one, and why."""
    row = {
        "account_id": account_id,
        "list": name,
        "put_off": rows,
        "put_off_sync_id": sync_id,
        "put_off_reason": why,
    }
    upsert(connection, schema.saved_lists, [row], keep_unknown=False)


def put_off_by(connection: Connection, account_id: int, sync_id: int, name: SavedName) -> int:
    found = connection.execute(
        text(
            """SELECT COALESCE(sum(put_off), 0) FROM saved_lists
            WHERE account_id = :account_id AND list = :list AND put_off_sync_id = :sync_id"""
        ),
        {"account_id": account_id, "list": name, "sync_id": sync_id},
    )
    return int(found.scalar_one())
