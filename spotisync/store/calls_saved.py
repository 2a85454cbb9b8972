"""What an incremental sync saved, noted with its run: the library may be another one tomorrow."""

from sqlalchemy import Connection, text

from spotisync.core.calls_saved import ListLengths, calls_saved


def record_calls_saved(connection: Connection, sync_id: int) -> None:
    """Of an incremental run that has just ended well; of a full one there is nothing to say."""
    run = connection.execute(
        text("SELECT account_id, api_calls FROM sync_history WHERE id = :id AND sync_type = 'incremental'"),
        {"id": sync_id},
    ).one_or_none()
    if run is not None:
        calls = calls_saved(_lists(connection, run.account_id, sync_id), run.api_calls)
        connection.execute(
            text("UPDATE sync_history SET calls_saved = :calls WHERE id = :id"), {"calls": calls, "id": sync_id}
        )


def _lists(connection: Connection, account_id: int, sync_id: int) -> ListLengths:
    """What was put off is not checked, and nothing was saved there."""
    bound = {"id": account_id, "sync_id": sync_id}
    put_off = set(connection.execute(text(_PUT_OFF), bound).scalars())
    own: dict[str, int | None] = {
        table: None if phase in put_off else connection.execute(text(_ROWS.format(table)), bound).scalar_one()
        for table, phase in PHASE_OF.items()
    }
    playlists = connection.execute(text(_PLAYLISTS), bound).all()
    # It is put off with the list, or with what is left of the contents.
    unread = "playlists" in put_off and not any(each.checked for each in playlists)
    contents = [each.items for each in playlists if each.checked]
    return ListLengths(**own, playlists=None if unread else len(playlists), contents=contents)


PHASE_OF = {"saved_tracks": "tracks", "saved_albums": "albums", "followed_artists": "artists"}
# Look-ups that were put off are of another family.
_PUT_OFF = """SELECT phase FROM run_events
    WHERE sync_id = :sync_id AND kind = 'put_off' AND family IN ('library', 'playlists')"""
_ROWS = "SELECT count(*) FROM {} WHERE account_id = :id AND removed_at IS NULL"
_PLAYLISTS = """SELECT COALESCE(p.total_items, 0) AS items,
    a.items_status = 'synced' AND a.tried_sync_id IS NOT DISTINCT FROM :sync_id AS checked
    FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
    WHERE a.account_id = :id AND a.removed_at IS NULL"""
