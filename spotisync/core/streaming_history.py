"""Spotify's privacy export: file names, and rows as plays. IP addresses and devices are not read."""

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
BEGINNING = datetime(2006, 1, 1, tzinfo=UTC)  # Spotify was founded in 2006
CLOCK_SKEW = timedelta(days=1)
MAX_SECONDS = 10**11  # a larger time is in milliseconds: older exports have seconds, newer ones either


@dataclass(frozen=True)
class ImportedPlay:
    """A play, and the export's data on its track."""

    play: Play
    track: TrackRow


def is_history_row(row: Any) -> bool:
    return isinstance(row, dict) and "ts" in row and "ms_played" in row


def is_account_data_row(row: Any) -> bool:
    """A row of the account data, which Spotify sends first: no track ids, minutes instead of seconds, one year."""
    return isinstance(row, dict) and "endTime" in row and "msPlayed" in row


def parse_stopped_at(row: dict[str, Any], now: datetime) -> datetime | None:
    """`ts`: when the track stopped, or when the device reported it. Wrong device clocks give any year."""
    at = moment(row.get("ts"))
    return at if at and BEGINNING <= at <= now + CLOCK_SKEW else None


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
    """`ts` of an offline play may be when the device reconnected; `offline_timestamp` is the start of the play."""
    began = _parse_offline_time(row.get("offline_timestamp")) if row.get("offline") is True else None
    if began is None:
        return at
    ended = began + timedelta(milliseconds=ms)
    return ended if BEGINNING <= ended <= at - WINDOW else at


def _parse_offline_time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value >= MAX_SECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True)
class HistoryFileSummary:
    """One file of an export: its number in the series, its number of rows and the interval that they cover."""

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
    """The intervals in which the export is complete.

    Newer exports are in order within and across files. Older ones are shuffled across all files, so that only an
    unbroken series from the first file on is complete.
    """
    found = []
    for group in _consecutive(parts):
        times = [time for part in group for time in (part.first, part.last) if time]
        if times and (all(part.sorted for part in group) or group[0].number == 0):
            found.append((min(times), max(times)))
    return found


def _consecutive(parts: Iterable[HistoryFileSummary]) -> list[list[HistoryFileSummary]]:
    groups: list[list[HistoryFileSummary]] = []
    for part in sorted(parts, key=lambda part: -1 if part.number is None else part.number):
        follows = groups and groups[-1][-1].number is not None and part.number == groups[-1][-1].number + 1
        if follows:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
