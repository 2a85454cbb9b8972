"""Figures for `spotisync report`. Call `begin_snapshot` first, so that all are of one moment."""

from typing import Any, Final

from spotisync.core.report import (
    WEEKDAYS,
    Counted,
    Ranked,
    ReportCounts,
    ReportData,
    ReportPlaylist,
    fill,
    fill_months,
)
from spotisync.store.database import Connection, execute

# What Spotify counts as a play. Recently played does not tell how long a track was heard.
_COUNTED: Final = "(h.ms_played IS NULL OR h.ms_played >= 30000)"
_HOURS: Final = "COALESCE(sum(COALESCE(h.ms_played, t.duration_ms)), 0) / 3600000.0"
_SAVED: Final = """saved_tracks s JOIN tracks t ON t.id = s.track_id
    {join} WHERE s.account_id = :account_id AND s.removed_at IS NULL"""
_PLAYED: Final = f"""play_history h JOIN tracks t ON t.id = h.track_id
    {{join}} WHERE h.account_id = :account_id AND {_COUNTED}"""
_BY_ARTIST: Final = "JOIN track_artists x ON x.track_id = t.id JOIN artists g ON g.id = x.artist_id"
_BY_ALBUM: Final = "JOIN albums g ON g.id = t.album_id"
_BY_TRACK: Final = "JOIN tracks g ON g.id = t.id"
_ARTISTS_OF: Final = """(SELECT string_agg(a.name, ', ' ORDER BY y.position) FROM {of}_artists y
    JOIN artists a ON a.id = y.artist_id WHERE y.{of}_id = g.id)"""


def read_report(connection: Connection, account_id: int, zone: str, top: int) -> ReportData:
    values = {"account_id": account_id, "top": top, "zone": zone}
    account = execute(
        connection, "SELECT spotify_user_id, display_name, now() AS at FROM accounts WHERE id = :account_id", values
    ).one()
    return ReportData(
        account=account.spotify_user_id,
        display_name=account.display_name,
        made_at=account.at,
        zone=zone,
        top=top,
        counts=_read_counts(connection, values),
        growth=_read_growth(connection, values),
        decades=_read_decades(connection, values),
        hours=fill([f"{hour:02}" for hour in range(24)], _count_plays(connection, values, "hour")),
        weekdays=fill(WEEKDAYS, {day - 1: n for day, n in _count_plays(connection, values, "isodow").items()}),
        artists_saved=_rank(connection, values, _SAVED, _BY_ARTIST),
        albums_saved=_rank(connection, values, _SAVED, _BY_ALBUM, of="album"),
        artists_played=_rank(connection, values, _PLAYED, _BY_ARTIST, hours=True),
        albums_played=_rank(connection, values, _PLAYED, _BY_ALBUM, of="album", hours=True),
        tracks_played=_rank(connection, values, _PLAYED, _BY_TRACK, of="track", hours=True),
        playlists=_read_playlists(connection, values),
    )


def _read_counts(connection: Connection, values: dict[str, Any]) -> ReportCounts:
    found = execute(
        connection,
        f"""SELECT saved.*, played.*,
            (SELECT count(*) FROM saved_albums WHERE account_id = :account_id AND removed_at IS NULL) AS saved_albums,
            (SELECT count(*) FROM followed_artists WHERE account_id = :account_id AND removed_at IS NULL)
                AS followed_artists,
            (SELECT count(DISTINCT g.id) FROM {_SAVED.format(join=_BY_ARTIST)}) AS artists,
            (SELECT count(*) FROM account_playlists WHERE account_id = :account_id AND removed_at IS NULL) AS playlists
        FROM (SELECT count(*) AS saved_tracks, COALESCE(sum(t.duration_ms), 0) / 3600000.0 AS saved_hours
                FROM {_SAVED.format(join="")}) saved,
            (SELECT count(*) FILTER (WHERE {_COUNTED}) AS plays, {_HOURS} AS played_hours,
                min(h.played_at) AS first_play, max(h.played_at) AS last_play
                FROM play_history h JOIN tracks t ON t.id = h.track_id WHERE h.account_id = :account_id) played""",
        values,
    )
    return ReportCounts(**found.mappings().one())


def _read_growth(connection: Connection, values: dict[str, Any]) -> list[Counted]:
    """By the months in which the tracks that are saved now were saved."""
    found = execute(
        connection,
        f"""SELECT CAST(extract(year FROM m) AS integer), CAST(extract(month FROM m) AS integer), n
        FROM (SELECT date_trunc('month', s.added_at AT TIME ZONE :zone) AS m, count(*) AS n
            FROM {_SAVED.format(join="")} GROUP BY 1) months""",
        values,
    )
    return fill_months((year, month, count) for year, month, count in found)


def _read_decades(connection: Connection, values: dict[str, Any]) -> list[Counted]:
    found = execute(
        connection,
        f"""SELECT CAST(extract(year FROM g.released_on) AS integer) / 10 * 10 AS decade, count(*) AS n
        FROM {_SAVED.format(join="LEFT JOIN albums g ON g.id = t.album_id")} GROUP BY 1 ORDER BY 1 NULLS LAST""",
        values,
    )
    return [Counted("unknown" if row.decade is None else f"{row.decade}s", row.n) for row in found]


def _count_plays(connection: Connection, values: dict[str, Any], part: str) -> dict[int, int]:
    """Plays by a part of their time on the clock of the listener's time zone."""
    found = execute(
        connection,
        f"""SELECT CAST(extract({part} FROM h.played_at AT TIME ZONE :zone) AS integer) AS part, count(*) AS n
        FROM {_PLAYED.format(join="")} GROUP BY 1""",
        values,
    )
    return {row.part: row.n for row in found}


def _rank(
    connection: Connection,
    values: dict[str, Any],
    source: str,
    join: str,
    of: str | None = None,
    *,
    hours: bool = False,
) -> list[Ranked]:
    """The items with the most rows. `of`: whose artists to name."""
    found = execute(
        connection,
        f"""SELECT g.name, {_ARTISTS_OF.format(of=of) if of else "NULL"} AS artists, n, hours
        FROM (SELECT g.id, g.name, count(*) AS n, {_HOURS if hours else "NULL"} AS hours
            FROM {source.format(join=join)} GROUP BY g.id ORDER BY count(*) DESC, g.name, g.id LIMIT :top) g
        ORDER BY n DESC, g.name, g.id""",
        values,
    )
    return [Ranked(row.name, row.artists, row.n, None if row.hours is None else float(row.hours)) for row in found]


def _read_playlists(connection: Connection, values: dict[str, Any]) -> list[ReportPlaylist]:
    """The largest playlists."""
    found = execute(
        connection,
        """SELECT p.name, COALESCE(p.owner_name, p.owner_id) AS owner,
            COALESCE(p.total_items, (SELECT NULLIF(count(*), 0) FROM playlist_items i WHERE i.playlist_id = p.id)) AS n
        FROM account_playlists l JOIN playlists p ON p.id = l.playlist_id
        WHERE l.account_id = :account_id AND l.removed_at IS NULL
        ORDER BY n DESC NULLS LAST, p.name, p.id LIMIT :top""",
        values,
    )
    return [ReportPlaylist(row.name, row.owner, row.n) for row in found]
