"""Playlists and their contents, which are staged and then swapped in whole. For an account's list see `listings`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spotisync.core.contents import WantedPlaylist
from spotisync.core.cursors import PlaylistProgress
from spotisync.core.rows import PlaylistItemRow, PlaylistRow
from spotisync.core.steps import Access
from spotisync.store import history, listings, schema
from spotisync.store.bulk import upsert
from spotisync.store.database import Connection, execute


def save_rows(connection: Connection, rows: Sequence[PlaylistRow]) -> set[str]:
    """Write playlists, which accounts share; unknown fields keep their values. Returns the ids that changed."""
    stored = _stored(connection, [row.id for row in rows if None in {row.collaborative, row.snapshot_id}])
    inserted, updated = upsert(connection, schema.playlists, [vars(_completed(row, stored)) for row in rows])
    # The number of items belongs to a snapshot, so a new snapshot without a number makes it unknown.
    recounted = execute(
        connection,
        """UPDATE playlists SET total_items = NULL
        WHERE id = ANY(:ids) AND snapshot_id IS DISTINCT FROM items_snapshot_id AND total_items IS NOT NULL
        RETURNING id""",
        {"ids": [row.id for row in rows if row.total_items is None and row.snapshot_id is not None]},
    ).scalars()
    return {key[0] for key in updated | inserted} | set(recounted)


def _stored(connection: Connection, ids: Sequence[str]) -> Mapping[str, Any]:
    if not ids:
        return {}
    found = execute(
        connection, "SELECT id, collaborative, snapshot_id FROM playlists WHERE id = ANY(:ids)", {"ids": ids}
    )
    return {row.id: row for row in found}


def _completed(row: PlaylistRow, stored: Mapping[str, Any]) -> PlaylistRow:
    """Fill the two NOT NULL columns from the stored row, or with `false` and ''."""
    known = stored.get(row.id)
    return replace(
        row,
        collaborative=row.collaborative if row.collaborative is not None else bool(known and known.collaborative),
        snapshot_id=row.snapshot_id or (known.snapshot_id if known else ""),
    )


def mark_unchanged(
    connection: Connection, account_id: int, sync_id: int, *, restricted: bool = False, incremental: bool = False
) -> int:
    """Mark contents that need no call, because their snapshot is stored already. Returns how many.

    This requires that the account has read them before: access by another account implies nothing. A restricted app
    can't read other people's contents; each is tried once (the account may have been invited) and not again after a
    refusal. An incremental does not retry contents refused at the same snapshot.
    """
    return execute(
        connection,
        f"""UPDATE account_playlists a SET tried_sync_id = :sync_id,
            items_status = CASE WHEN a.items_status IN {_REFUSED} THEN a.items_status ELSE 'synced' END
        FROM playlists p
        WHERE p.id = a.playlist_id AND a.account_id = :account_id AND a.listed_sync_id = :sync_id
        AND a.removed_at IS NULL AND a.tried_sync_id IS DISTINCT FROM :sync_id
        AND CASE WHEN :restricted AND {_OWNED_BY_OTHERS} THEN a.items_status = 'forbidden'
            WHEN :incremental AND a.items_status IN {_REFUSED} THEN a.refused_snapshot_id = p.snapshot_id
            ELSE p.items_snapshot_id = p.snapshot_id AND p.snapshot_id <> ''
                AND a.snapshot_told AND a.items_status = 'synced' END""",
        {"account_id": account_id, "sync_id": sync_id, "restricted": restricted, "incremental": incremental},
    ).rowcount


_REFUSED = "('forbidden', 'not_found')"

_OWNED_BY_OTHERS = """(NOT p.collaborative AND p.owner_id IS DISTINCT FROM
    (SELECT o.spotify_user_id FROM accounts o WHERE o.id = a.account_id))"""


def mark_restricted_reads_stale(connection: Connection) -> int:
    """Make contents due again whose tracks lack data of the full regime. Returns how many."""
    return execute(
        connection,
        """UPDATE playlists p SET items_snapshot_id = NULL WHERE items_snapshot_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM playlist_items i JOIN tracks t ON t.id = i.track_id
            WHERE i.playlist_id = p.id AND t.popularity IS NULL)""",
    ).rowcount


def keep_deferred(connection: Connection, account_id: int, sync_id: int) -> None:
    """Note that this scheduled run does not try contents that earlier ones could not read, until it is time.

    Contents that have changed since are tried.
    """
    execute(
        connection,
        """UPDATE account_playlists a SET tried_sync_id = :sync_id FROM playlists p
        WHERE p.id = a.playlist_id AND a.account_id = :account_id AND a.listed_sync_id = :sync_id
        AND a.removed_at IS NULL AND a.items_status = 'deferred' AND a.deferred_until > now()
        AND a.refused_snapshot_id IS NOT DISTINCT FROM p.snapshot_id""",
        {"account_id": account_id, "sync_id": sync_id},
    )


def count_deferred(connection: Connection, account_id: int, sync_id: int) -> int:
    """Count the playlists whose contents this run could not read."""
    found = execute(
        connection,
        """SELECT count(*) FROM account_playlists WHERE account_id = :account_id AND tried_sync_id = :sync_id
        AND items_status = 'deferred' AND removed_at IS NULL""",
        {"account_id": account_id, "sync_id": sync_id},
    )
    return int(found.scalar_one())


def defer_contents(connection: Connection, account_id: int, sync_id: int, playlist_id: str, reason: str) -> None:
    """Put contents aside that can't be read. What is stored stays; later runs try again at growing intervals."""
    _delete_staged(connection, sync_id, [playlist_id])
    execute(
        connection,
        f"""UPDATE account_playlists SET items_status = 'deferred', tried_sync_id = :sync_id, deferred_reason = :reason,
            refused_snapshot_id = (SELECT p.snapshot_id FROM playlists p WHERE p.id = playlist_id),
            deferrals = deferrals + 1, deferred_until = {listings.RETRY_AT.format(deferrals="deferrals")}
        WHERE account_id = :account_id AND playlist_id = :playlist_id""",
        {"account_id": account_id, "sync_id": sync_id, "playlist_id": playlist_id, "reason": reason},
    )


