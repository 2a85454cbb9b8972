"""What is an account's own, and goes with it."""

from sqlalchemy import Connection, text

from spotisync.store import schema

OWN = {
    "saved tracks": schema.saved_tracks,
    "saved albums": schema.saved_albums,
    "followed artists": schema.followed_artists,
    "playlists": schema.account_playlists,
    "plays": schema.play_history,
    "runs": schema.sync_history,
}


def count(connection: Connection, account_id: int) -> dict[str, int]:
    """How many rows of each, those of what was removed included."""
    columns = ", ".join(f"(SELECT count(*) FROM {each} WHERE account_id = :id)" for each in OWN.values())
    row = connection.execute(text(f"SELECT {columns}"), {"id": account_id}).one()
    return dict(zip(OWN, row, strict=True))
