"""Spotify's streaming history: file names, and rows as plays. IP addresses and devices are not read.

There are two: the extended streaming history, and the account data of the last year, which has names instead of track
ids and minutes instead of seconds.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from spotisync.core.parse import moment, number, text
from spotisync.core.plays import WINDOW, Play
from spotisync.core.rows import TrackRow

Skipped = Literal["podcasts", "audiobooks", "without_track", "unreadable"]
# Also why a row of the account data is not imported: no known track, or several, have its name and artist.
SKIPPED: tuple[Skipped | Literal["unmatched"], ...] = (*get_args(Skipped), "unmatched")

EXTENDED = re.compile(r"(?:Streaming_History_(?P<kind>Audio|Video)_.*?|endsong)(?:_(?P<number>\d+))?", re.IGNORECASE)
ACCOUNT_DATA = re.compile(r"StreamingHistory.*", re.IGNORECASE)
# What browsers and file managers add to the name of a second file.
COPY = re.compile(r"\s*(?:-?\s*\(\d+\)|[\s_-]+copy(?:\s*\d+)?|\(copy(?:\s*\d+)?\))$", re.IGNORECASE)
COPY_OF = re.compile(r"^copy of\s+", re.IGNORECASE)
TRACK = re.compile(r"spotify:track:([0-9A-Za-z]{22})")
NUMBER = re.compile(r"-?[0-9]{1,10}")
BEGINNING = datetime(2006, 1, 1, tzinfo=UTC)  # Spotify was founded in 2006
CLOCK_SKEW = timedelta(days=1)
MAX_SECONDS = 10**11  # a larger time is in milliseconds: older files have seconds, newer ones either


@dataclass(frozen=True)
class ImportedPlay:
    """A play, and what its row says about its track."""

    play: Play
    track: TrackRow


@dataclass(frozen=True)
class NamedPlay:
    """A play of the account data, whose track has to be found by the names. `ended_at`: cut to the minute."""

    track: str
    artist: str
    ended_at: datetime
    ms_played: int

    @property
    def names(self) -> tuple[str, str]:
        return self.track, self.artist

    def as_play(self, track_id: str) -> Play:
        return Play(track_id, self.ended_at, "import", self.ms_played, to_minute=True)


def is_row(row: Any) -> bool:
    return isinstance(row, dict) and (_is_extended(row) or _is_account_data(row))


def _is_extended(row: dict[str, Any]) -> bool:
    return "ts" in row and "ms_played" in row


def _is_account_data(row: dict[str, Any]) -> bool:
    return "endTime" in row and "msPlayed" in row


def parse_stopped_at(row: dict[str, Any], now: datetime) -> datetime | None:
    """`ts`: when the track stopped, or when the device reported it. Wrong device clocks give any year."""
    at = moment(row.get("ts") or row.get("endTime"))
    return at if at and BEGINNING <= at <= now + CLOCK_SKEW else None


def parse_play(row: dict[str, Any], now: datetime) -> ImportedPlay | NamedPlay | Skipped:
    return _parse_extended(row, now) if _is_extended(row) else _parse_account_data(row, now)


def _parse_extended(row: dict[str, Any], now: datetime) -> ImportedPlay | Skipped:
    uri = text(row.get("spotify_track_uri")) or ""
    id_ = TRACK.fullmatch(uri)
    if not id_:
        return _describe_other(row)
    at, ms = parse_stopped_at(row, now), _parse_ms(row.get("ms_played"))
    if at is None or ms is None:
        return "unreadable"
    play = Play(id_[1], _played_at(row, at, ms), "import", ms)
    return ImportedPlay(play, TrackRow(id_[1], text(row.get("master_metadata_track_name")), uri))


def _describe_other(row: dict[str, Any]) -> Skipped:
    if row.get("spotify_episode_uri") or row.get("episode_name"):
        return "podcasts"
    if row.get("audiobook_uri") or row.get("audiobook_chapter_uri"):
        return "audiobooks"
    return "without_track"


def _parse_account_data(row: dict[str, Any], now: datetime) -> NamedPlay | Skipped:
    if row.get("podcastName") or row.get("episodeName"):
        return "podcasts"
    if row.get("audiobookName") or row.get("authorName") or row.get("chapterName"):
        return "audiobooks"
    track, artist = text(row.get("trackName")), text(row.get("artistName"))
    if not track or not artist:
        return "without_track"
    at, ms = parse_stopped_at(row, now), _parse_ms(row.get("msPlayed"))
    if at is None or ms is None:
        return "unreadable"
    return NamedPlay(track, artist, at.replace(second=0, microsecond=0), ms)


def _parse_ms(value: Any) -> int | None:
    """Files that were converted, such as by a spreadsheet, have numbers as text."""
    found = number(int(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value)
    return None if found is None else max(0, found)


def _played_at(row: dict[str, Any], at: datetime, ms: int) -> datetime:
    """`ts` of an offline play may be when the device reconnected; `offline_timestamp` is the start of the play."""
    began = _parse_offline_time(row.get("offline_timestamp")) if row.get("offline") is True else None
    if began is None:
        return at
    length = timedelta(milliseconds=ms)
    # Compared by its start: the end of a play that a wrong clock dates to the year 9999 is beyond Python's calendar.
    return began + length if BEGINNING - length <= began <= at - WINDOW - length else at


def _parse_offline_time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value >= MAX_SECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass
class HistoryFileSummary:
    """One file of a streaming history: its number in the series, its number of rows and the interval of their times."""

    name: str
    number: int | None
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    sorted: bool = True
    previous: datetime | None = None

    def add(self, at: datetime | None) -> None:
        """Add a row with this time, if it has one."""
        self.rows += 1
        if at is None:
            return
        self.sorted = self.sorted and (self.previous is None or self.previous <= at)
        self.first, self.last, self.previous = min(self.first or at, at), max(self.last or at, at), at


def is_history_name(name: str) -> bool:
    stem = _stem(name)
    return stem is not None and bool(EXTENDED.fullmatch(stem) or ACCOUNT_DATA.fullmatch(stem))


def file_number(name: str) -> int | None:
    found = EXTENDED.fullmatch(_stem(name) or "")
    return int(found["number"]) if found and found["number"] else None


def covers_audio(name: str) -> bool:
    """Whether a file of this name has every play of its period: not if it is of the account data, or of videos."""
    found = EXTENDED.fullmatch(_stem(name.rpartition("/")[2]) or "")
    return found is not None and (found["kind"] or "Audio").casefold() == "audio"


def _stem(name: str) -> str | None:
    """The name of a JSON file as Spotify gave it, without the ending."""
    stem, dot, ending = name.rpartition(".")
    if not dot or ending.casefold() != "json":
        return None
    while (shorter := COPY.sub("", COPY_OF.sub("", stem)).strip()) != stem:
        stem = shorter
    return stem


def covered_spans(parts: Iterable[HistoryFileSummary]) -> list[tuple[datetime, datetime]]:
    """The intervals in which the history is complete.

    Newer files are in order within and across files. Older ones are shuffled across all files, so that only an
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
    audio = [part for part in parts if covers_audio(part.name)]
    for part in sorted(audio, key=lambda part: -1 if part.number is None else part.number):
        last = groups[-1][-1].number if groups else None
        follows = last is not None and part.number in (last, last + 1)  # the same number: a copy
        if follows:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