def find_wanted(
    connection: Connection, account_id: int, sync_id: int, first: str | None, limit: int
) -> list[WantedPlaylist]:
    """Playlists whose contents this run has still to read: `first` (partly read), then in the account's order.

    One that is listed as empty, but had items, is read all the same: a list alone removes no rows.
    """
    rows = execute(
        connection,
        f"""SELECT p.id AS playlist_id, CASE WHEN a.snapshot_told THEN p.snapshot_id ELSE '' END AS snapshot_id,
            CASE WHEN a.snapshot_told AND (p.total_items > 0 OR NOT EXISTS (
                SELECT FROM playlist_items i WHERE i.playlist_id = p.id)) THEN p.total_items END AS total
        FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id WHERE {_WANTED}
        ORDER BY (p.id = :first) DESC NULLS LAST, a.position, p.id LIMIT :limit""",
        {"account_id": account_id, "sync_id": sync_id, "first": first, "limit": limit},
    )
    return [WantedPlaylist(**row) for row in rows.mappings()]


def count_wanted(connection: Connection, account_id: int, sync_id: int) -> int:
    found = execute(
        connection,
        f"SELECT count(*) FROM account_playlists a WHERE {_WANTED}",
        {"account_id": account_id, "sync_id": sync_id},
    )
    return int(found.scalar_one())


_WANTED = """a.account_id = :account_id AND a.listed_sync_id = :sync_id AND a.removed_at IS NULL
    AND a.tried_sync_id IS DISTINCT FROM :sync_id"""


def stage_items(connection: Connection, sync_id: int, items: Sequence[tuple[str, PlaylistItemRow]]) -> None:
    upsert(
        connection,
        schema.staged_items,
        [{"sync_id": sync_id, "playlist_id": playlist_id, **vars(row)} for playlist_id, row in items],
        keep_unknown=False,
    )


def finish_contents(
    connection: Connection, account_id: int, sync_id: int, finished: Sequence[tuple[PlaylistProgress, Access]]
) -> None:
    """Swap in complete contents and record what this account may read. A refusal changes no stored contents."""
    finished = _without_unproved(connection, account_id, sync_id, finished)
    if not finished:
        return
    if complete := [progress for progress, access in finished if access == "synced"]:
        _swap(connection, sync_id, complete)
    _delete_staged(connection, sync_id, [progress.playlist_id for progress, access in finished if access != "synced"])
    execute(
        connection,
        """UPDATE account_playlists SET items_status = :access, tried_sync_id = :sync_id,
            deferred_reason = NULL, deferred_until = NULL, deferrals = 0,
            refused_snapshot_id = CASE WHEN :access <> 'synced' THEN CAST(:snapshot_id AS text) END
        WHERE account_id = :account_id AND playlist_id = :playlist_id""",
        [
            {
                "access": access,
                "sync_id": sync_id,
                "account_id": account_id,
                "playlist_id": progress.playlist_id,
                "snapshot_id": progress.snapshot_id,
            }
            for progress, access in finished
        ],
    )


