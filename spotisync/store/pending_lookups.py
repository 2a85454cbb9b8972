"""The stubs that a run looks up: those that its own account's lists lead to, the most saved first.

The list is computed from the account's rows at the beginning of a stage of look-ups, and again when it is empty: the
stage is over when nothing is found. So a run waits for no stub of another account, however many there are, and a batch
costs the same at any size of the library. Rows are added in commits only, under the lock of the run.
"""

from dataclasses import dataclass

from spotisync.core.cursors import Entity
from spotisync.store.bulk import lookup_by_key
from spotisync.store.catalogue import CLAIMABLE, MOST_ATTEMPTS
from spotisync.store.database import Connection, execute
from spotisync.store.schema import metadata

# Rows of a list that are examined at once: more than the other runs of the same catalogue have claimed at a time.
WINDOW = 1000
# With fewer stubs in the catalogue, each of them is traced to the account instead of the account's rows to the stubs.
FEW = 100


@dataclass(frozen=True)
class OwnStubs:
    """An account's stubs: all, and those that may be looked up, claimed ones included."""

    stubs: int = 0
    pending: int = 0


def collect(connection: Connection, sync_id: int, account_id: int, entity: Entity) -> OwnStubs:
    """Make the list anew."""
    bound = {"sync_id": sync_id, "entity": entity}
    execute(connection, "DELETE FROM pending_lookups WHERE sync_id = :sync_id AND entity = :entity", bound)
    stubs = _count_few(connection, entity)
    if not stubs:
        return OwnStubs()
    row = execute(
        connection,
        f"""WITH {_own(entity, stubs)},
            added AS (INSERT INTO pending_lookups (sync_id, entity, position, id)
                SELECT :sync_id, :entity, row_number() OVER (ORDER BY o.saves DESC, o.id), o.id FROM own o
                WHERE o.lookup_attempts < {MOST_ATTEMPTS} RETURNING 1)
        SELECT (SELECT count(*) FROM own) AS stubs, (SELECT count(*) FROM added) AS pending""",
        {**bound, "account_id": account_id},
    )
    return OwnStubs(**row.mappings().one())


def count_stubs(connection: Connection, account_id: int, entity: Entity) -> int:
    """Count the account's stubs, including those with too many attempts."""
    stubs = _count_few(connection, entity)
    if not stubs:
        return 0
    found = execute(connection, f"WITH {_own(entity, stubs)} SELECT count(*) FROM own", {"account_id": account_id})
    return int(found.scalar_one())


def retry_misses(connection: Connection, account_id: int, entity: Entity) -> None:
    """Set the failed attempts of the account's stubs to 0."""
    missed = execute(connection, f"SELECT 1 FROM {entity} WHERE enrichment = 'stub' AND lookup_attempts > 0 LIMIT 1")
    if missed.one_or_none() is not None:
        execute(
            connection,
            f"""WITH {_own(entity, FEW)} UPDATE {entity} e SET lookup_attempts = 0 FROM own o
            WHERE e.id = o.id AND e.enrichment = 'stub' AND e.lookup_attempts > 0""",
            {"account_id": account_id},
        )


def claim(connection: Connection, entity: Entity, sync_id: int, limit: int, lease_seconds: int) -> list[str]:
    """Claim stubs of the list: unclaimed ones, and those that this run claimed before."""
    while not (ids := _claim_head(connection, entity, sync_id, limit, lease_seconds)):
        if not _drop_done(connection, sync_id, entity):
            return []
    return ids


def _claim_head(connection: Connection, entity: Entity, sync_id: int, limit: int, lease_seconds: int) -> list[str]:
    found = execute(
        connection,
        f"""WITH head AS MATERIALIZED (SELECT position, id FROM pending_lookups
            WHERE sync_id = :sync_id AND entity = :entity ORDER BY position LIMIT :window)
        UPDATE {entity} SET lookup_sync_id = :sync_id, lookup_until = now() + make_interval(secs => :lease)
        WHERE id = ANY(ARRAY(SELECT e.id FROM head h JOIN {entity} e ON e.id = h.id WHERE {CLAIMABLE}
            ORDER BY h.position LIMIT :limit FOR NO KEY UPDATE OF e SKIP LOCKED))
        RETURNING id""",
        {"sync_id": sync_id, "entity": entity, "limit": limit, "window": limit + WINDOW, "lease": lease_seconds},
    )
    return list(found.scalars())


def has_any(connection: Connection, sync_id: int, entity: Entity) -> bool:
    """Whether the list has stubs that are still pending, including those claimed by other runs, which may fail.

    Deletes what is looked up from the head of the list, to find out.
    """
    while _drop_done(connection, sync_id, entity):
        pass
    found = execute(
        connection,
        "SELECT 1 FROM pending_lookups WHERE sync_id = :sync_id AND entity = :entity LIMIT 1",
        {"sync_id": sync_id, "entity": entity},
    )
    return found.one_or_none() is not None


def count(connection: Connection, sync_id: int, entity: Entity) -> int:
    """Count the rows of the list. Reads them all."""
    found = execute(
        connection,
        "SELECT count(*) FROM pending_lookups WHERE sync_id = :sync_id AND entity = :entity",
        {"sync_id": sync_id, "entity": entity},
    )
    return int(found.scalar_one())


