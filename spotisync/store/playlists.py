"""Playlists: the list of an account, and contents, which are staged and then swapped in whole."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from spotisync.core.cursors import Reading
from spotisync.core.phases import Access, Wanted
from spotisync.core.rows import Playlist, PlaylistItem
from spotisync.store import schema
from spotisync.store.bulk import upsert


def save_listed(
    connection: Connection, account_id: int, sync_id: int, listed: Sequence[tuple[int, Playlist]]
) -> tuple[set[str], set[str]]:
    """Playlists as the list tells them. Returns the ids that are new to the account, and those that changed."""
    rows = {row.id: (position, row) for position, row in listed}
    _, changed = upsert(connection, schema.playlists, [vars(row) for _, row in rows.values()])
    added = _missing(connection, account_id, list(rows))
    upsert(
        connection,
        schema.account_playlists,
        [
            {"account_id": account_id, "playlist_id": id_, "position": position, "removed_at": None}
            for id_, (position, _) in rows.items()
        ],
        keep_unknown=False,
    )
    connection.execute(
        text(
            """UPDATE account_playlists SET listed_sync_id = :sync_id
            WHERE account_id = :account_id AND playlist_id = ANY(:ids)"""
        ),
        {"sync_id": sync_id, "account_id": account_id, "ids": list(rows)},
    )
    return added, {key[0] for key in changed} - added


def _missing(connection: Connection, account_id: int, ids: list[str]) -> set[str]:
    there = connection.execute(
        text(
            """SELECT playlist_id FROM account_playlists
            WHERE account_id = :account_id AND playlist_id = ANY(:ids) AND removed_at IS NULL"""
        ),
        {"account_id": account_id, "ids": ids},
    ).scalars()
    return set(ids) - set(there)


def listed(connection: Connection, account_id: int, sync_id: int) -> int:
    """How many playlists this run's list has."""
    found = connection.execute(
        text(
            """SELECT count(*) FROM account_playlists WHERE account_id = :account_id AND removed_at IS NULL
            AND listed_sync_id = :sync_id"""
        ),
        {"account_id": account_id, "sync_id": sync_id},
    )
    return int(found.scalar_one())


def unlisted(connection: Connection, account_id: int, sync_id: int) -> int:
    """How many playlists of the account this run's list does not have."""
    found = connection.execute(text(f"SELECT count(*) {_UNLISTED}"), {"account_id": account_id, "sync_id": sync_id})
    return int(found.scalar_one())


_UNLISTED = """FROM account_playlists WHERE account_id = :account_id AND removed_at IS NULL
    AND listed_sync_id IS DISTINCT FROM :sync_id"""


def remove_unlisted(connection: Connection, account_id: int, sync_id: int) -> int:
    return connection.execute(
        text(
            """UPDATE account_playlists SET removed_at = now() WHERE account_id = :account_id
            AND removed_at IS NULL AND listed_sync_id IS DISTINCT FROM :sync_id"""
        ),
        {"account_id": account_id, "sync_id": sync_id},
    ).rowcount


