"""What an account has listened to, from the sums that triggers keep; days and hours are those of a time zone.

A play counts from 30 seconds on, or if its length is unknown; the time listened includes all plays. A play counts for
each artist of its track, and for each of their genres.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, get_args

from spotisync.core.listening import has_whole_hours
from spotisync.store.database import Connection, execute

Kind = Literal["tracks", "artists", "albums", "genres"]
# As in migrations/versions/0020_listening.py.
_PLAYS: Final = "count(*) FILTER (WHERE h.ms_played IS NULL OR h.ms_played >= 30000)"
_MS: Final = "COALESCE(sum(COALESCE(h.ms_played, t.duration_ms)), 0)"
_ARTIST: Final = """(SELECT string_agg(r.name, ', ' ORDER BY x.position) FROM track_artists x
    JOIN artists r ON r.id = x.artist_id WHERE x.track_id = t.id)"""
_SINCE_OR_EVER: Final = "COALESCE(CAST(:since AS timestamptz), '-infinity')"
_ALBUM_ARTIST: Final = _ARTIST.replace("track_artists", "album_artists").replace("x.track_id", "x.album_id")


@dataclass(frozen=True)
class DayTotal:
    day: date
    plays: int
    ms: int


@dataclass(frozen=True)
class HourTotal:
    """The sum over all such hours. `weekday`: 1 is Monday."""

    weekday: int
    hour: int
    plays: int
    ms: int


@dataclass(frozen=True)
class Favourite:
    """An entry of a list of what was played most. `id`: None for a genre; `artist`: of tracks and albums."""

    kind: Kind
    id: str | None
    name: str
    artist: str | None
    image_url: str | None
    plays: int
    ms: int


@dataclass(frozen=True)
class TrackPlays:
    """All plays of a track."""

    id: str
    name: str
    artist: str | None
    plays: int
    ms: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Anniversary:
    """The plays of one day, and the track that was played most."""

    day: date
    plays: int
    id: str
    name: str
    artist: str | None


@dataclass(frozen=True)
class Ranking:
    """What was played most in a time, and how many tracks were played."""

    favourites: dict[Kind, list[Favourite]]
    tracks: int


def allow_memory(connection: Connection) -> None:
    """Let sums over many tracks stay in memory, until the end of the transaction."""
    execute(connection, "SET LOCAL work_mem = '32MB'")


def list_days(connection: Connection, account_id: int, zone: str) -> list[DayTotal]:
    """All days with plays, in order."""
    found = execute(
        connection,
        f"""SELECT CAST(slot AT TIME ZONE :zone AS date) AS day, CAST(sum(plays) AS integer) AS plays,
            CAST(sum(ms) AS bigint) AS ms
        FROM {_get_slots(zone)} WHERE account_id = :account_id GROUP BY 1 ORDER BY 1""",
        {"account_id": account_id, "zone": zone},
    )
    return [DayTotal(**row) for row in found.mappings()]


def list_hours(connection: Connection, account_id: int, zone: str, since: datetime | None) -> list[HourTotal]:
    """The hours of the week with plays since a moment, or ever."""
    found = execute(
        connection,
        # OFFSET 0 keeps Postgres from converting the time twice.
        f"""SELECT CAST(date_part('isodow', local) AS integer) AS weekday,
            CAST(date_part('hour', local) AS integer) AS hour,
            CAST(sum(plays) AS integer) AS plays, CAST(sum(ms) AS bigint) AS ms
        FROM (SELECT slot AT TIME ZONE :zone AS local, plays, ms FROM {_get_slots(zone)}
            WHERE account_id = :account_id AND slot >= {_SINCE_OR_EVER} OFFSET 0) l
        GROUP BY 1, 2 ORDER BY 1, 2""",
        {"account_id": account_id, "zone": zone, "since": since},
    )
    return [HourTotal(**row) for row in found.mappings()]


def _get_slots(zone: str) -> str:
    """The sums by hour, unless days or hours of the zone can begin within one."""
    return (
        "(SELECT account_id, hour AS slot, plays, ms FROM listening_hours) s"
        if has_whole_hours(zone)
        else "listening_slots"
    )


def count_new(connection: Connection, account_id: int, since: datetime | None) -> int:
    """How many tracks were played for the first time since a moment, or ever."""
    found = execute(
        connection,
        f"""SELECT count(*) FROM listened_tracks
        WHERE account_id = :account_id AND first_at >= {_SINCE_OR_EVER} AND plays > 0""",
        {"account_id": account_id, "since": since},
    )
    return int(found.scalar_one())


def read_ranking(connection: Connection, account_id: int, since: datetime | None, limit: int) -> Ranking:
    """What was played most since a moment, or ever: by plays, then by time listened."""
    allow_memory(connection)
    found = execute(
        connection,
        _FAVOURITES.format(played=_SINCE if since else _EVER),
        {"account_id": account_id, "since": since, "limit": limit},
    )
    rows = found.mappings().all()
    kinds: tuple[Kind, ...] = get_args(Kind)
    return Ranking(
        favourites={kind: [Favourite(**row) for row in rows if row["kind"] == kind] for kind in kinds},
        tracks=next(row["plays"] for row in rows if row["kind"] == "all"),
    )


_EVER = """SELECT l.track_id, t.album_id, l.plays, l.ms FROM listened_tracks l JOIN tracks t ON t.id = l.track_id
    WHERE l.account_id = :account_id AND l.plays > 0"""
# Grouped before the join: there are many plays of few tracks.
_SINCE = f"""SELECT h.track_id, t.album_id, h.plays, h.ms + h.unknown * COALESCE(t.duration_ms, 0) AS ms FROM (
        SELECT track_id, {_PLAYS} AS plays, COALESCE(sum(h.ms_played), 0) AS ms,
            count(*) - count(h.ms_played) AS unknown
        FROM play_history h WHERE h.account_id = :account_id AND h.played_at >= :since GROUP BY 1) h
    JOIN tracks t ON t.id = h.track_id WHERE h.plays > 0"""
_TOP = "CAST(sum(plays) AS integer) AS plays, CAST(sum(ms) AS bigint) AS ms"
_ORDER = "ORDER BY plays DESC, ms DESC, id LIMIT :limit"
_FAVOURITES = f"""WITH played AS MATERIALIZED ({{played}}),
    by_artist AS MATERIALIZED (SELECT x.artist_id AS id, {_TOP} FROM played p JOIN track_artists x USING (track_id)
        GROUP BY 1),
    by_album AS (SELECT album_id AS id, {_TOP} FROM played WHERE album_id IS NOT NULL GROUP BY 1 {_ORDER})
    (SELECT 'tracks' AS kind, t.id, t.name, {_ARTIST} AS artist, b.image_url, CAST(p.plays AS integer) AS plays,
        CAST(p.ms AS bigint) AS ms
    FROM (SELECT track_id AS id, plays, ms FROM played {_ORDER}) p JOIN tracks t ON t.id = p.id
        LEFT JOIN albums b ON b.id = t.album_id)
    UNION ALL (SELECT 'artists', r.id, r.name, NULL, r.image_url, p.plays, p.ms
    FROM (SELECT * FROM by_artist {_ORDER}) p JOIN artists r ON r.id = p.id)
    UNION ALL (SELECT 'albums', t.id, t.name, {_ALBUM_ARTIST}, t.image_url, p.plays, p.ms
    FROM by_album p JOIN albums t ON t.id = p.id)
    UNION ALL (SELECT 'genres', NULL, g AS id, NULL, NULL, {_TOP}
    FROM by_artist p JOIN artists r ON r.id = p.id, unnest(r.genres) g GROUP BY g {_ORDER})
    UNION ALL (SELECT 'all', NULL, '', NULL, NULL, CAST(count(*) AS integer), 0 FROM played)
    ORDER BY kind, plays DESC, ms DESC, id, name"""


def list_loved(connection: Connection, account_id: int, limit: int) -> list[TrackPlays]:
    """The tracks played most of all."""
    found = execute(
        connection,
        f"""SELECT t.id, t.name, {_ARTIST} AS artist, l.plays, l.ms, l.first_at, l.last_at
        FROM (SELECT * FROM listened_tracks WHERE account_id = :account_id AND plays > 0
            ORDER BY plays DESC, ms DESC, track_id LIMIT :limit) l JOIN tracks t ON t.id = l.track_id
        ORDER BY l.plays DESC, l.ms DESC, t.id""",
        {"account_id": account_id, "limit": limit},
    )
    return [TrackPlays(**row) for row in found.mappings()]


def find_track_plays(connection: Connection, account_id: int, track_id: str) -> TrackPlays | None:
    found = execute(
        connection,
        f"""SELECT t.id, t.name, {_ARTIST} AS artist, l.plays, l.ms, l.first_at, l.last_at
        FROM listened_tracks l JOIN tracks t ON t.id = l.track_id
        WHERE l.account_id = :account_id AND l.track_id = :track_id""",
        {"account_id": account_id, "track_id": track_id},
    )
    row = found.mappings().one_or_none()
    return TrackPlays(**row) if row else None


def list_anniversaries(connection: Connection, account_id: int, zone: str, today: date) -> list[Anniversary]:
    """The plays of this day in each earlier year, the latest first. On 29 February only of leap years.

    A midnight can occur twice. So two hours more are read at both ends, and the date decides.
    """
    found = execute(
        connection,
        f"""SELECT p.day, p.plays, t.id, t.name, {_ARTIST} AS artist FROM (
            SELECT DISTINCT ON (d.day) d.day, CAST(sum(p.plays) OVER (PARTITION BY d.day) AS integer) AS plays,
                p.track_id
            FROM (SELECT make_date(y, :month, :day) AS day
                FROM generate_series((SELECT CAST(extract(year FROM min(slot) AT TIME ZONE :zone) AS integer)
                    FROM listening_slots WHERE account_id = :account_id), :year - 1) y
                WHERE :month <> 2 OR :day <> 29 OR y % 4 = 0 AND (y % 100 <> 0 OR y % 400 = 0)) d
            CROSS JOIN LATERAL (SELECT h.track_id, {_PLAYS} AS plays, {_MS} AS ms
                FROM play_history h JOIN tracks t ON t.id = h.track_id
                WHERE h.account_id = :account_id AND CAST(h.played_at AT TIME ZONE :zone AS date) = d.day
                AND h.played_at >= CAST(d.day AS timestamp) AT TIME ZONE :zone - interval '2 hours'
                AND h.played_at < CAST(d.day + 1 AS timestamp) AT TIME ZONE :zone + interval '2 hours'
                GROUP BY 1 HAVING {_PLAYS} > 0) p
            ORDER BY d.day DESC, p.plays DESC, p.ms DESC, p.track_id) p
        JOIN tracks t ON t.id = p.track_id ORDER BY p.day DESC""",
        {"account_id": account_id, "zone": zone, "year": today.year, "month": today.month, "day": today.day},
    )
    return [Anniversary(**row) for row in found.mappings()]
