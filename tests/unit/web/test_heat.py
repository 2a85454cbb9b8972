"""The numbers of heat maps and of the growth curve."""

import re
from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.listening import LEVELS, make_calendar
from spotisync.store.listening import HourTotal
from spotisync.web.heat import HOURS, STEP, make_calendar_chart, make_growth_chart, make_week_chart

TODAY = date(2026, 11, 30)  # a Monday


def test_a_calendar_has_a_column_for_each_week() -> None:
    plays = {TODAY: 3, TODAY - timedelta(days=1): 1, TODAY - timedelta(days=400): 9}
    chart = make_calendar_chart(make_calendar(plays, TODAY, 53))
    assert (len(chart.cells), chart.width) == (52 * 7 + 1, 53 * STEP)
    last, before = chart.cells[-1], chart.cells[-2]
    assert (last.x, last.y, last.label) == (52 * STEP, 0, "Mon 30 Nov 2026: 3 plays")
    assert (before.x, before.y, before.label) == (51 * STEP, 6 * STEP, "Sun 29 Nov 2026: 1 play")
    assert (last.level, before.level, chart.cells[0].level) == (LEVELS, 2, 0)
    assert [(each.day, each.plays) for each in chart.top_days] == [(TODAY, 3), (TODAY - timedelta(days=1), 1)]
    assert chart.plays == 4, "not that of the year before"


def test_months_are_labelled_where_they_begin_and_do_not_overlap() -> None:
    for days in range(366):
        chart = make_calendar_chart(make_calendar({}, TODAY + timedelta(days=days), 53))
        places = [x for x, _ in chart.months]
        assert len(places) in {11, 12}
        assert all(after - place >= 4 * STEP for place, after in pairwise(places))
        assert places[0] > 0
        assert places[-1] <= chart.width - 2 * STEP, "a label needs two columns"


def test_a_week_without_plays_has_no_busiest_hour() -> None:
    chart = make_week_chart([])
    assert chart.busiest is None
    assert {cell.level for cell in chart.cells} == {0}
    assert len(chart.cells) == 7 * HOURS


@given(st.dictionaries(st.tuples(st.integers(1, 7), st.integers(0, 23)), st.integers(0, 10_000), max_size=30))
def test_hours_keep_their_plays_and_their_order_of_levels(plays: dict[tuple[int, int], int]) -> None:
    chart = make_week_chart([HourTotal(day, hour, count, 0) for (day, hour), count in plays.items()])
    assert sum(sum(row) for _, row in chart.rows) == sum(plays.values())
    levels = {(cell.y // STEP + 1, cell.x // STEP): cell.level for cell in chart.cells}
    for place, count in plays.items():
        assert chart.rows[place[0] - 1][1][place[1]] == count
        assert (levels[place] == 0) == (count == 0)
    ranked = sorted(plays, key=lambda place: plays[place])
    assert [levels[place] for place in ranked] == sorted(levels[place] for place in ranked)
    if most := max(plays.values(), default=0):
        assert max(levels.values()) == LEVELS
        day, hour = re.fullmatch(r"(\w{3}) (\d\d):00", chart.busiest or "").groups()  # type: ignore[union-attr]
        assert dict(chart.rows)[day][int(hour)] == most


def test_growth_rises_from_nothing_to_the_top() -> None:
    months = [(date(2026, n, 1), size) for n, size in ((1, 5), (2, 5), (3, 20))]
    chart = make_growth_chart(months)
    assert chart.line == "M0 100.0 L10 75.0 L20 75.0 L30 0.0"
    assert chart.area == f"{chart.line} L30 100 Z"
    assert (chart.width, chart.labels) == (30, ["Jan 2026", "Feb 2026", "Mar 2026"])


def test_growth_of_one_month_and_of_nothing_left() -> None:
    assert make_growth_chart([(TODAY, 1)]).labels == ["Nov 2026"]
    assert make_growth_chart([(TODAY, 0)]).line == "M0 100.0 L10 100.0"
