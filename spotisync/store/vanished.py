"""Vanished music: what Spotify shows greyed out, or as an empty row. What the listener has removed is not vanished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spotisync.core.rows import TrackRow
from spotisync.store.database import Connection, execute

Reason = Literal["unplayable", "unavailable", "hidden"]
REASONS: tuple[Reason, ...] = ("unplayable", "unavailable", "hidden")
# Accounts whose runs are checked for new ones at a time.
MOST_CHECKED = 50


@dataclass(frozen=True)
class VanishedRow:
    """A place where a track or album stood; without a playlist, the list of what the account has saved.

    `track_id`: None in an empty row of a playlist whose track is not known. `certain`: False if another track may be
    behind the empty row.
    """

    reason: Reason
    kind: Literal["track", "album"]
    certain: bool
    gone_since: datetime | None
    restriction: str | None
    playlist_id: str | None
    playlist: str | None
    position: int | None
    track_id: str | None
    track: str | None
    artist: str | None
    album_id: str | None
    album: str | None
    added_at: datetime | None
    twin_id: str | None
    twin: str | None
    twin_album: str | None


@dataclass(frozen=True)
class EndedRun:
    """The last run of an account that has ended. `since`: None if the account was never checked before."""

    account_id: int
    account: str
    sync_id: int
    since: datetime | None
    until: datetime


def record_availability(connection: Connection, account_id: int, tracks: Iterable[TrackRow]) -> None:
    """Note which tracks the account can't play, and which it can again. Call it before the lists are written.

    A track counts as vanished since now if it was playable, and in a list of the account, before.
    """
    known = [row for row in tracks if row.is_playable is not None]
    if playable := sorted(row.id for row in known if row.is_playable):
        execute(
            connection,
            "DELETE FROM unplayable_tracks WHERE account_id = :account_id AND track_id = ANY(:ids)",
            {"account_id": account_id, "ids": playable},
        )
    if unplayable := [row for row in known if not row.is_playable]:
        _record_unplayable(connection, account_id, unplayable)


def _record_unplayable(connection: Connection, account_id: int, tracks: Sequence[TrackRow]) -> None:
    execute(
        connection,
        """INSERT INTO unplayable_tracks AS u (account_id, track_id, since, restriction)
        SELECT :account_id, r.id, CASE WHEN t.unavailable_since IS NOT NULL AND (EXISTS (
                SELECT 1 FROM saved_tracks s
                WHERE s.account_id = :account_id AND s.track_id = r.id AND s.removed_at IS NULL) OR EXISTS (
                SELECT 1 FROM playlist_items i JOIN account_playlists l ON l.playlist_id = i.playlist_id
                WHERE i.track_id = r.id AND l.account_id = :account_id AND l.removed_at IS NULL)) THEN now() END,
            r.restriction
        FROM unnest(CAST(:ids AS text[]), CAST(:restrictions AS text[])) AS r(id, restriction)
        JOIN tracks t ON t.id = r.id ORDER BY r.id
        ON CONFLICT (account_id, track_id) DO UPDATE SET restriction = excluded.restriction
        WHERE u.restriction IS DISTINCT FROM excluded.restriction""",
        {
            "account_id": account_id,
            "ids": [row.id for row in tracks],
            "restrictions": [row.restriction for row in tracks],
        },
    )


_COLUMNS = ", ".join(VanishedRow.__dataclass_fields__)
_LOST = "account_id = :account_id AND reason <> 'removed'"


def list_rows(connection: Connection, account_id: int, limit: int) -> list[VanishedRow]:
    """The latest first, then those that were so at the first sync."""
    found = execute(
        connection,
        f"""SELECT {_COLUMNS} FROM vanished WHERE {_LOST}
        ORDER BY gone_since DESC NULLS LAST, track, track_id, playlist, position LIMIT :limit""",
        {"account_id": account_id, "limit": limit},
    )
    return [VanishedRow(**row) for row in found.mappings()]


# ---- notifications --------------------------------------------------------------------------------------------------


def list_ended_runs(connection: Connection) -> list[EndedRun]:
    """Accounts of which a run has ended since they were checked last."""
    found = execute(
        connection,
        """SELECT a.id AS account_id, a.spotify_user_id AS account, r.id AS sync_id, a.vanished_until AS since,
            r.completed_at AS until
        FROM accounts a CROSS JOIN LATERAL (
            SELECT h.id, h.completed_at FROM sync_history h WHERE h.account_id = a.id AND h.completed_at IS NOT NULL
            ORDER BY h.completed_at DESC LIMIT 1) r
        WHERE a.vanished_until IS NULL OR r.completed_at > a.vanished_until ORDER BY a.id LIMIT :limit""",
        {"limit": MOST_CHECKED},
    )
    return [EndedRun(**row) for row in found.mappings()]


def list_new_rows(connection: Connection, run: EndedRun) -> list[VanishedRow]:
    """The tracks that have certainly vanished since the account was checked; none at its first check."""
    bound = {"account_id": run.account_id, "since": run.since, "until": run.until}
    if run.since is None or not execute(connection, _HAS_CHANGED, bound).scalar_one():
        return []
    found = execute(
        connection,
        f"""SELECT {_COLUMNS} FROM vanished v WHERE {_LOST} AND kind = 'track' AND certain
        AND gone_since <= :until AND COALESCE((SELECT s.surely_hidden_since FROM saved_tracks s WHERE reason = 'hidden'
            AND s.account_id = v.account_id AND s.track_id = v.track_id), gone_since) > :since
        ORDER BY track, track_id, playlist, position""",
        bound,
    )
    return [VanishedRow(**row) for row in found.mappings()]


# The view reads all playlists with empty rows, so it is asked only if one of its sources has changed.
_HAS_CHANGED = """SELECT EXISTS (SELECT 1 FROM unplayable_tracks WHERE account_id = :account_id AND since > :since)
    OR EXISTS (SELECT 1 FROM saved_tracks WHERE account_id = :account_id AND surely_hidden_since > :since)
    OR EXISTS (SELECT 1 FROM account_playlists l JOIN playlist_versions v ON v.playlist_id = l.playlist_id
        WHERE l.account_id = :account_id AND l.removed_at IS NULL AND v.read_at > :since)"""


def mark_checked(connection: Connection, run: EndedRun) -> None:
    execute(
        connection,
        "UPDATE accounts SET vanished_until = :until WHERE id = :id",
        {"id": run.account_id, "until": run.until},
    )
