"""Artists, albums and tracks: one row per id, shared by all accounts, written when first met and looked up once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from spotisync.core.cursors import Entity
from spotisync.core.rows import CatalogueRows
from spotisync.store import schema
from spotisync.store.bulk import replace_children, upsert
from spotisync.store.database import Connection, execute

# A stub with this many look-ups without an answer is not claimed again before the next full sync.
MOST_ATTEMPTS = 5
Row = TypeVar("Row")


def save_rows(connection: Connection, rows: CatalogueRows) -> set[str]:
    """Write the rows, new ids as stubs. Returns the ids of tracks that changed."""
    upsert(connection, schema.artists, [_columns(row) for row in rows.artists.values()])
    upsert(connection, schema.albums, [_columns(row) for row in rows.albums.values()])
    replace_children(connection, schema.album_artists, "album_id", "artist_id", _artist_ids(rows.albums))
    # Most batches have no replaced track, and one column less costs less.
    left_out = _ELSEWHERE if any(row.linked_from for row in rows.tracks.values()) else _ELSEWHERE | {"linked_from"}
    tracks = [_columns(row, left_out) for row in rows.tracks.values()]
    _, updated = upsert(connection, schema.tracks, tracks, also=_UNAVAILABLE_SINCE)
    relinked = replace_children(connection, schema.track_artists, "track_id", "artist_id", _artist_ids(rows.tracks))
    return {key[0] for key in updated} | relinked


# Unknown for a track that was not playable when it was first told.
_UNAVAILABLE_SINCE = """unavailable_since = CASE WHEN COALESCE(excluded.is_playable, t.is_playable) THEN NULL
    WHEN t.is_playable THEN now() ELSE t.unavailable_since END"""
_ELSEWHERE = frozenset({"artist_ids", "restriction"})


def _columns(row: Any, left_out: frozenset[str] = _ELSEWHERE) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name not in left_out}


def _artist_ids(rows: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The artist ids of rows that have any; for the others, the stored ids stay."""
    return {id_: row.artist_ids for id_, row in rows.items() if row.artist_ids is not None}


def claim_stubs(connection: Connection, entity: Entity, sync_id: int, limit: int, lease_seconds: int) -> list[str]:
    """Claim stubs of all accounts, most saved first: unclaimed ones, and those that `sync_id` claimed before."""
    return list(
        execute(
            connection,
            f"""UPDATE {entity} SET lookup_sync_id = :sync_id,
                lookup_until = now() + make_interval(secs => :lease)
            -- An array is evaluated once; IN might be evaluated per row, which would defeat LIMIT.
            WHERE id = ANY(ARRAY(SELECT id FROM {entity} WHERE {CLAIMABLE}
                ORDER BY saves DESC, id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED))
            RETURNING id""",
            {"sync_id": sync_id, "limit": limit, "lease": lease_seconds},
        ).scalars()
    )


# A claim is valid until it expires or its run is no longer in progress. A run id below 1 stands for the backlog of an
# app (enrich).
_UNCLAIMED = """(lookup_until IS NULL OR lookup_until <= now() OR lookup_sync_id = :sync_id
    OR lookup_sync_id > 0
    AND lookup_sync_id NOT IN (SELECT r.id FROM sync_history r WHERE r.status = 'in_progress'))"""
PENDING = f"enrichment = 'stub' AND lookup_attempts < {MOST_ATTEMPTS}"
CLAIMABLE = f"{PENDING} AND {_UNCLAIMED}"


def claim_stale(connection: Connection, entity: Entity, days: int, limit: int, lease_seconds: int) -> list[str]:
    """Claim up to `limit` rows looked up more than `days` ago, the oldest first.

    A row without an answer at its last refresh comes after all others, and alone.
    """
    for missed, count in ((False, limit), (True, 1)):
        found = execute(
            connection,
            f"""UPDATE {entity} SET lookup_sync_id = 0, lookup_until = now() + make_interval(secs => :lease)
            WHERE id = ANY(ARRAY(SELECT id FROM {entity} WHERE {STALE} AND (lookup_attempts > 0) = :missed
                ORDER BY enriched_at, saves DESC, id LIMIT :count FOR NO KEY UPDATE SKIP LOCKED))
            RETURNING id""",
            {"days": days, "missed": missed, "count": count, "lease": lease_seconds},
        )
        if ids := list(found.scalars()):
            return ids
    return []


