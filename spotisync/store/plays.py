"""Plays of an account, the claim on reading them, and gaps between reads."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unicodedata import normalize
from uuid import UUID

from spotisync.core.plays import MergedPlays, Play, PlayGap
from spotisync.core.rows import TrackRow
from spotisync.store import schema
from spotisync.store.bulk import dumps, recordset, upsert
from spotisync.store.database import Connection, execute

# A read takes about a second; a claim older than this belongs to a worker that died.
READ_SECONDS = 120


# ---- reads ----------------------------------------------------------------------------------------------------------


def claim_read(connection: Connection, account_id: int, token: UUID) -> bool:
    """Claim the read. A claim instead of a row lock: no transaction is open during the request.

    False: another worker has claimed it, or the account was removed meanwhile.
    """
    updated = execute(
        connection,
        f"""INSERT INTO playback AS p (account_id, claim, claim_until)
        SELECT id, :token, now() + make_interval(secs => {READ_SECONDS}) FROM accounts
        WHERE id = :account_id FOR KEY SHARE
        ON CONFLICT (account_id) DO UPDATE SET claim = excluded.claim, claim_until = excluded.claim_until
        WHERE p.claim IS NULL OR p.claim_until <= now()""",
        {"account_id": account_id, "token": token},
    )
    return updated.rowcount == 1


def renew_claim(connection: Connection, account_id: int, token: UUID) -> bool:
    updated = execute(
        connection,
        f"""UPDATE playback SET claim_until = now() + make_interval(secs => {READ_SECONDS})
        WHERE account_id = :account_id AND claim = :token""",
        {"account_id": account_id, "token": token},
    )
    return updated.rowcount == 1


def finish_read(connection: Connection, account_id: int, token: UUID, error: str | None) -> None:
    """Release the claim. With an error, `read_at` stays that of the last successful read."""
    execute(
        connection,
        """UPDATE playback SET claim = NULL, claim_until = NULL, last_error = CAST(:error AS text),
            read_at = CASE WHEN CAST(:error AS text) IS NULL THEN now() ELSE read_at END
        WHERE account_id = :account_id AND claim = :token""",
        {"account_id": account_id, "token": token, "error": error},
    )


# ---- plays ----------------------------------------------------------------------------------------------------------


def lock_plays(connection: Connection, account_id: int) -> None:
    """Lock the account's plays, since new plays are compared with the stored ones before they are written."""
    execute(
        connection,
        """INSERT INTO playback (account_id) VALUES (:account_id)
        ON CONFLICT (account_id) DO UPDATE SET account_id = excluded.account_id""",
        {"account_id": account_id},
    )


def find_newest_play(connection: Connection, account_id: int) -> datetime | None:
    found = execute(
        connection, "SELECT max(played_at) FROM play_history WHERE account_id = :account_id", {"account_id": account_id}
    )
    at: datetime | None = found.scalar_one()
    return at


def find_similar(connection: Connection, account_id: int, reported: Iterable[Play]) -> list[Play]:
    """Find stored plays that these reports may duplicate.

    OFFSET keeps Postgres from a hash join on the track, which is slow for a track that was played every night.
    """
    rows = []
    for play in reported:
        first, last = play.compared_times
        rows.append({"track_id": play.track_id, "first": first, "last": last})
    found = execute(
        connection,
        """SELECT DISTINCT h.track_id, h.played_at, h.source, h.ms_played, h.context_uri
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(track_id text, first timestamptz, last timestamptz)
            CROSS JOIN LATERAL (
                SELECT * FROM play_history h WHERE h.account_id = :account_id
                    AND h.played_at BETWEEN r.first AND r.last AND h.track_id = r.track_id OFFSET 0
            ) AS h""",
        {"rows": dumps(rows), "account_id": account_id},
    )
    return [Play(**row) for row in found.mappings()]


def save_plays(connection: Connection, account_id: int, merged: MergedPlays) -> None:
    """Store new and changed plays. A play whose time changed replaces its row, since the time is part of the key."""
    if merged.replaced:
        _delete_plays(connection, account_id, merged.replaced)
    rows = [
        {
            "account_id": account_id,
            "played_at": play.played_at,
            "track_id": play.track_id,
            "source": play.source,
            "ms_played": play.ms_played,
            "context_uri": play.context_uri,
        }
        for play in merged.rows
    ]
    upsert(connection, schema.play_history, rows)


