"""Trace claims and commits of batches with a database trigger, so that the worker runs unchanged."""

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
# A commit's row names the next batch. It is written just before COMMIT, so a hop includes COMMIT.
HOPS = """SELECT EXTRACT(epoch FROM min(c.at) - e.at) * 1000 FROM trace e JOIN trace c
    ON (c.sync_id, c.phase, c.seq, c.event) = (e.sync_id, e.phase, e.seq, 'claim')
    WHERE e.event = 'commit' GROUP BY e.sync_id, e.phase, e.seq, e.at"""
# Postgres counts per table; a session reports its counts when it ends.
WRITTEN = """SELECT COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
    WHERE (relname = ANY(%s)) = %s AND relname <> 'trace'"""
LIBRARY = [
    *("artists", "albums", "tracks", "track_artists", "album_artists"),
    *("saved_tracks", "saved_albums", "followed_artists", "playlists", "playlist_items"),
]

Connection = psycopg.Connection[Any]


def hops(connection: Connection) -> list[float]:
    """Return the milliseconds from the end of each batch to the claim of the next one."""
    return [float(row[0]) for row in connection.execute(HOPS)]


def seconds_to_commit(connection: Connection, sync_id: int, time: float) -> float | None:
    """Return the seconds from this time to the next commit of a batch of the run."""
    found = connection.execute(
        """SELECT EXTRACT(epoch FROM min(at)) - %s FROM trace
        WHERE event = 'commit' AND sync_id = %s AND at > to_timestamp(%s)""",
        (time, sync_id, time),
    ).fetchall()
    return None if found[0][0] is None else float(found[0][0])


def count_written(connection: Connection) -> tuple[int, int]:
    """Count the rows written so far, in the library and in the bookkeeping. Ends all other sessions first."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {others} AND backend_type = 'client backend'")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    library, bookkeeping = (connection.execute(WRITTEN, (LIBRARY, kind)).fetchall()[0][0] for kind in (True, False))
    return int(library), int(bookkeeping)
