"""Calls that an incremental sync saved; stored with the run, since the library changes later."""

from spotisync.core.calls_saved import ListLengths, calls_saved
from spotisync.store.database import Connection, execute


def record_calls_saved(connection: Connection, sync_id: int) -> None:
    """Store the calls saved by a run that just succeeded; no effect on a full run."""
    run = execute(
        connection,
        "SELECT account_id, api_calls FROM sync_history WHERE id = :id AND sync_type = 'incremental'",
        {"id": sync_id},
    ).one_or_none()
    if run is not None:
        calls = calls_saved(_list_lengths(connection, run.account_id, sync_id), run.api_calls)
        execute(
            connection, "UPDATE sync_history SET calls_saved = :calls WHERE id = :id", {"calls": calls, "id": sync_id}
        )


def _list_lengths(connection: Connection, account_id: int, sync_id: int) -> ListLengths:
    """The lengths of the lists that the run checked; a deferred list was not checked and saved nothing."""
    bound = {"id": account_id, "sync_id": sync_id}
    deferred = set(execute(connection, _DEFERRED, bound).scalars())
    own: dict[str, int | None] = {
        table: None if phase in deferred else execute(connection, _ROWS.format(table), bound).scalar_one()
        for table, phase in _PHASES.items()
    }
    playlists = execute(connection, _PLAYLISTS, bound).all()
    # "playlists" is deferred with the list itself, or with the remaining contents only.
    unread = "playlists" in deferred and not any(each.checked for each in playlists)
    contents = [each.items for each in playlists if each.checked]
    return ListLengths(**own, playlists=None if unread else len(playlists), contents=contents)


_PHASES = {"saved_tracks": "tracks", "saved_albums": "albums", "followed_artists": "artists"}
# Deferred look-ups belong to other families.
_DEFERRED = """SELECT phase FROM run_events
    WHERE sync_id = :sync_id AND kind = 'put_off' AND family IN ('library', 'playlists')"""
_ROWS = "SELECT count(*) FROM {} WHERE account_id = :id AND removed_at IS NULL"
_PLAYLISTS = """SELECT COALESCE(p.total_items, 0) AS items,
    a.items_status = 'synced' AND a.tried_sync_id IS NOT DISTINCT FROM :sync_id AS checked
    FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
    WHERE a.account_id = :id AND a.removed_at IS NULL"""
