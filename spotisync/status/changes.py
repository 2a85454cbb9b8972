"""What a document says beside its run: of all accounts that are asked for at once, in as many queries as for one."""

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import Connection, text

from spotisync.core.durations import format_duration
from spotisync.settings import Settings
from spotisync.status import times
from spotisync.status.messages import REQUESTS
from spotisync.store import apps
from spotisync.store.call_ledger import DAY

Document = dict[str, Any]
FAMILIES: Final = ("library", "playlists", "artists", "albums", "player")
# What Spotify counts requests in.
WINDOW: Final = 30
# So many runs that changed something, and names of each.
RUNS: Final = 5
NAMES: Final = 10


# ---- calls ----------------------------------------------------------------------------------------------------------


def calls_document(connection: Connection, settings: Settings, common: Document) -> Document:
    """What was sent, by the ledger, of which requests are noted with the batch that they were for.

    `window` is an estimate therefore: the ledger counts by the minute, and of the minute before no more is taken than
    its share. `budget` is null where none is known: an app of the full regime has one that Spotify does not tell.
    """
    ceiling = settings.api_rate or None
    if settings.client_id is None:
        return {"window": {"seconds": WINDOW, "used": None, "ceiling": ceiling}, "day": {}, "saved": None}
    rows = connection.execute(text(_SENT), {"client_id": settings.client_id}).all()
    restricted = apps.get_regime(connection, settings.client_id) == "restricted"
    used = {row.family: int(row.day) for row in rows}
    lately = sum(estimate_in_window(row.elapsed, int(row.now), int(row.before)) for row in rows)
    budget = settings.enrichment_budget if restricted else None
    return {
        "window": {"seconds": WINDOW, "used": round(lately), "ceiling": ceiling},
        "day": {
            family: _family(common, family, max(0, used.get(family, 0)), None if family == "player" else budget)
            for family in FAMILIES
        },
        "saved": None,
    }


# The minute stands in a row of its own: reckoned anew for every row of a day, it would take most of the time.
_SENT = f"""SELECT family, sum(calls) AS day, COALESCE(sum(calls) FILTER (WHERE minute = m.this), 0) AS now,
    COALESCE(sum(calls) FILTER (WHERE minute = m.last), 0) AS before,
    CAST(EXTRACT(epoch FROM now() - m.this) AS float) AS elapsed
    FROM call_ledger, (SELECT date_trunc('minute', now()) AS this,
        date_trunc('minute', now() - interval '1 minute') AS last OFFSET 0) m
    WHERE client_id = :client_id AND minute > now() - {DAY} GROUP BY family, m.this"""


def estimate_in_window(elapsed: float, now: int, before: int) -> float:
    """Of the requests of this minute, so many seconds old, and of the one before: those of the last 30 s."""
    if elapsed >= WINDOW:
        return now * WINDOW / elapsed
    return now + before * (WINDOW - elapsed) / 60


def _family(common: Document, family: str, used: int, budget: int | None) -> Document:
    covering = [each["blocked_until"] for each in common["blocked"] or [] if each["family"] in {family, "*"}]
    blocked_until = max(covering, default=None, key=datetime.fromisoformat)
    amount = f"{used:,}" if budget is None else f"{used:,} of {budget:,}"
    waits = f"; they wait until {times.clock(common, datetime.fromisoformat(blocked_until))}" if blocked_until else ""
    return {
        "used": used,
        "budget": budget,
        "blocked_until": blocked_until,
        "words": f"{REQUESTS[family]}: {amount} in 24 h{waits}",
    }


# ---- changes --------------------------------------------------------------------------------------------------------


def recent_changes(connection: Connection, account_ids: Sequence[int]) -> dict[int, list[Document]]:
    """By account: its last runs that changed something of the library, each with some names."""
    rows = connection.execute(text(_CHANGED), {"ids": list(account_ids), "runs": RUNS}).all()
    names = _names(connection, [row.sync_id for row in rows]) if rows else {}
    found: dict[int, list[Document]] = {account_id: [] for account_id in account_ids}
    for row in rows:
        found[row.account_id].append(_change(row, names.get(row.sync_id, {})))
    return found


