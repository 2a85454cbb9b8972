"""Pictures of a listening life: by day, hour and weekday, what was played most, and how the library grew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spotisync.core.listening import (
    Range,
    cumulate,
    find_current_streak,
    find_longest_streak,
    get_first_day,
    get_midnight,
    make_calendar,
)
from spotisync.status import MOST_ACCOUNTS
from spotisync.store import accounts, library_figures, listening
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.store.listening import DayTotal, Kind
from spotisync.web.dependencies import ConnectionDep, ContextDep
from spotisync.web.heat import make_calendar_chart, make_growth_chart, make_week_chart
from spotisync.web.pages.home import AccountName
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

RANGES: Final[dict[Range, str]] = {"4w": "4 weeks", "6m": "6 months", "1y": "12 months", "all": "All time"}
TITLES: Final[dict[Kind, str]] = {"artists": "Artists", "tracks": "Tracks", "albums": "Albums", "genres": "Genres"}
LISTED: Final = 10
WEEKS: Final = 53


@dataclass(frozen=True)
class Totals:
    """Sums over the days of a range."""

    plays: int
    hours: float
    days: int


@router.get("/stats")
def show_listening(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    account: AccountName = None,
    chosen: Annotated[Range, Query(alias="range")] = "1y",
) -> Response:
    known = choose_account(connection, account)
    values = _load_listening(connection, known, context.settings.zone, chosen) if known else {}
    return render_page(request, "stats.html", **load_frame(connection, known, chosen, "/stats"), **values)


@router.get("/stats/library")
def show_library(
    request: Request, connection: ConnectionDep, context: ContextDep, account: AccountName = None
) -> Response:
    known = choose_account(connection, account)
    values = _load_library(connection, known.id, context.settings.zone) if known else {}
    return render_page(request, "stats_library.html", **load_frame(connection, known, "1y", "/stats/library"), **values)


def choose_account(connection: Connection, name: str | None) -> Account | None:
    """The named account, or else the first one; None if there is none."""
    known = accounts.find_name(connection, name)
    return accounts.find_account(connection, known) if known else next(iter(accounts.list_first(connection, 1)), None)


def load_frame(connection: Connection, account: Account | None, chosen: Range, path: str) -> dict[str, Any]:
    """Values of the tabs and of the choice of an account."""
    chosen_name = account.spotify_user_id if account else None
    return {
        "account": chosen_name,
        "names": accounts.list_names(connection, MOST_ACCOUNTS, chosen_name),
        "ranges": RANGES,
        "chosen": chosen,
        "path": path,
    }


def _load_listening(connection: Connection, account: Account, zone: str, chosen: Range) -> dict[str, Any]:
    today = datetime.now(ZoneInfo(zone)).date()
    first = get_first_day(chosen, today)
    since = get_midnight(first, zone) if first else None
    days = listening.list_days(connection, account.id, zone)
    played = [each.day for each in days if each.plays]
    plays = {each.day: each.plays for each in days}
    return {
        "today": today,
        "zone": ZoneInfo(zone),
        "has_plays": bool(days),
        "totals": _sum([each for each in days if first is None or each.day >= first]),
        "new": listening.count_new(connection, account.id, since),
        "longest": find_longest_streak(played),
        "current": find_current_streak(played, today),
        "calendar": make_calendar_chart(make_calendar(plays, today, WEEKS)),
        "years": _sum_years(days),
        "week": make_week_chart(listening.list_hours(connection, account.id, zone, since)),
        "ranking": listening.read_ranking(connection, account.id, since, LISTED),
        "titles": TITLES,
        "loved": listening.list_loved(connection, account.id, LISTED),
        "anniversaries": listening.list_anniversaries(connection, account.id, zone, today),
    }


def _sum(days: Sequence[DayTotal]) -> Totals:
    plays, ms = sum(each.plays for each in days), sum(each.ms for each in days)
    return Totals(plays, ms / 3_600_000, sum(each.plays > 0 for each in days))


def _sum_years(days: Sequence[DayTotal]) -> list[tuple[int, Totals]]:
    years = sorted({each.day.year for each in days}, reverse=True)
    return [(year, _sum([each for each in days if each.day.year == year])) for year in years]


def _load_library(connection: Connection, account_id: int, zone: str) -> dict[str, Any]:
    months = {each.month: each.tracks for each in library_figures.count_months(connection, account_id, zone)}
    today = datetime.now(ZoneInfo(zone)).date()
    undated = library_figures.count_undated(connection, account_id)
    if undated and not months:
        months = {today.replace(day=1): 0}
    growth = cumulate(months, today, undated)
    return {
        "growth": growth,
        "chart": make_growth_chart(growth) if growth else None,
        "by_year": _sum_growth(months, growth),
        "shares_of": library_figures.count_shares(connection, account_id, LISTED),
    }


def _sum_growth(months: Mapping[date, int], growth: Sequence[tuple[date, int]]) -> list[tuple[int, int, int]]:
    """Year, tracks added in it, and the size at its end; the latest first."""
    sizes = {month.year: size for month, size in growth}
    added = {year: sum(tracks for month, tracks in months.items() if month.year == year) for year in sizes}
    return [(year, added[year], size) for year, size in sorted(sizes.items(), reverse=True)]
