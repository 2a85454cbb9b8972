"""Spotify's privacy export: its files by name, its rows as plays. Addresses and devices are not read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from spotisync.core.parse import moment, number, text
from spotisync.core.plays import WINDOW, Play
from spotisync.core.rows import TrackRow

Skipped = Literal["podcasts", "audiobooks", "without_track", "unreadable"]
SKIPPED: tuple[Skipped, ...] = ("podcasts", "audiobooks", "without_track", "unreadable")

EXTENDED = re.compile(r"(?:Streaming_History_Audio_.*?|endsong)(?:_(\d+))?\.json", re.IGNORECASE)
BASIC = re.compile(r"StreamingHistory.*\.json", re.IGNORECASE)
TRACK = re.compile(r"spotify:track:([0-9A-Za-z]{22})")
BEGINNING = datetime(2006, 1, 1, tzinfo=UTC)  # there was no Spotify before
CLOCKS_DIFFER = timedelta(days=1)
SECONDS_UNTIL = 10**11  # a time beyond is in milliseconds: older exports have seconds, newer ones either


@dataclass(frozen=True)
class ImportedPlay:
    """A play of a track, with all that the export says of the track."""

    play: Play
    track: TrackRow


def is_history_row(row: Any) -> bool:
    return isinstance(row, dict) and "ts" in row and "ms_played" in row


def is_account_data_row(row: Any) -> bool:
    """Of the export that everybody gets first: no track ids, minutes instead of seconds, one year."""
    return isinstance(row, dict) and "endTime" in row and "msPlayed" in row


def parse_stopped_at(row: dict[str, Any], now: datetime) -> datetime | None:
    """`ts`: when the track stopped, or when the device told. Devices whose clock is wrong have told any year."""
    at = moment(row.get("ts"))
    return at if at and BEGINNING <= at <= now + CLOCKS_DIFFER else None


def parse_play(row: dict[str, Any], now: datetime) -> ImportedPlay | Skipped:
    if row.get("spotify_episode_uri") or row.get("episode_name"):
        return "podcasts"
    if row.get("audiobook_uri") or row.get("audiobook_chapter_uri"):
        return "audiobooks"
    uri = text(row.get("spotify_track_uri")) or ""
    id_ = TRACK.fullmatch(uri)
    if not id_:
        return "without_track"
    at, ms = parse_stopped_at(row, now), number(row.get("ms_played"))
    if at is None or ms is None:
        return "unreadable"
    play = Play(id_[1], _played_at(row, at, max(0, ms)), "import", max(0, ms))
    return ImportedPlay(play, TrackRow(id_[1], text(row.get("master_metadata_track_name")), uri))


def _played_at(row: dict[str, Any], at: datetime, ms: int) -> datetime:
    """Of a play without a connection, `ts` may be when the device came back; it noted itself when the play began."""
    began = _offline(row.get("offline_timestamp")) if row.get("offline") is True else None
    if began is None:
        return at
    ended = began + timedelta(milliseconds=ms)
    return ended if BEGINNING <= ended <= at - WINDOW else at


def _offline(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value >= SECONDS_UNTIL else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True)
class HistoryFileSummary:
    """One file of an export: its number in the row of files, how many rows it has and from when to when."""

    name: str
    number: int | None
    rows: int
    first: datetime | None
    last: datetime | None
    sorted: bool


def file_number(name: str) -> int | None:
    found = EXTENDED.fullmatch(name)
    return int(found[1]) if found and found[1] else None


def covered_spans(parts: Iterable[HistoryFileSummary]) -> list[tuple[datetime, datetime]]:
    """From when to when nothing is missing.

    Newer exports are in order, from file to file; older ones are shuffled over all their files, and prove something
    only together, from the first one on.
    """
    found = []
    for group in _in_a_row(parts):
        times = [time for part in group for time in (part.first, part.last) if time]
        if times and (all(part.sorted for part in group) or group[0].number == 0):
            found.append((min(times), max(times)))
    return found


def _in_a_row(parts: Iterable[HistoryFileSummary]) -> list[list[HistoryFileSummary]]:
    groups: list[list[HistoryFileSummary]] = []
    for part in sorted(parts, key=lambda part: -1 if part.number is None else part.number):
        follows = groups and groups[-1][-1].number is not None and part.number == groups[-1][-1].number + 1
        if follows:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
