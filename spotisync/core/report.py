"""The figures of `spotisync report`, and the sizes of its bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_NAME: Final = 120  # characters; bounds the report's size, whatever the names
MAX_MONTHS: Final = 240


@dataclass(frozen=True)
class Ranked:
    """An item of a list that is ordered by `count`. `hours`: of plays."""

    name: str | None
    by: str | None
    count: int
    hours: float | None = None


@dataclass(frozen=True)
class Counted:
    """A column of a chart: a month, a decade, an hour or a weekday. `total`: of this and earlier columns."""

    label: str
    count: int
    total: int | None = None


@dataclass(frozen=True)
class ReportPlaylist:
    """`items`: as Spotify counts them; None if unknown."""

    name: str | None
    owner: str | None
    items: int | None


@dataclass(frozen=True)
class ReportCounts:
    saved_tracks: int
    saved_hours: float
    saved_albums: int
    followed_artists: int
    artists: int
    playlists: int
    plays: int
    played_hours: float
    first_play: datetime | None
    last_play: datetime | None


@dataclass(frozen=True)
class ReportData:
    """All figures of a report, from one snapshot."""

    account: str
    display_name: str | None
    made_at: datetime
    zone: str
    top: int
    counts: ReportCounts
    growth: list[Counted]
    decades: list[Counted]
    hours: list[Counted]
    weekdays: list[Counted]
    artists_saved: list[Ranked]
    albums_saved: list[Ranked]
    artists_played: list[Ranked]
    albums_played: list[Ranked]
    tracks_played: list[Ranked]
    playlists: list[ReportPlaylist]


def shorten(name: str | None) -> str:
    if not name:
        return "(no name)"
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def percentages(counts: Sequence[int]) -> list[float]:
    """The size of each bar; the largest fills the chart, and the smallest that is not 0 stays visible."""
    most = max(counts, default=0)
    return [max(0.5, round(100 * count / most, 1)) if count else 0.0 for count in counts]


def fill_months(months: Iterable[tuple[int, int, int]]) -> list[Counted]:
    """Every month from the first to the last, at most the last `MAX_MONTHS`, with running totals.

    `months`: year, month and count of those that have any.
    """
    counts = {year * 12 + month - 1: count for year, month, count in months}
    if not counts:
        return []
    last = max(counts)
    first = max(min(counts), last - MAX_MONTHS + 1)
    total = sum(count for month, count in counts.items() if month < first)
    filled = []
    for month in range(first, last + 1):
        total += counts.get(month, 0)
        filled.append(Counted(f"{month // 12:04}-{month % 12 + 1:02}", counts.get(month, 0), total))
    return filled


def fill(labels: Sequence[str], counts: dict[int, int]) -> list[Counted]:
    """A column for each label; `counts` has the number of a column, from 0."""
    return [Counted(label, counts.get(number, 0)) for number, label in enumerate(labels)]
