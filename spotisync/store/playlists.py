"""Playlists: the list of an account, and contents, which are staged and then swapped in whole."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from spotisync.core.cursors import Reading
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.phases import Access, Wanted
from spotisync.core.rows import PlaylistItemRow, PlaylistRow
from spotisync.store import history, schema
from spotisync.store.bulk import upsert


def save_listed(
    connection: Connection, account_id: int, sync_id: int, listed: Sequence[tuple[int, PlaylistRow]], reading: int = 1
) -> tuple[set[str], set[str]]:
    """Playlists as the list tells them. Returns the ids that are new to the account, and those that changed."""
    rows = {row.id: (position, row) for position, row in listed}
    changed = _save_rows(connection, [row for _, row in rows.values()])
    added = _missing(connection, account_id, list(rows))
    upsert(
        connection,
        schema.account_playlists,
        [
            {
                "account_id": account_id,
                "playlist_id": id_,
                "position": position,
                "removed_at": None,
                "snapshot_told": row.snapshot_id is not None,
            }
            for id_, (position, row) in rows.items()
        ],
        keep_unknown=False,
    )
    connection.execute(
        text(
            """UPDATE account_playlists SET listed_sync_id = :sync_id,
                listed_readings = CASE WHEN listed_sync_id = :sync_id THEN listed_readings | :bit ELSE :bit END
            WHERE account_id = :account_id AND playlist_id = ANY(:ids)"""
        ),
        {"sync_id": sync_id, "account_id": account_id, "ids": list(rows), "bit": reading},
    )
    return added, changed - added


def _save_rows(connection: Connection, rows: Sequence[PlaylistRow]) -> set[str]:
    """Playlists, whoever has them; what a row does not say stays as it is. Returns the ids that changed."""
    stored = _stored(connection, [row.id for row in rows if None in {row.collaborative, row.snapshot_id}])
    inserted, updated = upsert(connection, schema.playlists, [vars(_completed(row, stored)) for row in rows])
    # How many rows the old contents had says nothing of the new ones.
    recounted = connection.execute(
        text(
            """UPDATE playlists SET total_items = NULL
            WHERE id = ANY(:ids) AND snapshot_id IS DISTINCT FROM items_snapshot_id AND total_items IS NOT NULL
            RETURNING id"""
        ),
        {"ids": [row.id for row in rows if row.total_items is None and row.snapshot_id is not None]},
    ).scalars()
    return {key[0] for key in updated | inserted} | set(recounted)


def _stored(connection: Connection, ids: Sequence[str]) -> Mapping[str, Any]:
    if not ids:
        return {}
    found = connection.execute(
        text("SELECT id, collaborative, snapshot_id FROM playlists WHERE id = ANY(:ids)"), {"ids": ids}
    )
    return {row.id: row for row in found}


def _completed(row: PlaylistRow, stored: Mapping[str, Any]) -> PlaylistRow:
    """These two columns are never NULL: what is unknown of a playlist met for the first time is `false` and ''."""
    known = stored.get(row.id)
    return replace(
        row,
        collaborative=row.collaborative if row.collaborative is not None else bool(known and known.collaborative),
        snapshot_id=row.snapshot_id or (known.snapshot_id if known else ""),
    )


def _missing(connection: Connection, account_id: int, ids: list[str]) -> set[str]:
    there = connection.execute(
        text(
            """SELECT playlist_id FROM account_playlists
            WHERE account_id = :account_id AND playlist_id = ANY(:ids) AND removed_at IS NULL"""
        ),
        {"account_id": account_id, "ids": ids},
    ).scalars()
    return set(ids) - set(there)


def count_listed(connection: Connection, account_id: int, sync_id: int, reading: int = 3) -> int:
    """How many playlists this run's list has, in that reading or in either."""
    found = connection.execute(
        text(
            """SELECT count(*) FROM account_playlists WHERE account_id = :account_id AND removed_at IS NULL
            AND listed_sync_id = :sync_id AND listed_readings & :reading > 0"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return int(found.scalar_one())


def met_same_rows(connection: Connection, account_id: int, sync_id: int) -> bool:
    """Both readings of the list had the same playlists."""
    found = connection.execute(
        text(
            """SELECT count(*) FROM account_playlists
            WHERE account_id = :account_id AND listed_sync_id = :sync_id AND listed_readings <> 3"""
        ),
        {"account_id": account_id, "sync_id": sync_id},
    )
    return not found.scalar_one()


_NOT_LISTED = "listed_sync_id IS DISTINCT FROM :sync_id"
_UNLISTED = f"account_id = :account_id AND removed_at IS NULL AND {_NOT_LISTED}"


def find_unlisted(connection: Connection, account_id: int, sync_id: int, reading: int = 1) -> list[SuspectRow]:
    """What this reading of the account's list did not have, and what it had though it was hidden."""
    not_met = f"({_NOT_LISTED} OR listed_readings & :reading = 0)"
    found = connection.execute(
        text(
            f"""SELECT playlist_id, hidden_since IS NOT NULL AS hidden, NOT {not_met} AS shown
            FROM account_playlists WHERE account_id = :account_id AND removed_at IS NULL
            AND ({not_met} OR hidden_since IS NOT NULL)"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return [SuspectRow(row.playlist_id, hidden=row.hidden, shown=row.shown) for row in found]


def count_unproved(connection: Connection, account_id: int, sync_id: int) -> int:
    """How many playlists are kept though this run's list does not have them."""
    found = connection.execute(
        text(f"SELECT count(*) FROM account_playlists WHERE {_UNLISTED}"),
        {"account_id": account_id, "sync_id": sync_id},
    )
    return int(found.scalar_one())


def last_nulls(connection: Connection, account_id: int) -> NullCount | None:
    """The null rows of the last list that was proved; None if there was none."""
    rows, idle = connection.execute(
        text("SELECT null_playlists, idle_null_playlists FROM accounts WHERE id = :id"), {"id": account_id}
    ).one()
    return None if rows is None else NullCount(rows, idle)


def remove_unlisted(connection: Connection, account_id: int, sync_id: int, hidden: Collection[str] = ()) -> int:
    """The list is proved: what it does not have is gone, but for what a null row may hide."""
    bound = {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(hidden)}
    connection.execute(
        text(
            """UPDATE account_playlists SET hidden_since = CASE WHEN playlist_id = ANY(:hidden) THEN now() END
            WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> (playlist_id = ANY(:hidden))"""
        ),
        bound,
    )
    return connection.execute(
        text(f"UPDATE account_playlists SET removed_at = now() WHERE {_UNLISTED} AND playlist_id <> ALL(:hidden)"),
        bound,
    ).rowcount


def record_read(connection: Connection, account_id: int, nulls: NullCount) -> None:
    connection.execute(
        text(
            """UPDATE accounts SET null_playlists = :rows, idle_null_playlists = :idle, playlists_proved_at = now()
            WHERE id = :id"""
        ),
        {"id": account_id, **vars(nulls)},
    )


def settle_unchanged(
    connection: Connection, account_id: int, sync_id: int, *, restricted: bool = False, incremental: bool = False
) -> int:
    """After the list: contents whose snapshot is stored already need no call. Returns how many.

    Only where this account has read them before: that another one may does not say that this one may. Other people's
    contents are closed to an app of the restricted regime: whether that is so is asked once for each (somebody may have
    been invited), and what was refused is not asked for again. Nor is what was refused at the same snapshot, in an
    incremental.
    """
    return connection.execute(
        text(
            f"""UPDATE account_playlists a SET tried_sync_id = :sync_id,
                items_status = CASE WHEN a.items_status IN {_REFUSED} THEN a.items_status ELSE 'synced' END
            FROM playlists p
            WHERE p.id = a.playlist_id AND a.account_id = :account_id AND a.listed_sync_id = :sync_id
            AND a.removed_at IS NULL AND a.tried_sync_id IS DISTINCT FROM :sync_id
            AND CASE WHEN :restricted AND {_OTHERS} THEN a.items_status = 'forbidden'
                WHEN :incremental AND a.items_status IN {_REFUSED} THEN a.refused_snapshot_id = p.snapshot_id
                ELSE p.items_snapshot_id = p.snapshot_id AND p.snapshot_id <> ''
                    AND a.snapshot_told AND a.items_status = 'synced' END"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "restricted": restricted, "incremental": incremental},
    ).rowcount


_REFUSED = "('forbidden', 'not_found')"

_OTHERS = """(NOT p.collaborative AND p.owner_id IS DISTINCT FROM
    (SELECT o.spotify_user_id FROM accounts o WHERE o.id = a.account_id))"""


def mark_restricted_reads_stale(connection: Connection) -> int:
    """What was read in the restricted regime lacks what tracks have in the full one: read it once more."""
    return connection.execute(
        text(
            """UPDATE playlists p SET items_snapshot_id = NULL WHERE items_snapshot_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM playlist_items i JOIN tracks t ON t.id = i.track_id
                WHERE i.playlist_id = p.id AND t.popularity IS NULL)"""
        )
    ).rowcount


def find_wanted(connection: Connection, account_id: int, sync_id: int, first: str | None, limit: int) -> list[Wanted]:
    """Playlists whose contents this run has still to read, in the account's order; the half-read one before all."""
    rows = connection.execute(
        text(
            """SELECT p.id AS playlist_id, CASE WHEN a.snapshot_told THEN p.snapshot_id ELSE '' END AS snapshot_id,
                CASE WHEN a.snapshot_told THEN p.total_items END AS total
            FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
            WHERE a.account_id = :account_id AND a.listed_sync_id = :sync_id AND a.removed_at IS NULL
            AND a.tried_sync_id IS DISTINCT FROM :sync_id
            ORDER BY (p.id = :first) DESC NULLS LAST, a.position, p.id LIMIT :limit"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "first": first, "limit": limit},
    )
    return [Wanted(**row._mapping) for row in rows]  # noqa: SLF001


def stage_items(connection: Connection, sync_id: int, items: Sequence[tuple[str, PlaylistItemRow]]) -> None:
    upsert(
        connection,
        schema.staged_items,
        [{"sync_id": sync_id, "playlist_id": playlist_id, **vars(row)} for playlist_id, row in items],
        keep_unknown=False,
    )


def finish_contents(
    connection: Connection, account_id: int, sync_id: int, contents: Sequence[tuple[Reading, Access]]
) -> None:
    """Swap in what is complete, and note what this account may read. A refusal touches nobody's contents."""
    complete = [reading for reading, access in contents if access == "synced"]
    if complete:
        _swap(connection, sync_id, complete)
    refused = [reading.playlist_id for reading, access in contents if access != "synced"]
    connection.execute(
        text("DELETE FROM staged_items WHERE sync_id = :sync_id AND playlist_id = ANY(:ids)"),
        {"sync_id": sync_id, "ids": refused},
    )
    if contents:
        connection.execute(
            text(
                """UPDATE account_playlists SET items_status = :access, tried_sync_id = :sync_id,
                    refused_snapshot_id = CASE WHEN :access <> 'synced' THEN CAST(:snapshot_id AS text) END
                WHERE account_id = :account_id AND playlist_id = :playlist_id"""
            ),
            [
                {
                    "access": access,
                    "sync_id": sync_id,
                    "account_id": account_id,
                    "playlist_id": reading.playlist_id,
                    "snapshot_id": reading.snapshot_id,
                }
                for reading, access in contents
            ],
        )


def _swap(connection: Connection, sync_id: int, complete: Sequence[Reading]) -> None:
    """Under the rows' locks: contents become what is staged, under the snapshot seen before the first page was read."""
    ids = sorted(reading.playlist_id for reading in complete)
    bound = {"sync_id": sync_id, "ids": ids}
    connection.execute(text("SELECT 1 FROM playlists WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), bound)
    connection.execute(
        text(
            """DELETE FROM playlist_items i WHERE i.playlist_id = ANY(:ids) AND NOT EXISTS (
                SELECT 1 FROM staged_items s WHERE s.sync_id = :sync_id
                AND s.playlist_id = i.playlist_id AND s.position = i.position)"""
        ),
        bound,
    )
    connection.execute(text(_SWAP), bound)
    connection.execute(text("DELETE FROM staged_items WHERE sync_id = :sync_id AND playlist_id = ANY(:ids)"), bound)
    connection.execute(
        text(
            # Without a snapshot id there is nothing that the number could belong to, but the contents themselves.
            """UPDATE playlists SET items_snapshot_id = CAST(:snapshot_id AS text), total_items = CASE
                WHEN :snapshot_id = '' THEN COALESCE(:total, total_items) ELSE COALESCE(total_items, :total) END
            WHERE id = :id"""
        ),
        [
            {"snapshot_id": reading.snapshot_id, "total": reading.total, "id": reading.playlist_id}
            for reading in complete
        ],
    )
    history.keep_versions(connection, sync_id, ids)


_COLUMNS = ("kind", "track_id", "uri", "name", "added_at", "added_by")
_SWAP = f"""INSERT INTO playlist_items AS i (playlist_id, position, {", ".join(_COLUMNS)})
    SELECT s.playlist_id, s.position, {", ".join(f"s.{name}" for name in _COLUMNS)} FROM staged_items s
    LEFT JOIN playlist_items o ON o.playlist_id = s.playlist_id AND o.position = s.position
    WHERE s.sync_id = :sync_id AND s.playlist_id = ANY(:ids) AND (o.playlist_id IS NULL
        OR ROW({", ".join(f"o.{name}" for name in _COLUMNS)}) IS DISTINCT FROM
           ROW({", ".join(f"s.{name}" for name in _COLUMNS)}))
    ORDER BY s.playlist_id, s.position
    ON CONFLICT (playlist_id, position) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}"""
