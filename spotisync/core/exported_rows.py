"""Rows of another spotisync's export: parsing, and merging its plays with the stored ones.

A row is already one play, unlike a report of Spotify. So a row that is stored already is recognised by its track and
time, and only stored plays that the file lacks are compared with the other rows.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final, Literal, get_args

from spotisync.core.parse import EPOCH, INT4_MAX, text
from spotisync.core.plays import Key, MergedPlays, Play, Source, merge_reports
from spotisync.core.rows import AlbumRow, ArtistRow, TrackRow
from spotisync.core.streaming_history import CLOCK_SKEW

ImportedTable = Literal["plays", "saved_tracks"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
_NEEDED: Final[dict[ImportedTable, set[str]]] = {
    "plays": {"track_id", "played_at"},
    "saved_tracks": {"track_id", "added_at", "removed_at"},
}
_ID: Final = re.compile(r"[0-9A-Za-z]{22}")
_FORMULA: Final = re.compile(r"'[=+\-@\t\r\n]")


@dataclass(frozen=True)
class ExportedTrack:
    """A track with its artists and album, for tracks that the catalogue lacks."""

    track: TrackRow
    artists: tuple[ArtistRow, ...]
    album: AlbumRow | None


@dataclass(frozen=True)
class ExportedPlay:
    play: Play
    track: ExportedTrack


@dataclass(frozen=True)
class ExportedSave:
    """A saved track. `removed_at`: when it was no longer saved."""

    track: ExportedTrack
    added_at: datetime
    removed_at: datetime | None


def table_of(columns: Collection[str]) -> ImportedTable | None:
    """The table that a file with these columns was exported from, if it can be imported."""
    return next((table for table, needed in _NEEDED.items() if needed <= set(columns)), None)


def from_csv(row: Mapping[str, str | None]) -> dict[str, Any]:
    """Undo what the export did for CSV. An empty cell is null; one apostrophe before a formula is removed."""
    cells = {name: _unquote(cell) for name, cell in row.items()}
    ids = (cells.get("artist_ids") or "").split()
    names = [name or None for name in (cells.get("artists") or "").split("; ")]
    # A name may contain the separator; then the names stay unknown.
    return {**cells, "artist_ids": ids, "artists": names if len(names) == len(ids) else [None] * len(ids)}


def _unquote(cell: str | None) -> str | None:
    return (cell[1:] if _FORMULA.match(cell) else cell) if cell else None


def parse_play(row: Mapping[str, Any], now: datetime) -> ExportedPlay:
    """Raises `ValueError` with the column and what is wrong with it."""
    track = _parse_track(row)
    played_at = _parse_time(row, "played_at", now)
    if played_at is None:
        raise ValueError("played_at is empty")
    ms_played = _parse_number(row, "ms_played")
    play = Play(track.track.id, played_at, _parse_source(row), ms_played, text(row.get("context_uri")) or None)
    return ExportedPlay(play, track)


def _parse_source(row: Mapping[str, Any]) -> Source:
    value = row.get("source") or "import"
    for source in SOURCES:
        if value == source:
            return source
    raise ValueError(f"source is {_show(value)}, not recent or import")


def parse_save(row: Mapping[str, Any], now: datetime) -> ExportedSave:
    """Raises `ValueError` with the column and what is wrong with it."""
    added_at, removed_at = _parse_time(row, "added_at", now), _parse_time(row, "removed_at", now)
    if added_at is None:
        raise ValueError("added_at is empty")
    return ExportedSave(_parse_track(row), added_at, removed_at)


def _parse_track(row: Mapping[str, Any]) -> ExportedTrack:
    id_ = _parse_id(row.get("track_id"), "track_id")
    artists = _parse_artists(row)
    album = None
    if row.get("album_id"):
        album_id = _parse_id(row["album_id"], "album_id")
        album = AlbumRow(album_id, text(row.get("album")), f"spotify:album:{album_id}")
    track = TrackRow(
        id_,
        text(row.get("name")),
        f"spotify:track:{id_}",
        album.id if album else None,
        duration_ms=_parse_number(row, "duration_ms"),
        explicit=_parse_flag(row, "explicit"),
        disc_number=_parse_number(row, "disc_number"),
        track_number=_parse_number(row, "track_number"),
        isrc=text(row.get("isrc")),
        artist_ids=tuple(artist.id for artist in artists) or None,
    )
    return ExportedTrack(track, artists, album)


def _parse_artists(row: Mapping[str, Any]) -> tuple[ArtistRow, ...]:
    ids, names = row.get("artist_ids") or [], row.get("artists") or []
    if not isinstance(ids, list) or not isinstance(names, list):
        raise ValueError("artist_ids or artists is no list")  # noqa: TRY004 (as for every other column)
    names = [*names, *[None] * len(ids)]
    parsed = [_parse_id(id_, "artist_ids") for id_ in ids]
    return tuple(ArtistRow(id_, text(names[n]), f"spotify:artist:{id_}") for n, id_ in enumerate(parsed))


def _parse_id(value: Any, column: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{column} is {_show(value)}, not the ID of a Spotify item (22 letters and digits)")
    return value


def _parse_time(row: Mapping[str, Any], column: str, now: datetime) -> datetime | None:
    """A file of Parquet has times, the others ISO 8601. Without a time zone it is not known which instant is meant."""
    value = row.get(column)
    if value is None:
        return None
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        at = parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError(f"{column} is {_show(value)}, not a time with a time zone such as 2024-01-31T12:00:00+00:00")
    if not EPOCH <= at <= now + CLOCK_SKEW:
        raise ValueError(f"{column} is {_show(value)}: before 1970 or in the future")
    return at


def _parse_number(row: Mapping[str, Any], column: str) -> int | None:
    value = row.get(column)
    if value is None:
        return None
    found = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value) else value
    if type(found) is not int or not 0 <= found <= INT4_MAX:
        raise ValueError(f"{column} is {_show(value)}, not a whole number from 0 to {INT4_MAX:,}")
    return found


def _parse_flag(row: Mapping[str, Any], column: str) -> bool | None:
    value = row.get(column)
    flags = {None: None, True: True, False: False, "t": True, "f": False, "true": True, "false": False}
    if isinstance(value, list | dict) or value not in flags:
        raise ValueError(f"{column} is {_show(value)}, not true or false")
    return flags[value]


def _show(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def merge_plays(stored: Iterable[Play], exported: Collection[Play], in_file: Collection[Key]) -> MergedPlays:
    """Merge plays of an export with the stored plays near them. `in_file`: the stored plays that the file has too.

    A stored play keeps its values; the file fills in those that are missing.
    """
    same = {_key(play): play for play in stored}
    others = _by_track(play for key, play in same.items() if key not in in_file)
    done = MergedPlays([], [], [], 0)
    similar = list[Play]()
    for play in exported:
        if known := same.get(_key(play)):
            filled = _fill_missing(known, play)
            done = replace(done, known=done.known + 1)
            done.filled.extend([filled] if filled != known else [])
        elif play.track_id in others:
            similar.append(play)
        else:
            done.added.append(play)
    return _merge_similar(done, others, similar)


def _merge_similar(done: MergedPlays, others: dict[str, list[Play]], similar: list[Play]) -> MergedPlays:
    """Compare with stored plays of the same track that the file does not have, as any import does."""
    rows = {_key(play) for play in similar}
    # A row of recently played that has a length was completed by an import, so its time is known to be its end.
    for source, has_length in product(("import", "recent"), (True, False)):
        plays = [play for play in similar if play.source == source and (play.ms_played is not None) == has_length]
        known = [play for track_id in {play.track_id for play in plays} for play in others.get(track_id, ())]
        merged = merge_reports(known, plays, repeated=False)
        gone = {_key(play) for play in merged.replaced}
        # Both sources can fill in one stored play; the later row has what both know.
        filled = {_key(play): play for play in done.filled if _key(play) not in gone}
        filled |= {_key(play): play for play in merged.filled}
        done = MergedPlays(
            [*done.added, *merged.added],
            [*filled.values()],
            [*done.replaced, *merged.replaced],
            done.known + len(plays) - len(merged.added),
        )
        kept = {_key(play): play for plays in others.values() for play in plays if _key(play) not in gone}
        kept |= {_key(play): play for play in merged.filled}
        # A play that moved to the time of a row is that row, so it is compared with no other row.
        others = _by_track(play for key, play in kept.items() if key not in rows)
    return done


def _fill_missing(known: Play, play: Play) -> Play:
    ms_played = play.ms_played if known.ms_played is None else known.ms_played
    return replace(known, ms_played=ms_played, context_uri=known.context_uri or play.context_uri)


def _by_track(plays: Iterable[Play]) -> dict[str, list[Play]]:
    found = defaultdict[str, list[Play]](list)
    for play in plays:
        found[play.track_id].append(play)
    return dict(found)


def _key(play: Play) -> Key:
    return play.track_id, play.played_at
