"""What a run row goes through, written down by the database itself: nothing in the worker is touched for it."""

from typing import Any

import psycopg

TRACE = """
CREATE TABLE trace (at timestamptz, sync_id bigint, event text, phase text, seq int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.claim IS NOT NULL AND NEW.claim IS DISTINCT FROM OLD.claim THEN
        INSERT INTO trace VALUES (clock_timestamp(), NEW.id, 'claim', NEW.phase, NEW.seq);
    ELSIF (NEW.phase, NEW.seq) IS DISTINCT FROM (OLD.phase, OLD.seq) THEN
        INSERT INTO trace VALUES (clock_timestamp(), NEW.id, 'commit', NEW.phase, NEW.seq);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON sync_history FOR EACH ROW EXECUTE FUNCTION note();
"""
# A commit's row names the batch that is due after it. It is written just before COMMIT, so that is in the hop.
HOPS = """SELECT EXTRACT(epoch FROM min(c.at) - e.at) * 1000 FROM trace e JOIN trace c
    ON (c.sync_id, c.phase, c.seq, c.event) = (e.sync_id, e.phase, e.seq, 'claim')
    WHERE e.event = 'commit' GROUP BY e.sync_id, e.phase, e.seq, e.at"""
# Counted by Postgres for each table; a session tells it its counts when it ends.
WRITTEN = """SELECT COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
    WHERE (relname = ANY(%s)) = %s AND relname <> 'trace'"""
LIBRARY = [
    *("artists", "albums", "tracks", "track_artists", "album_artists"),
    *("saved_tracks", "saved_albums", "followed_artists", "playlists", "playlist_items"),
]

Connection = psycopg.Connection[Any]


def hops(connection: Connection) -> list[float]:
    """Milliseconds from the end of each batch to the claim of the next."""
    return [float(row[0]) for row in connection.execute(HOPS)]


def commit_after(connection: Connection, sync_id: int, time: float) -> float | None:
    """Seconds from this time to the first batch of a run that was committed since."""
    found = connection.execute(
        """SELECT EXTRACT(epoch FROM min(at)) - %s FROM trace
        WHERE event = 'commit' AND sync_id = %s AND at > to_timestamp(%s)""",
        (time, sync_id, time),
    ).fetchall()
    return None if found[0][0] is None else float(found[0][0])


def written(connection: Connection) -> tuple[int, int]:
    """Rows written so far: of the library, and of the bookkeeping of runs. Ends all other sessions for it."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {others} AND backend_type = 'client backend'")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    of_library, of_runs = (connection.execute(WRITTEN, (LIBRARY, kind)).fetchall()[0][0] for kind in (True, False))
    return int(of_library), int(of_runs)
