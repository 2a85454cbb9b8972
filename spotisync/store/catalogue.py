"""Artists, albums, tracks: one row an id for all accounts, written as they are met, looked up once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from spotisync.core.cursors import Entity
from spotisync.core.rows import CatalogueRows
from spotisync.store import schema
from spotisync.store.bulk import replace_children, upsert

# A stub that so many look-ups brought no answer for is left alone until the next full sync.
MOST_ATTEMPTS = 5
Row = TypeVar("Row")


def save_rows(connection: Connection, met: CatalogueRows) -> set[str]:
    """Write what was met, unknown ids as stubs; returns the ids of tracks that changed."""
    upsert(connection, schema.artists, [_plain(row) for row in met.artists.values()])
    upsert(connection, schema.albums, [_plain(row) for row in met.albums.values()])
    replace_children(connection, schema.album_artists, "album_id", "artist_id", _lists(met.albums))
    _, updated = upsert(connection, schema.tracks, [_plain(row) for row in met.tracks.values()])
    relinked = replace_children(connection, schema.track_artists, "track_id", "artist_id", _lists(met.tracks))
    return {key[0] for key in updated} | relinked


def _plain(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "artist_ids"}


def _lists(rows: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Lists that were told; where there was none, what is stored stays."""
    return {id_: row.artist_ids for id_, row in rows.items() if row.artist_ids is not None}


def claim_stubs(connection: Connection, entity: Entity, sync_id: int, limit: int, lease_seconds: int) -> list[str]:
    """Take stubs to look up, most saved first: free ones, and those that this run had taken before."""
    return list(
        connection.execute(
            text(
                f"""UPDATE {entity} SET lookup_sync_id = :sync_id,
                    lookup_until = now() + make_interval(secs => :lease)
                -- An array is worked out once; IN might be worked out for each row, and LIMIT would be no limit.
                WHERE id = ANY(ARRAY(SELECT id FROM {entity} WHERE {_FREE}
                    ORDER BY saves DESC, id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED))
                RETURNING id"""
            ),
            {"sync_id": sync_id, "limit": limit, "lease": lease_seconds},
        ).scalars()
    )


# A claim counts as long as it lasts, and its run is going. 0 is no run: enrich drains what runs have put off.
_UNCLAIMED = """(lookup_until IS NULL OR lookup_until <= now() OR lookup_sync_id = :sync_id
    OR lookup_sync_id <> 0
    AND lookup_sync_id NOT IN (SELECT r.id FROM sync_history r WHERE r.status = 'in_progress'))"""
_LEFT = f"enrichment = 'stub' AND lookup_attempts < {MOST_ATTEMPTS}"
_FREE = f"{_LEFT} AND {_UNCLAIMED}"


def claim_stale(connection: Connection, entity: Entity, days: int, limit: int, lease_seconds: int) -> list[str]:
    """Take what was looked up longest ago, if that is longer than `days`: as much as one call takes.

    What brought nothing the last time is asked for after all others, and alone.
    """
    for again, most in ((False, limit), (True, 1)):
        found = connection.execute(
            text(
                f"""UPDATE {entity} SET lookup_sync_id = 0, lookup_until = now() + make_interval(secs => :lease)
                WHERE id = ANY(ARRAY(SELECT id FROM {entity} WHERE {STALE} AND (lookup_attempts > 0) = :again
                    ORDER BY enriched_at, saves DESC, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED))
                RETURNING id"""
            ),
            {"days": days, "again": again, "most": most, "lease": lease_seconds},
        )
        if ids := list(found.scalars()):
            return ids
    return []


# Bind as :days for how long what was looked up is good.
STALE = """enrichment = 'full' AND enriched_at < now() - make_interval(days => :days)
    AND (lookup_until IS NULL OR lookup_until <= now())"""


def mark_refreshed(
    connection: Connection, entity: Entity, known: Iterable[str], gone: Collection[str], missed: Iterable[str]
) -> int:
    """Mark what was read again; returns how many. What was known is gone when Spotify says so twice, days apart.

    Until then, as with what brought no answer, it stays what it is; the next try is twice as far away each time.
    """
    twice = find_missed(connection, entity, gone)
    marked = mark_enriched(connection, entity, known, twice)
    connection.execute(
        text(
            f"""UPDATE {entity} SET lookup_sync_id = NULL, lookup_attempts = lookup_attempts + 1,
                lookup_until = now() + make_interval(days => CAST(2 ^ LEAST(lookup_attempts, 6) AS integer))
            WHERE id = ANY(:ids) AND enrichment = 'full'"""
        ),
        {"ids": sorted({*missed, *gone} - twice)},
    )
    return marked


def record_misses(connection: Connection, entity: Entity, ids: Iterable[str]) -> None:
    """An answer came, but not for these: that counts. What a limit, an outage or a death kept from them does not."""
    connection.execute(
        text(f"UPDATE {entity} SET lookup_attempts = lookup_attempts + 1 WHERE id = ANY(:ids)"), {"ids": sorted(ids)}
    )


def find_missed(connection: Connection, entity: Entity, ids: Iterable[str]) -> set[str]:
    """Which of them had no answer among others; they are asked for alone, so that they spoil it for no one else."""
    found = connection.execute(
        text(f"SELECT id FROM {entity} WHERE id = ANY(:ids) AND lookup_attempts > 0"), {"ids": list(ids)}
    )
    return set(found.scalars())


