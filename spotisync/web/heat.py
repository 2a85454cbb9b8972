"""The numbers of heat maps and curves, as SVG attributes: the security policy forbids inline styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from spotisync.core.listening import LEVELS, WEEK, CalendarDay
from spotisync.store.listening import HourTotal

# Units of the view box: a cell and the gap beside it.
STEP: Final = 13
HOURS: Final = 24
GROWTH_HEIGHT: Final = 100
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Cell:
    x: int
    y: int
    level: int
    label: str


@dataclass(frozen=True)
class CalendarChart:
    """A column for each week, a row for each weekday. `months`: where their first week is."""

    cells: list[Cell]
    months: list[tuple[int, str]]
    width: int
    days: list[CalendarDay]

    @property
    def plays(self) -> int:
        return sum(each.plays for each in self.days)

    @property
    def top_days(self) -> list[CalendarDay]:
        """The days with plays, the latest first, for the table behind the chart."""
        return [each for each in reversed(self.days) if each.plays]


@dataclass(frozen=True)
class WeekChart:
    """A column for each hour, a row for each weekday. `rows`: the plays of each weekday by hour."""

    cells: list[Cell]
    rows: list[tuple[str, list[int]]]

    @property
    def busiest(self) -> str | None:
        """`Fri 18:00`; None without plays."""
        most = max((plays for _, row in self.rows for plays in row), default=0)
        places = ((name, hour) for name, row in self.rows for hour, plays in enumerate(row) if plays == most)
        return "{} {:02}:00".format(*next(places)) if most else None


@dataclass(frozen=True)
class GrowthChart:
    """Paths of an area and of the line above it; `labels` are months, evenly spread below."""

    width: int
    height: int
    area: str
    line: str
    labels: list[str]


def make_growth_chart(sizes: Sequence[tuple[date, int]]) -> GrowthChart:
    """A chart of sizes at the ends of consecutive months."""
    values = [0, *(size for _, size in sizes)]
    most, width = max(1, *values), 10 * (len(values) - 1)
    points = " ".join(f"L{10 * n} {GROWTH_HEIGHT - value * GROWTH_HEIGHT / most:.1f}" for n, value in enumerate(values))
    line = f"M{points[1:]}"
    middle = sizes[len(sizes) // 2][0]
    labels = [f"{day:%b %Y}" for day in dict.fromkeys((sizes[0][0], middle, sizes[-1][0]))]
    return GrowthChart(width, GROWTH_HEIGHT, f"{line} L{width} {GROWTH_HEIGHT} Z", line, labels)


def make_calendar_chart(weeks: Sequence[Sequence[CalendarDay]]) -> CalendarChart:
    cells = [
        Cell(column * STEP, row * STEP, each.level, f"{_format(each.day)}: {_count(each.plays)}")
        for column, week in enumerate(weeks)
        for row, each in enumerate(week)
    ]
    first_days = [week[0].day for week in weeks]
    months = [
        (column * STEP, f"{day:%b}")
        for column, day in enumerate(first_days[:-1])
        # A month that had begun before would overlap with the next label, one in the last column would be cut off.
        if column and day.month != first_days[column - 1].month
    ]
    return CalendarChart(cells, months, len(weeks) * STEP, [each for week in weeks for each in week])


def make_week_chart(hours: Sequence[HourTotal]) -> WeekChart:
    plays = {(each.weekday, each.hour): each.plays for each in hours}
    most = max(plays.values(), default=0)
    cells = [
        Cell(hour * STEP, (day - 1) * STEP, _level(plays.get((day, hour), 0), most), _name(day, hour, plays))
        for day in range(1, WEEK + 1)
        for hour in range(HOURS)
    ]
    rows = [(WEEKDAYS[day - 1], [plays.get((day, hour), 0) for hour in range(HOURS)]) for day in range(1, WEEK + 1)]
    return WeekChart(cells, rows)


def _level(plays: int, most: int) -> int:
    return -(-plays * LEVELS // most) if plays else 0  # rounded up


def _name(day: int, hour: int, plays: dict[tuple[int, int], int]) -> str:
    return f"{WEEKDAYS[day - 1]} {hour:02}:00: {_count(plays.get((day, hour), 0))}"


def _format(day: date) -> str:
    return f"{WEEKDAYS[day.weekday()]} {day.day} {day:%b %Y}"


def _count(plays: int) -> str:
    return f"{plays:,} {'play' if plays == 1 else 'plays'}"