def settle_unchanged(connection: Connection, account_id: int, sync_id: int, *, restricted: bool = False) -> int:
    """After the list: contents whose snapshot is stored already need no call. Returns how many.

    Other people's contents are closed to an app of the restricted regime. Whether that is so is asked once for each
    (somebody may have been invited), and what was refused is not asked for again.
    """
    return connection.execute(
        text(
            f"""UPDATE account_playlists a SET tried_sync_id = :sync_id,
                items_status = CASE a.items_status WHEN 'forbidden' THEN 'forbidden' ELSE 'synced' END FROM playlists p
            WHERE p.id = a.playlist_id AND a.account_id = :account_id AND a.listed_sync_id = :sync_id
            AND a.removed_at IS NULL AND a.tried_sync_id IS DISTINCT FROM :sync_id
            AND CASE WHEN :restricted AND {_OTHERS} THEN a.items_status = 'forbidden'
                ELSE p.items_snapshot_id = p.snapshot_id AND p.snapshot_id <> ''
                    AND a.items_status IN ('pending', 'synced') END"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "restricted": restricted},
    ).rowcount


_OTHERS = """(NOT p.collaborative AND p.owner_id IS DISTINCT FROM
    (SELECT o.spotify_user_id FROM accounts o WHERE o.id = a.account_id))"""


def reread_poor(connection: Connection) -> int:
    """What was read in the restricted regime lacks what tracks have in the full one: read it once more."""
    return connection.execute(
        text(
            """UPDATE playlists p SET items_snapshot_id = NULL WHERE items_snapshot_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM playlist_items i JOIN tracks t ON t.id = i.track_id
                WHERE i.playlist_id = p.id AND t.popularity IS NULL)"""
        )
    ).rowcount


def wanted(connection: Connection, account_id: int, sync_id: int, first: str | None, limit: int) -> list[Wanted]:
    """Playlists whose contents this run has still to read, in the account's order; the half-read one before all."""
    rows = connection.execute(
        text(
            """SELECT p.id AS playlist_id, p.snapshot_id, p.total_items AS total
            FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
            WHERE a.account_id = :account_id AND a.listed_sync_id = :sync_id AND a.removed_at IS NULL
            AND a.tried_sync_id IS DISTINCT FROM :sync_id
            ORDER BY (p.id = :first) DESC NULLS LAST, a.position, p.id LIMIT :limit"""
        ),
        {"account_id": account_id, "sync_id": sync_id, "first": first, "limit": limit},
    )
    return [Wanted(**row._mapping) for row in rows]  # noqa: SLF001


def stage(connection: Connection, sync_id: int, items: Sequence[tuple[str, PlaylistItem]]) -> None:
    upsert(
        connection,
        schema.staged_items,
        [{"sync_id": sync_id, "playlist_id": playlist_id, **vars(row)} for playlist_id, row in items],
        keep_unknown=False,
    )


def conclude(connection: Connection, account_id: int, sync_id: int, contents: Sequence[tuple[Reading, Access]]) -> None:
    """Swap in what is complete, and note what this account may read. A refusal touches nobody's contents."""
    complete = [reading for reading, access in contents if access == "synced"]
    if complete:
        _swap(connection, sync_id, complete)
    for access in ("synced", "forbidden", "not_found"):
        ids = [reading.playlist_id for reading, got in contents if got == access]
        connection.execute(
            text(
                """UPDATE account_playlists SET items_status = :access, tried_sync_id = :sync_id
                WHERE account_id = :account_id AND playlist_id = ANY(:ids)"""
            ),
            {"access": access, "sync_id": sync_id, "account_id": account_id, "ids": ids},
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
        text("UPDATE playlists SET items_snapshot_id = :snapshot_id WHERE id = :id"),
        [{"snapshot_id": reading.snapshot_id, "id": reading.playlist_id} for reading in complete],
    )


_COLUMNS = ("kind", "track_id", "uri", "name", "added_at", "added_by")
_SWAP = f"""INSERT INTO playlist_items AS i (playlist_id, position, {", ".join(_COLUMNS)})
    SELECT s.playlist_id, s.position, {", ".join(f"s.{name}" for name in _COLUMNS)} FROM staged_items s
    LEFT JOIN playlist_items o ON o.playlist_id = s.playlist_id AND o.position = s.position
    WHERE s.sync_id = :sync_id AND s.playlist_id = ANY(:ids) AND (o.playlist_id IS NULL
        OR ROW({", ".join(f"o.{name}" for name in _COLUMNS)}) IS DISTINCT FROM
           ROW({", ".join(f"s.{name}" for name in _COLUMNS)}))
    ORDER BY s.playlist_id, s.position
    ON CONFLICT (playlist_id, position) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}"""