def _delete_plays(connection: Connection, account_id: int, plays: Sequence[Play]) -> None:
    execute(
        connection,
        f"""DELETE FROM play_history h USING {recordset(schema.play_history, ("played_at", "track_id"))}
        WHERE h.account_id = :account_id AND h.track_id = r.track_id AND h.played_at = r.played_at""",
        {
            "rows": dumps([{"played_at": play.played_at, "track_id": play.track_id} for play in plays]),
            "account_id": account_id,
        },
    )


def filter_new_tracks(connection: Connection, tracks: Iterable[TrackRow]) -> list[TrackRow]:
    """Tracks that the catalogue lacks; of the others it knows more than the streaming history."""
    by_id = {track.id: track for track in tracks}
    found = execute(connection, "SELECT id FROM tracks WHERE id = ANY(:ids)", {"ids": list(by_id)})
    known = set(found.scalars())
    return [track for id_, track in by_id.items() if id_ not in known]


def find_tracks_by_names(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Find the tracks with these names and artists, ignoring case. An artist is the first of a track, if possible.

    Names that several tracks have are left out.
    """
    found = execute(
        connection,
        """SELECT r.track, r.artist, t.id, t.name AS track_name, a.name AS artist_name, ta.position
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(track text, artist text)
            JOIN tracks t ON t.search = plain(r.track)
            JOIN track_artists ta ON ta.track_id = t.id
            JOIN artists a ON a.id = ta.artist_id AND a.search = plain(r.artist)""",
        {"rows": dumps([{"track": track, "artist": artist} for track, artist in names])},
    )
    first, other = defaultdict[tuple[str, str], set[str]](set), defaultdict[tuple[str, str], set[str]](set)
    for row in found:
        if _fold((row.track, row.artist)) == _fold((row.track_name, row.artist_name)):  # `search` has no accents either
            (other if row.position else first)[row.track, row.artist].add(row.id)
    candidates = other | first
    return {names: next(iter(ids)) for names, ids in candidates.items() if len(ids) == 1}


def _fold(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(normalize("NFC", name).casefold().strip() for name in names)


# ---- gaps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenGap:
    id: int
    account: str
    gap: PlayGap
    noticed_at: datetime

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "from": self.gap.since.isoformat(),
            "to": self.gap.until.isoformat(),
            "noticed_at": self.noticed_at.isoformat(),
        }


def record_gap(connection: Connection, account_id: int, gap: PlayGap) -> None:
    execute(
        connection,
        "INSERT INTO playback_gaps (account_id, from_at, to_at) VALUES (:account_id, :since, :until)",
        {"account_id": account_id, "since": gap.since, "until": gap.until},
    )


def list_open_gaps(connection: Connection, account: str | None = None) -> list[OpenGap]:
    """Open gaps of one account (by Spotify user id) or of all accounts, oldest first."""
    return _list_open_gaps(connection, "a.spotify_user_id = :account" if account else "true", {"account": account})


def _list_open_gaps(connection: Connection, condition: str, bound: dict[str, Any]) -> list[OpenGap]:
    rows = execute(
        connection,
        f"""SELECT g.id, a.spotify_user_id, g.from_at, g.to_at, g.noticed_at
        FROM playback_gaps g JOIN accounts a ON a.id = g.account_id
        WHERE g.closed_at IS NULL AND {condition} ORDER BY g.from_at, g.id""",
        bound,
    )
    return [OpenGap(row.id, row.spotify_user_id, PlayGap(row.from_at, row.to_at), row.noticed_at) for row in rows]


def close_gaps(connection: Connection, ids: Iterable[int]) -> int:
    return execute(
        connection,
        "UPDATE playback_gaps SET closed_at = now() WHERE id = ANY(:ids) AND closed_at IS NULL",
        {"ids": list(ids)},
    ).rowcount


# ---- status ---------------------------------------------------------------------------------------------------------


def list_playback_status(connection: Connection, account_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The last read, the error that followed it, plays of the last day, open gaps; by account id."""
    rows = execute(
        connection,
        """SELECT a.id, a.spotify_user_id, p.read_at, p.last_error, (SELECT count(*) FROM play_history h
            WHERE h.account_id = a.id AND h.played_at > now() - interval '1 day') AS plays
        FROM accounts a LEFT JOIN playback p ON p.account_id = a.id WHERE a.id = ANY(:ids)""",
        {"ids": list(account_ids)},
    ).all()
    gaps = _list_open_gaps(connection, "a.id = ANY(:ids)", {"ids": list(account_ids)})
    return {
        row.id: {
            "read_at": row.read_at.isoformat() if row.read_at else None,
            "last_error": row.last_error,
            "plays_last_day": row.plays,
            "gaps": [each.as_dict() for each in gaps if each.account == row.spotify_user_id],
        }
        for row in rows
    }