_CHANGED = """SELECT a.id AS account_id, r.id AS sync_id, r.sync_type, r.completed_at, r.changes
    FROM unnest(CAST(:ids AS bigint[])) a(id) CROSS JOIN LATERAL (
        SELECT h.* FROM sync_history h WHERE h.account_id = a.id AND h.changes IS NOT NULL
        AND h.completed_at IS NOT NULL ORDER BY h.id DESC LIMIT :runs) r
    ORDER BY a.id, r.id DESC"""


def _names(connection: Connection, sync_ids: list[int]) -> dict[int, dict[tuple[str, str], list[Document]]]:
    """By run, kind and change: some of each."""
    rows = connection.execute(text(_NAMES), {"ids": sync_ids, "most": NAMES})
    found: dict[int, dict[tuple[str, str], list[Document]]] = {}
    for row in rows:
        of_run = found.setdefault(row.sync_id, {})
        entry = {"kind": row.kind, "change": row.change, "id": row.id, "name": row.name}
        of_run.setdefault((row.kind, row.change), []).append(entry)
    return found


# Each run's own few rows by their index: what a first run added is the whole library.
_SOURCES: Final = (
    ("track", "added", "SELECT s.track_id AS id FROM saved_spans s WHERE s.from_run = r.id"),
    ("track", "removed", "SELECT s.track_id AS id FROM saved_spans s WHERE s.to_run = r.id"),
    ("playlist", "new", "SELECT s.playlist_id AS id FROM playlist_spans s WHERE s.from_run = r.id"),
    ("playlist", "gone", "SELECT s.playlist_id AS id FROM playlist_spans s WHERE s.to_run = r.id"),
    (
        "playlist",
        "changed",
        """SELECT v.playlist_id AS id FROM playlist_versions v WHERE v.sync_id = r.id AND NOT EXISTS (
            SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = r.id)""",
    ),
)
_NAMES = " UNION ALL ".join(
    f"""SELECT r.id AS sync_id, '{kind}' AS kind, '{change}' AS change, c.id, t.name
    FROM unnest(CAST(:ids AS bigint[])) r(id) CROSS JOIN LATERAL ({source} LIMIT :most) c
    JOIN LATERAL (SELECT left(name, 200) AS name FROM {kind}s WHERE id = c.id) t ON true"""
    for kind, change, source in _SOURCES
)


def _change(row: Any, names: dict[tuple[str, str], list[Document]]) -> Document:
    counts = {change: int(row.changes.get(change, 0)) for _, change, _ in _SOURCES}
    shown = sample_of([sorted(each, key=lambda entry: entry["name"] or "") for each in names.values()])
    playlists = {change: counts[change] for change in ("new", "gone", "changed")}
    return {
        "sync_id": row.sync_id,
        "sync_type": row.sync_type,
        "completed_at": row.completed_at.isoformat(),
        "added": counts["added"],
        "removed": counts["removed"],
        "playlists": playlists,
        "names": shown,
        "more": max(0, sum(counts.values()) - len(shown)),
        "words": "; ".join(filter(None, (_said("track", counts, ("added", "removed")), _said("playlist", playlists)))),
    }


def sample_of(kinds: list[list[Document]]) -> list[Document]:
    """Ten at most, some of each kind of change; in the order of the kinds."""
    by_turns = [entry for turn in zip_longest(*kinds) for entry in turn if entry is not None][:NAMES]
    return [entry for kind in kinds for entry in kind if entry in by_turns]


def _said(thing: str, counts: dict[str, int], of: Sequence[str] | None = None) -> str:
    """As in: 2 tracks added, 1 removed."""
    there = [(change, counts[change]) for change in of or counts if counts[change]]
    if not there:
        return ""
    (change, number), rest = there[0], there[1:]
    first = f"{number:,} {thing}{'' if number == 1 else 's'} {change}"
    return ", ".join([first, *(f"{number:,} {change}" for change, number in rest)])


