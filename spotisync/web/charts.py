"""The numbers of the budget page's charts, as SVG attributes: the security policy forbids inline styles."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.status.times import now

Document = dict[str, Any]
# Units of the view box. A column of an hour is ten wide.
HEIGHT: Final = 60
STEP: Final = 10
# Hours with a label on the axis.
LABELLED: Final = (-24, -12, 0, 12, 24)


@dataclass(frozen=True)
class HourColumn:
    x: int
    y: float
    height: float
    is_coming: bool


@dataclass(frozen=True)
class HourRow:
    """An hour in the table behind a chart."""

    begin: str
    end: str
    calls: int
    is_coming: bool


def get_columns(family: Document) -> Iterator[HourColumn]:
    """A column for each of the 24 hours before and after now; the largest fills the chart."""
    hours = [*family["past"], *family["coming"]]
    most = max(1, *hours)
    for number, calls in enumerate(hours):
        # A single call stays visible beside a thousand.
        height = round(max(1.5, calls * HEIGHT / most), 1) if calls else 0.0
        yield HourColumn(number * STEP, round(HEIGHT - height, 1), height, number >= len(family["past"]))


def get_most(family: Document) -> int:
    most: int = max(*family["past"], *family["coming"])
    return most


def get_rows(document: Document, family: Document) -> list[HourRow]:
    """The hours with calls."""
    first, zone = now(document) - timedelta(hours=24), ZoneInfo(document["time_zone"])

    def clock(hour: int) -> str:
        return (first + timedelta(hours=hour)).astimezone(zone).strftime("%a %H:%M")

    hours = enumerate([*family["past"], *family["coming"]])
    return [HourRow(clock(hour), clock(hour + 1), calls, hour >= 24) for hour, calls in hours if calls]


def get_labels(document: Document) -> list[tuple[int, str]]:
    """Percent of the width and time of the labels of the axis."""
    zone, at = ZoneInfo(document["time_zone"]), now(document)
    return [((hours + 24) * 100 // 48, _label(at, hours, zone)) for hours in LABELLED]


def _label(at: datetime, hours: int, zone: ZoneInfo) -> str:
    return "now" if not hours else (at + timedelta(hours=hours)).astimezone(zone).strftime("%H:%M")


@dataclass(frozen=True)
class BudgetBar:
    """Percent of the bar's width. A bar ends at the ceiling, or at what is spent beyond it."""

    spent: float
    allowance: float
    ceiling: float
    style: str


def get_bar(family: Document) -> BudgetBar | None:
    """None without a ceiling."""
    ceiling = family["ceiling"]
    if not ceiling:
        return None
    full = max(ceiling, family["spent"])
    spent, allowance = 100 * family["spent"] / full, 100 * family["allowance"] / full
    style = "failed" if family["spent"] >= ceiling else "rate_limited" if spent >= allowance else "in_progress"
    return BudgetBar(round(spent, 2), round(allowance, 2), round(100 * ceiling / full, 2), style)
