"""What an incremental sync saved, noted with its run: the library may be another one tomorrow."""

from sqlalchemy import Connection, text

from spotisync.core.savings import Lists, saved


def note(connection: Connection, sync_id: int) -> None:
    """Of an incremental run that has just ended well; of a full one there is nothing to say."""
    run = connection.execute(
        text("SELECT account_id, api_calls FROM sync_history WHERE id = :id AND sync_type = 'incremental'"),
        {"id": sync_id},
    ).one_or_none()
    if run is not None:
        calls = saved(_lists(connection, run.account_id), run.api_calls)
        connection.execute(
            text("UPDATE sync_history SET calls_saved = :calls WHERE id = :id"), {"calls": calls, "id": sync_id}
        )


def _lists(connection: Connection, account_id: int) -> Lists:
    own = {
        table: connection.execute(
            text(f"SELECT count(*) FROM {table} WHERE account_id = :id AND removed_at IS NULL"), {"id": account_id}
        ).scalar_one()
        for table in ("saved_tracks", "saved_albums", "followed_artists")
    }
    playlists = connection.execute(
        text(
            """SELECT COALESCE(total_items, 0) AS items, items_status = 'synced' AS readable FROM account_playlists
            JOIN playlists ON id = playlist_id WHERE account_id = :id AND removed_at IS NULL"""
        ),
        {"id": account_id},
    ).all()
    return Lists(**own, playlists=len(playlists), contents=[each.items for each in playlists if each.readable])
