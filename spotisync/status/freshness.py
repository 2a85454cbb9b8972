"""When each list of an account was last read: in whole, and at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from spotisync.core.durations import format_duration
from spotisync.status import times
from spotisync.store.database import Connection, execute

Document = dict[str, Any]


def list_times(connection: Connection, account_ids: Sequence[int], common: Document) -> dict[int, Document]:
    """When each list of an account was last proved complete and when it was last checked, by account id."""
    rows = execute(connection, _LIST_TIMES, {"ids": list(account_ids)})
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


def _last_check(phase: str) -> str:
    """When a run, full or incremental, last read the list of this phase without deferring it."""
    newest = " UNION ALL ".join(
        f"""(SELECT s.completed_at FROM sync_history h JOIN sync_state s ON s.sync_id = h.id
            AND s.entity_type = '{phase}' WHERE h.account_id = a.id AND h.sync_type = '{sync_type}'
            AND s.status = 'success' {condition} ORDER BY h.id DESC LIMIT 1)"""
        for sync_type, condition in (
            ("full", ""),
            (
                "incremental",
                f"""AND NOT EXISTS (SELECT 1 FROM run_events e WHERE e.sync_id = h.id AND e.kind = 'put_off'
                    AND e.phase = '{phase}' AND e.family IN ('library', 'playlists'))""",
            ),
        )
    )
    return f"(SELECT max(completed_at) FROM ({newest}) checked)"


def _last_full_read(name: str) -> str:
    return f"(SELECT l.read_at FROM listings l WHERE l.account_id = a.id AND l.list = '{name}')"


_LIST_TIMES = f"""SELECT a.id, a.tracks_proved_at AS tracks_whole, {_last_full_read("playlists")} AS playlists_whole,
    {_last_full_read("saved_albums")} AS albums_whole, {_last_full_read("followed_artists")} AS artists_whole,
    {", ".join(f"{_last_check(phase)} AS {phase}" for phase in ("tracks", "albums", "artists", "playlists"))},
    (SELECT p.read_at FROM playback p WHERE p.account_id = a.id) AS plays
    FROM accounts a WHERE a.id = ANY(CAST(:ids AS bigint[]))"""


def freshness(common: Document, complete_at: datetime | None, checked_at: datetime | None) -> Document:
    checked_at = max(filter(None, (complete_at, checked_at)), default=None)
    parts = [
        *([f"complete as of {times.format_time(common, complete_at)}"] if complete_at else []),
        *([f"checked {format_duration(-times.seconds_until(common, checked_at))} ago"] if checked_at else []),
    ]
    return {
        "whole": complete_at.isoformat() if complete_at else None,
        "looked": checked_at.isoformat() if checked_at else None,
        "words": "; ".join(parts) or "never read",
    }