# Bind the number of days after which a looked-up row is stale as :days.
STALE = """enrichment = 'full' AND enriched_at < now() - make_interval(days => :days)
    AND (lookup_until IS NULL OR lookup_until <= now())"""


def mark_refreshed(
    connection: Connection, entity: Entity, known: Iterable[str], gone: Collection[str], missed: Iterable[str]
) -> int:
    """Mark refreshed rows; returns how many. A known row becomes `gone` when two refreshes, days apart, report it gone.

    Until then it keeps its state, like a row without an answer; the delay before the next try doubles each time.
    """
    confirmed = find_missed(connection, entity, gone)
    marked = mark_enriched(connection, entity, known, confirmed)
    execute(
        connection,
        f"""UPDATE {entity} SET lookup_sync_id = NULL, lookup_attempts = lookup_attempts + 1,
            lookup_until = now() + make_interval(days => CAST(2 ^ LEAST(lookup_attempts, 6) AS integer))
        WHERE id = ANY(:ids) AND enrichment = 'full'""",
        {"ids": sorted({*missed, *gone} - confirmed)},
    )
    return marked


def record_misses(connection: Connection, entity: Entity, ids: Iterable[str], attempts: int = 1) -> None:
    """Count failed attempts of ids missing from an answer. Limits, outages and killed workers do not count."""
    execute(
        connection,
        f"UPDATE {entity} SET lookup_attempts = lookup_attempts + :attempts WHERE id = ANY(:ids)",
        {"ids": sorted(ids), "attempts": attempts},
    )


def find_missed(connection: Connection, entity: Entity, ids: Iterable[str]) -> set[str]:
    """Find ids that an earlier answer lacked. They are requested alone, so that they can't fail a call for others."""
    found = execute(
        connection, f"SELECT id FROM {entity} WHERE id = ANY(:ids) AND lookup_attempts > 0", {"ids": list(ids)}
    )
    return set(found.scalars())


def release_stubs(connection: Connection, entity: Entity, sync_id: int) -> None:
    """Release the stubs claimed by this run, so that other runs can claim them."""
    execute(
        connection,
        f"""UPDATE {entity} SET lookup_sync_id = NULL, lookup_until = NULL
        WHERE enrichment = 'stub' AND lookup_sync_id = :sync_id""",
        {"sync_id": sync_id},
    )


def mark_enriched(
    connection: Connection, entity: Entity, known: Iterable[str], gone: Iterable[str], *, partial: bool = False
) -> int:
    """Mark looked-up rows, as `partial` if the restricted regime answered. Returns how many rows were marked."""
    return execute(
        connection,
        f"""UPDATE {entity} SET enrichment = CASE WHEN id = ANY(:gone) THEN 'gone'
                WHEN :partial AND enrichment <> 'full' THEN 'partial' ELSE 'full' END,
            enriched_at = now(), lookup_sync_id = NULL, lookup_until = NULL, lookup_attempts = 0
        WHERE id = ANY(:known) OR id = ANY(:gone)""",
        {"known": sorted(known), "gone": sorted(gone), "partial": partial},
    ).rowcount


def mark_listed(connection: Connection, entity: Entity, ids: Iterable[str], *, partial: bool = False) -> set[str]:
    """Mark rows whose details came with a list page, like a look-up. Returns the ids that were stubs until now.

    The time of a full row is renewed once a week, so that it is not refreshed because of its age.
    """
    found = execute(
        connection,
        f"""UPDATE {entity} e SET enrichment = CASE WHEN :partial THEN 'partial' ELSE 'full' END,
            enriched_at = now(), lookup_sync_id = NULL, lookup_until = NULL, lookup_attempts = 0
        FROM (SELECT id, enrichment FROM {entity} WHERE id = ANY(:ids)
            AND (enrichment = 'stub' OR enrichment IN ('partial', 'gone') AND NOT :partial OR
                enrichment = 'partial' AND enriched_at IS NULL OR
                enrichment = 'full' AND enriched_at < now() - interval '7 days' AND NOT :partial)
            ORDER BY id FOR NO KEY UPDATE) AS was
        WHERE e.id = was.id RETURNING e.id, was.enrichment""",
        {"ids": sorted(ids), "partial": partial},
    )
    return {row.id for row in found if row.enrichment == "stub"}