def _without_unproved(
    connection: Connection, account_id: int, sync_id: int, finished: Sequence[tuple[PlaylistProgress, Access]]
) -> list[tuple[PlaylistProgress, Access]]:
    """Defer contents of which Spotify counts more items than it lists: they are read again, for they may be there.

    They are stored if that removes nothing, or if an earlier run found as many missing.
    """
    execute(
        connection,
        "UPDATE playlists SET phantom_items = NULL WHERE id = ANY(:ids) AND phantom_items IS NOT NULL",
        {"ids": [progress.playlist_id for progress, _ in finished if not progress.phantoms]},
    )
    for progress in [progress for progress, _ in finished if progress.phantoms]:
        is_new = _has_new_phantoms(connection, progress)
        if not is_new or progress.position >= _count_items(connection, progress.playlist_id):
            _swap(connection, sync_id, [replace(progress, snapshot_id="")])
        reason = f"Spotify counts {progress.position + progress.phantoms:,} items and lists {progress.position:,}"
        defer_contents(connection, account_id, sync_id, progress.playlist_id, reason)
    return [each for each in finished if not each[0].phantoms]


def _has_new_phantoms(connection: Connection, progress: PlaylistProgress) -> bool:
    """Store the number of items beyond the last one. Returns whether an earlier run did not find as many."""
    return (
        execute(
            connection,
            """UPDATE playlists SET phantom_items = :phantoms
        WHERE id = :id AND phantom_items IS DISTINCT FROM :phantoms""",
            {"id": progress.playlist_id, "phantoms": progress.phantoms},
        ).rowcount
        > 0
    )


def _count_items(connection: Connection, playlist_id: str) -> int:
    found = execute(connection, "SELECT count(*) FROM playlist_items WHERE playlist_id = :id", {"id": playlist_id})
    return int(found.scalar_one())


def _delete_staged(connection: Connection, sync_id: int, ids: Sequence[str]) -> None:
    execute(
        connection,
        "DELETE FROM staged_items WHERE sync_id = :sync_id AND playlist_id = ANY(:ids)",
        {"sync_id": sync_id, "ids": ids},
    )


def _swap(connection: Connection, sync_id: int, complete: Sequence[PlaylistProgress]) -> None:
    """Replace contents by what is staged, under the rows' locks and the snapshot seen before the first page."""
    ids = sorted(progress.playlist_id for progress in complete)
    bound = {"sync_id": sync_id, "ids": ids}
    execute(connection, "SELECT 1 FROM playlists WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE", bound)
    execute(
        connection,
        """DELETE FROM playlist_items i WHERE i.playlist_id = ANY(:ids) AND NOT EXISTS (
            SELECT 1 FROM staged_items s WHERE s.sync_id = :sync_id
            AND s.playlist_id = i.playlist_id AND s.position = i.position)""",
        bound,
    )
    execute(connection, _SWAP, bound)
    _delete_staged(connection, sync_id, ids)
    execute(
        connection,
        """UPDATE playlists SET items_snapshot_id = CAST(:snapshot_id AS text), total_items = CASE
            WHEN :snapshot_id = '' THEN COALESCE(:total, total_items) ELSE COALESCE(total_items, :total) END
        WHERE id = :id""",
        [
            {"snapshot_id": progress.snapshot_id, "total": progress.total, "id": progress.playlist_id}
            for progress in complete
        ],
    )
    history.store_versions(connection, sync_id, ids)


_COLUMNS = ("kind", "track_id", "uri", "name", "added_at", "added_by")
_SWAP = f"""INSERT INTO playlist_items AS i (playlist_id, position, {", ".join(_COLUMNS)})
    SELECT s.playlist_id, s.position, {", ".join(f"s.{name}" for name in _COLUMNS)} FROM staged_items s
    LEFT JOIN playlist_items o ON o.playlist_id = s.playlist_id AND o.position = s.position
    WHERE s.sync_id = :sync_id AND s.playlist_id = ANY(:ids) AND (o.playlist_id IS NULL
        OR ROW({", ".join(f"o.{name}" for name in _COLUMNS)}) IS DISTINCT FROM
           ROW({", ".join(f"s.{name}" for name in _COLUMNS)}))
    ORDER BY s.playlist_id, s.position
    ON CONFLICT (playlist_id, position) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}"""