def _drop_done(connection: Connection, sync_id: int, entity: Entity) -> int:
    """Delete what is looked up, by this run or by another one, from the head of the list. Returns how many."""
    # By the keys of both tables, whatever Postgres thinks of tables that have just been filled.
    return execute(
        connection,
        f"""WITH head AS MATERIALIZED (SELECT position, id FROM pending_lookups
            WHERE sync_id = :sync_id AND entity = :entity ORDER BY position LIMIT :window)
        DELETE FROM pending_lookups WHERE sync_id = :sync_id AND entity = :entity AND position = ANY(ARRAY(
            SELECT h.position FROM head h LEFT JOIN {lookup_by_key(metadata.tables[entity], "k.id = h.id")} e ON true
            WHERE (e.enrichment = 'stub' AND e.lookup_attempts < {MOST_ATTEMPTS}) IS NOT TRUE))""",
        {"sync_id": sync_id, "entity": entity, "window": WINDOW},
    ).rowcount


def _count_few(connection: Connection, entity: Entity) -> int:
    """Count the stubs of all accounts, at most `FEW`."""
    # The order of the index makes Postgres read the index, only up to the limit.
    found = execute(
        connection,
        f"""SELECT count(*) FROM (SELECT 1 FROM {entity} WHERE enrichment = 'stub'
            ORDER BY saves DESC, id LIMIT {FEW}) s""",
    )
    return int(found.scalar_one())


# ---- which stubs are an account's ------------------------------------------------------------------------------------

# Older plays are left to the backlog.
_PLAYED = """SELECT track_id AS id FROM play_history
    WHERE account_id = :account_id AND played_at > now() - interval '7 days'"""
_TRACKS = f"""SELECT track_id AS id FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL
    UNION SELECT i.track_id FROM account_playlists p JOIN playlist_items i ON i.playlist_id = p.playlist_id
        WHERE p.account_id = :account_id AND p.removed_at IS NULL AND i.track_id IS NOT NULL
    UNION {_PLAYED}"""
_IS_OWN_TRACK = """(t.id IN (SELECT id FROM played)
    OR EXISTS (SELECT 1 FROM saved_tracks s
        WHERE s.account_id = :account_id AND s.track_id = t.id AND s.removed_at IS NULL)
    OR EXISTS (SELECT 1 FROM playlist_items i JOIN account_playlists p ON p.playlist_id = i.playlist_id
        AND p.account_id = :account_id AND p.removed_at IS NULL WHERE i.track_id = t.id))"""
_SAVED_ALBUMS = "SELECT album_id AS id FROM saved_albums WHERE account_id = :account_id AND removed_at IS NULL"
_FOLLOWED = "SELECT artist_id AS id FROM followed_artists WHERE account_id = :account_id AND removed_at IS NULL"
_ALBUMS = f"""SELECT t.album_id AS id FROM own_tracks o JOIN tracks t ON t.id = o.id WHERE t.album_id IS NOT NULL
    UNION {_SAVED_ALBUMS}"""

# From the account's rows to stubs.
_BY_ACCOUNT: dict[Entity, str] = {
    "artists": f"""own_tracks AS MATERIALIZED ({_TRACKS}), own_albums AS MATERIALIZED ({_ALBUMS}),
        met AS MATERIALIZED (SELECT t.artist_id AS id FROM own_tracks o JOIN track_artists t ON t.track_id = o.id
            UNION SELECT a.artist_id FROM own_albums o JOIN album_artists a ON a.album_id = o.id UNION {_FOLLOWED})""",
    "albums": f"own_tracks AS MATERIALIZED ({_TRACKS}), met AS MATERIALIZED ({_ALBUMS})",
}
# From each stub to the account's rows. There are fewer than the limit, which Postgres needs for its estimate.
_BY_STUB: dict[Entity, str] = {
    "artists": f"""played AS MATERIALIZED ({_PLAYED}),
        stubs AS MATERIALIZED (SELECT id FROM artists WHERE enrichment = 'stub' ORDER BY saves DESC, id LIMIT {FEW}),
        met AS MATERIALIZED (SELECT n.id FROM stubs n JOIN track_artists a ON a.artist_id = n.id
                JOIN tracks t ON t.id = a.track_id WHERE {_IS_OWN_TRACK}
            UNION SELECT n.id FROM stubs n JOIN album_artists a ON a.artist_id = n.id
                JOIN tracks t ON t.album_id = a.album_id WHERE {_IS_OWN_TRACK}
            UNION SELECT n.id FROM stubs n JOIN album_artists a ON a.artist_id = n.id
                WHERE a.album_id IN ({_SAVED_ALBUMS})
            UNION SELECT n.id FROM stubs n WHERE n.id IN ({_FOLLOWED}))""",
    "albums": f"""played AS MATERIALIZED ({_PLAYED}),
        stubs AS MATERIALIZED (SELECT id FROM albums WHERE enrichment = 'stub' ORDER BY saves DESC, id LIMIT {FEW}),
        met AS MATERIALIZED (SELECT n.id FROM stubs n JOIN tracks t ON t.album_id = n.id WHERE {_IS_OWN_TRACK}
            UNION SELECT n.id FROM stubs n WHERE n.id IN ({_SAVED_ALBUMS}))""",
}


def _own(entity: Entity, stubs: int) -> str:
    """SQL that begins with what `stubs`, up to `FEW`, makes the shorter way; its last query is `own`."""
    way = _BY_STUB if stubs < FEW else _BY_ACCOUNT
    return f"""{way[entity]}, own AS MATERIALIZED (SELECT e.id, e.saves, e.lookup_attempts
        FROM met m JOIN {entity} e ON e.id = m.id WHERE e.enrichment = 'stub')"""