# ---- the newest runs ------------------------------------------------------------------------------------------------


def newest_runs(connection: Connection, account_ids: Sequence[int]) -> dict[int, dict[str, Document]]:
    """By account and type."""
    rows = connection.execute(
        text(
            """SELECT a.id AS account_id, r.id AS sync_id, r.sync_type, r.status
            FROM unnest(CAST(:ids AS bigint[])) a(id) CROSS JOIN (VALUES ('full'), ('incremental')) t(name)
            CROSS JOIN LATERAL (SELECT h.id, h.sync_type, h.status FROM sync_history h
                WHERE h.account_id = a.id AND h.sync_type = t.name ORDER BY h.id DESC LIMIT 1) r"""
        ),
        {"ids": list(account_ids)},
    )
    found: dict[int, dict[str, Document]] = {account_id: {} for account_id in account_ids}
    for row in rows:
        found[row.account_id][row.sync_type] = {
            "sync_id": row.sync_id,
            "sync_type": row.sync_type,
            "status": row.status,
        }
    return found


# ---- how fresh ------------------------------------------------------------------------------------------------------


def list_times(connection: Connection, account_ids: Sequence[int], common: Document) -> dict[int, Document]:
    """By account: when each list was last proved whole, and when it was last looked at."""
    rows = connection.execute(text(_READ), {"ids": list(account_ids)})
    return {
        row.id: {
            "tracks": freshness(common, row.tracks_whole, row.tracks),
            "saved_albums": freshness(common, row.albums_whole, row.albums),
            "followed_artists": freshness(common, row.artists_whole, row.artists),
            "playlists": freshness(common, row.playlists_whole, row.playlists),
            "plays": freshness(common, None, row.plays),
        }
        for row in rows
    }


def _looked(phase: str) -> str:
    """The last run, full or incremental, that has read the phase's list and has not put it off."""
    newest = " UNION ALL ".join(
        f"""(SELECT s.completed_at FROM sync_history h JOIN sync_state s ON s.sync_id = h.id
            AND s.entity_type = '{phase}' WHERE h.account_id = a.id AND h.sync_type = '{sync_type}'
            AND s.status = 'success' {but} ORDER BY h.id DESC LIMIT 1)"""
        for sync_type, but in (
            ("full", ""),
            (
                "incremental",
                f"""AND NOT EXISTS (SELECT 1 FROM run_events e WHERE e.sync_id = h.id AND e.kind = 'put_off'
                    AND e.phase = '{phase}' AND e.family IN ('library', 'playlists'))""",
            ),
        )
    )
    return f"(SELECT max(completed_at) FROM ({newest}) looked)"


def _list(name: str) -> str:
    return f"(SELECT l.read_at FROM saved_lists l WHERE l.account_id = a.id AND l.list = '{name}')"


_READ = f"""SELECT a.id, a.tracks_proved_at AS tracks_whole, a.playlists_proved_at AS playlists_whole,
    {_list("saved_albums")} AS albums_whole, {_list("followed_artists")} AS artists_whole,
    {", ".join(f"{_looked(phase)} AS {phase}" for phase in ("tracks", "albums", "artists", "playlists"))},
    (SELECT p.read_at FROM playback p WHERE p.account_id = a.id) AS plays
    FROM accounts a WHERE a.id = ANY(CAST(:ids AS bigint[]))"""


def freshness(common: Document, whole: datetime | None, looked: datetime | None) -> Document:
    looked = max(filter(None, (whole, looked)), default=None)
    said = [
        *([f"whole as of {times.clock(common, whole)}"] if whole else []),
        *([f"looked at {format_duration(-times.seconds_until(common, looked))} ago"] if looked else []),
    ]
    return {
        "whole": whole.isoformat() if whole else None,
        "looked": looked.isoformat() if looked else None,
        "words": ", ".join(said) or "never read",
    }
