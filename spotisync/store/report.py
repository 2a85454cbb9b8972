"""Figures for `spotisync report`. Call `begin_snapshot` first, so that all are of one moment."""

from collections import Counter
from collections.abc import Callable, Sequence
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
from spotisync.store import library_figures, listening
from spotisync.store.database import Connection, execute
from spotisync.store.library_figures import Share
from spotisync.store.listening import Favourite, HourTotal

_MS_PER_HOUR: Final = 3_600_000
_SAVED: Final = """saved_tracks s JOIN tracks t ON t.id = s.track_id
    {join} WHERE s.account_id = :account_id AND s.removed_at IS NULL"""
_BY_ARTIST: Final = "JOIN track_artists x ON x.track_id = t.id JOIN artists g ON g.id = x.artist_id"
_BY_ALBUM: Final = "JOIN albums g ON g.id = t.album_id"
_ARTISTS_OF_ALBUM: Final = """(SELECT string_agg(a.name, ', ' ORDER BY y.position) FROM album_artists y
    JOIN artists a ON a.id = y.artist_id WHERE y.album_id = g.id)"""


def read_report(connection: Connection, account_id: int, zone: str, top: int) -> ReportData:
    values = {"account_id": account_id, "top": top}
    account = execute(
        connection, "SELECT spotify_user_id, display_name, now() AS at FROM accounts WHERE id = :account_id", values
    ).one()
    counts = _read_counts(connection, values)
    months = library_figures.count_months(connection, account_id, zone)
    decades = library_figures.count_shares(connection, account_id, top)["decades"]
    hours = listening.list_hours(connection, account_id, zone, None)
    played = listening.read_ranking(connection, account_id, None, top).favourites
    return ReportData(
        account=account.spotify_user_id,
        display_name=account.display_name,
        made_at=account.at,
        zone=zone,
        top=top,
        counts=counts,
        growth=fill_months((each.month.year, each.month.month, each.tracks) for each in months),
        decades=_name_decades(decades, counts.saved_tracks),
        hours=fill([f"{hour:02}" for hour in range(24)], _sum(hours, lambda each: each.hour)),
        weekdays=fill(WEEKDAYS, _sum(hours, lambda each: each.weekday - 1)),
        artists_saved=_rank(connection, values, _BY_ARTIST, "NULL"),
        albums_saved=_rank(connection, values, _BY_ALBUM, _ARTISTS_OF_ALBUM),
        artists_played=_rank_played(played["artists"]),
        albums_played=_rank_played(played["albums"]),
        tracks_played=_rank_played(played["tracks"]),
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
        FROM (SELECT count(*) AS saved_tracks, COALESCE(sum(t.duration_ms), 0) / {_MS_PER_HOUR}.0 AS saved_hours
                FROM {_SAVED.format(join="")}) saved,
            (SELECT CAST(COALESCE(sum(plays), 0) AS integer) AS plays,
                COALESCE(sum(ms), 0) / {_MS_PER_HOUR}.0 AS played_hours,
                min(first_at) AS first_play, max(last_at) AS last_play
                FROM listened_tracks WHERE account_id = :account_id) played""",
        values,
    )
    return ReportCounts(**found.mappings().one())


def _name_decades(decades: Sequence[Share], saved: int) -> list[Counted]:
    named = [Counted(f"{each.name}s", each.tracks) for each in decades]
    unknown = saved - sum(each.tracks for each in decades)
    return [*named, Counted("unknown", unknown)] if unknown else named


def _sum(hours: Sequence[HourTotal], part: Callable[[HourTotal], int]) -> dict[int, int]:
    """Plays by a part of the hour of the week."""
    sums = Counter[int]()
    for each in hours:
        sums[part(each)] += each.plays
    return sums


def _rank_played(found: Sequence[Favourite]) -> list[Ranked]:
    return [Ranked(each.name, each.artist, each.plays, each.ms / _MS_PER_HOUR) for each in found]


def _rank(connection: Connection, values: dict[str, Any], join: str, artists: str) -> list[Ranked]:
    """The items with the most saved tracks."""
    found = execute(
        connection,
        f"""SELECT g.name, {artists} AS artists, n
        FROM (SELECT g.id, g.name, count(*) AS n
            FROM {_SAVED.format(join=join)} GROUP BY g.id ORDER BY count(*) DESC, g.name, g.id LIMIT :top) g
        ORDER BY n DESC, g.name, g.id""",
        values,
    )
    return [Ranked(row.name, row.artists, row.n) for row in found]


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