def mark_stubs_partial(connection: Connection, entity: Entity) -> int:
    """Mark all stubs as `partial`, where the data from list pages suffices. Returns how many."""
    return execute(
        connection,
        f"""UPDATE {entity} SET enrichment = 'partial', lookup_sync_id = NULL, lookup_until = NULL
        WHERE enrichment = 'stub'""",
    ).rowcount


def reopen_partial(connection: Connection, entity: Entity, *, looked_up: bool = True) -> int:
    """Make `partial` rows stubs again; `looked_up`: also rows that a restricted app looked up. Returns how many."""
    condition = "" if looked_up else "AND enriched_at IS NULL"
    return execute(
        connection,
        f"UPDATE {entity} SET enrichment = 'stub', lookup_attempts = 0 WHERE enrichment = 'partial' {condition}",
    ).rowcount


def has_partial(connection: Connection, entity: Entity) -> bool:
    found = execute(connection, f"SELECT 1 FROM {entity} WHERE enrichment = 'partial' LIMIT 1")
    return found.one_or_none() is not None


def rank_stubs(connection: Connection, account_id: int) -> None:
    """Count how many saved tracks each stub of the account's saved tracks has, of all accounts.

    The most saved are looked up first.
    """
    for entity, (saves, _) in _SAVES.items():
        execute(
            connection,
            # Materialised, or Postgres joins row by row while the tables are new: seconds for 10,000 tracks.
            f"""WITH own AS MATERIALIZED (SELECT DISTINCT s.id FROM ({saves}) s JOIN {entity} e ON e.id = s.id
                    WHERE s.account_id = :account_id AND e.enrichment = 'stub'),
                counted AS MATERIALIZED (SELECT s.id, count(*) AS saves FROM own o JOIN ({saves}) s ON s.id = o.id
                    GROUP BY s.id),
                changed AS MATERIALIZED (SELECT e.id, c.saves FROM counted c JOIN {entity} e ON e.id = c.id
                    WHERE e.enrichment = 'stub' AND e.saves <> c.saves ORDER BY e.id)
            UPDATE {entity} e SET saves = c.saves FROM changed c WHERE e.id = c.id AND e.enrichment = 'stub'""",
            {"account_id": account_id},
        )


def rank_stubs_of(connection: Connection, tracks: Collection[str]) -> None:
    """Count again for the stubs of these tracks, which are saved or no longer saved."""
    if not tracks:
        return
    for entity, (saves, of_tracks) in _SAVES.items():
        execute(
            connection,
            f"""UPDATE {entity} e SET saves = c.saves FROM (
                SELECT e.id, (SELECT count(*) FROM ({saves}) s WHERE s.id = e.id) AS saves FROM {entity} e
                WHERE e.id = ANY(ARRAY({of_tracks})) AND e.enrichment = 'stub' ORDER BY e.id FOR NO KEY UPDATE) c
            WHERE e.id = c.id AND e.saves <> c.saves""",
            {"tracks": sorted(tracks)},
        )


# Saved tracks by artist or album, and the artists or albums of tracks.
_SAVES: dict[Entity, tuple[str, str]] = {
    "artists": (
        """SELECT t.artist_id AS id, s.account_id FROM track_artists t
        JOIN saved_tracks s ON s.track_id = t.track_id AND s.removed_at IS NULL""",
        "SELECT artist_id FROM track_artists WHERE track_id = ANY(:tracks)",
    ),
    "albums": (
        """SELECT t.album_id AS id, s.account_id FROM tracks t
        JOIN saved_tracks s ON s.track_id = t.id AND s.removed_at IS NULL""",
        "SELECT album_id FROM tracks WHERE id = ANY(:tracks)",
    ),
}