def release_stubs(connection: Connection, entity: Entity, sync_id: int) -> None:
    """This run does not look up what it has claimed, or not soon; whoever can may have it."""
    connection.execute(
        text(
            f"""UPDATE {entity} SET lookup_sync_id = NULL, lookup_until = NULL
            WHERE enrichment = 'stub' AND lookup_sync_id = :sync_id"""
        ),
        {"sync_id": sync_id},
    )


def has_stubs(connection: Connection, entity: Entity) -> bool:
    """Whether there are stubs to look up, another run's included: it may die, and then they are ours."""
    # In the order of the index, so that the index is what is read, up to its first row.
    found = connection.execute(text(f"SELECT 1 FROM {entity} WHERE {_LEFT} ORDER BY saves DESC, id LIMIT 1"))
    return found.one_or_none() is not None


def count_claimable_stubs(connection: Connection, entity: Entity) -> int:
    """How many stubs there are to look up. It reads them all."""
    found = connection.execute(text(f"SELECT count(*) FROM {entity} WHERE {_LEFT}"))
    return int(found.scalar_one())


def count_stubs(connection: Connection, entity: Entity) -> int:
    """How many stubs stay behind if nobody looks up any more. It reads them all."""
    found = connection.execute(text(f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'"))
    return int(found.scalar_one())


def mark_enriched(
    connection: Connection, entity: Entity, known: Iterable[str], gone: Iterable[str], *, partial: bool = False
) -> int:
    """Mark what was looked up, `partial` if the restricted regime answered; returns how many were stubs until now."""
    return connection.execute(
        text(
            f"""UPDATE {entity} SET enrichment = CASE WHEN id = ANY(:gone) THEN 'gone'
                    WHEN :partial AND enrichment <> 'full' THEN 'partial' ELSE 'full' END,
                enriched_at = now(), lookup_sync_id = NULL, lookup_until = NULL, lookup_attempts = 0
            WHERE id = ANY(:known) OR id = ANY(:gone)"""
        ),
        {"known": sorted(known), "gone": sorted(gone), "partial": partial},
    ).rowcount


def mark_listed(connection: Connection, entity: Entity, ids: Iterable[str], *, partial: bool = False) -> set[str]:
    """Mark what a list told as a look-up would have. Returns the ids that were stubs until now.

    What is full already is noted as read again, once a week: it need not be looked up for its age.
    """
    found = connection.execute(
        text(
            f"""UPDATE {entity} e SET enrichment = CASE WHEN :partial THEN 'partial' ELSE 'full' END,
                enriched_at = now(), lookup_sync_id = NULL, lookup_until = NULL, lookup_attempts = 0
            FROM (SELECT id, enrichment FROM {entity} WHERE id = ANY(:ids)
                AND (enrichment = 'stub' OR enrichment IN ('partial', 'gone') AND NOT :partial OR
                    enrichment = 'partial' AND enriched_at IS NULL OR
                    enrichment = 'full' AND enriched_at < now() - interval '7 days' AND NOT :partial)
                ORDER BY id FOR NO KEY UPDATE) AS was
            WHERE e.id = was.id RETURNING e.id, was.enrichment"""
        ),
        {"ids": sorted(ids), "partial": partial},
    )
    return {row.id for row in found if row.enrichment == "stub"}


def mark_stubs_partial(connection: Connection, entity: Entity) -> int:
    """Stubs become `partial`: what the pages told is all that is wanted of them. Returns how many."""
    return connection.execute(
        text(
            f"""UPDATE {entity} SET enrichment = 'partial', lookup_sync_id = NULL, lookup_until = NULL
            WHERE enrichment = 'stub'"""
        )
    ).rowcount


def reopen_partial(connection: Connection, entity: Entity, *, looked_up: bool = True) -> int:
    """What is `partial` becomes a stub again; `looked_up`: even what the restricted regime has answered already."""
    never = "" if looked_up else "AND enriched_at IS NULL"
    return connection.execute(
        text(f"UPDATE {entity} SET enrichment = 'stub', lookup_attempts = 0 WHERE enrichment = 'partial' {never}")
    ).rowcount


def rank_stubs(connection: Connection, *, try_again: bool = True) -> None:
    """Count how many saved tracks each stub has, so that the most saved are looked up first.

    `try_again`: forget failed attempts. An id without an answer may be asked for by each walk, but not twice an hour.
    """
    for entity, counted in _SAVES.items():
        connection.execute(
            text(
                f"""UPDATE {entity} e SET saves = c.saves,
                    lookup_attempts = CASE WHEN :try_again THEN 0 ELSE e.lookup_attempts END FROM ({counted}) c
                WHERE e.id = c.id AND e.enrichment = 'stub'
                AND (e.saves <> c.saves OR :try_again AND e.lookup_attempts > 0)"""
            ),
            {"try_again": try_again},
        )


_SAVES: dict[Entity, str] = {
    "artists": """SELECT a.id, count(s.track_id) AS saves FROM artists a
        LEFT JOIN track_artists t ON t.artist_id = a.id
        LEFT JOIN saved_tracks s ON s.track_id = t.track_id AND s.removed_at IS NULL
        WHERE a.enrichment = 'stub' GROUP BY a.id""",
    "albums": """SELECT b.id, count(s.track_id) AS saves FROM albums b
        LEFT JOIN tracks t ON t.album_id = b.id
        LEFT JOIN saved_tracks s ON s.track_id = t.id AND s.removed_at IS NULL
        WHERE b.enrichment = 'stub' GROUP BY b.id""",
}
