"""`spotisync report`: the library in figures, as one HTML file that needs nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import Account, AsJson, open_database
from spotisync.cli.output import open_stdout, print_json, print_text

if TYPE_CHECKING:
    from spotisync.core.report import ReportData

STDOUT: Final = Path("-")
TEMPLATES: Final = Path(__file__).parent / "templates"


def report(
    to: Annotated[
        Path, typer.Argument(metavar="FILE", help="The HTML file to write, such as library.html; - for stdout.")
    ],
    *,
    account: Account = None,
    top: Annotated[int, typer.Option("--top", help="Length of each list.", min=1, max=500)] = 25,
    json: AsJson = False,
) -> None:
    """Write the library's figures to one HTML file: growth, decades, top artists and albums, plays, playlists.

    The file needs no network and no other file, works on a phone and in the dark, and has a table behind each chart.
    Hours and days are those of SPOTISYNC_TIMEZONE. Only you can read the file.
    """
    from spotisync.settings import settings
    from spotisync.sync.output_files import create_directory, open_atomically
    from spotisync.sync.report import read_report

    if to == STDOUT and json:
        raise typer.BadParameter("stdout takes the report or, with --json, its summary", param_hint="-")
    with open_database() as database:
        page = render_report(read_report(database, account, settings().zone, top)).encode()
    if to == STDOUT:
        open_stdout().write(page)
        return
    create_directory(to.parent)
    with open_atomically(to) as file:
        file.write(page)
    if json:
        print_json({"file": str(to), "bytes": len(page)})
    else:
        print_text(f"{to}: {len(page):,} bytes")


def render_report(data: "ReportData") -> str:
    """The page. Jinja escapes all names."""
    from zoneinfo import ZoneInfo

    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from spotisync.core.report import Ranked, percentages, shorten

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    zone = ZoneInfo(data.zone)
    return environment.get_template("report.html").render(
        data=data,
        decades=[Ranked(each.label, None, each.count) for each in data.decades],
        hour_labels=[each.label if number % 6 == 0 else "" for number, each in enumerate(data.hours)],
        weekday_labels=[each.label[:2] for each in data.weekdays],
        ends=lambda columns: [columns[0].label, columns[-1].label] if len(columns) > 1 else [columns[0].label],
        local=lambda at: at.astimezone(zone),
        percentages=percentages,
        shorten=shorten,
        zip=zip,
    )
