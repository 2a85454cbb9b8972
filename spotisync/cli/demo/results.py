"""What is printed when the demo's sync is over: what came in, whether it is right, where to look next."""

from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spotisync.cli import formatting
from spotisync.cli.formatting import Document
from spotisync.cli.output import console, print_text
from spotisync.store import demo_queries
from spotisync.store.database import Database

# The pages that a full sync reads. The simulator knows of artists, albums and tracks from others, too.
READ: Final = {"saved", "playlist", "saved_album", "followed"}

NEXT: Final = """
[bold]Your own library[/]
 1. Create an app at https://developer.spotify.com/dashboard
    with the redirect URI http://127.0.0.1:8420/accounts/callback
 2. Put SPOTIPY_CLIENT_ID=… into a file named .env
 3. In that directory, start everything:
        {program} up
 4. Open http://127.0.0.1:8420/accounts, and connect your account. Or, in another terminal there:
        {program} login
        {program} sync full --wait
The README has each step in full."""


def show(database: Database, run: Document, truth: Document) -> bool:
    """Print it all; false if the tables are not what the simulator says."""
    with database.begin() as connection:
        stored = demo_queries.count_rows(connection)
        answers = {title: demo_queries.run_query(connection, sql) for title, sql in demo_queries.QUESTIONS.items()}
    print_text(
        f"\n[bold]What came in[/], in {formatting.format_duration(run)} with {formatting.format_calls(run)}",
        markup=True,
    )
    _print(_summary(run))
    right = _compare(stored, _counts(truth))
    for title, sql in demo_queries.QUESTIONS.items():
        _show_answer(title, sql, answers[title])
    return right


def _summary(run: Document) -> Table:
    table = Table("", box=None)
    for name in ("items", "added", "batches"):
        table.add_column(name, justify="right")
    for name, phase in run["phases"].items():
        table.add_row(name, *(f"{phase[each]:,}" for each in ("items_processed", "items_added", "batches")))
    return table


def _counts(truth: Document) -> dict[str, int]:
    met = {
        kind: sum(bool(READ & set(each["seen_in"])) for each in truth[kind].values())
        for kind in ("tracks", "artists", "albums")
    }
    items = sum(len(rows) for rows in truth["playlist_items"].values())
    return {
        "saved_tracks": len(truth["saved_tracks"]),
        **met,
        "playlists": len(truth["playlists"]),
        "playlist_items": items,
    }


def _compare(stored: dict[str, int], told: dict[str, int]) -> bool:
    table = Table("", box=None)
    for name in ("simulator", "Postgres"):
        table.add_column(name, justify="right")
    for name, number in told.items():
        table.add_row(
            name.replace("_", " "), f"{number:,}", Text(f"{stored[name]:,}", "" if stored[name] == number else "red")
        )
    print_text("\n[bold]Is it right?[/] What the simulator has, and what is in Postgres", markup=True)
    _print(table)
    right = stored == told
    print_text(
        "[green]All counts are equal.[/]" if right else "[red]The counts differ: that is a bug, please report it.[/]",
        markup=True,
    )
    return right


def _show_answer(title: str, sql: str, answer: demo_queries.Answer) -> None:
    console().print(Text(f"\n{title}", "bold"))
    console().print(Text(f"{sql};", "dim"), soft_wrap=True)
    table = Table(box=None)
    for name, value in zip(answer.columns, next(iter(answer.rows), answer.columns), strict=True):
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in answer.rows:
        table.add_row(*(Text(str(value)) for value in row))
    _print(table)


def _print(table: Table) -> None:
    console().print(Padding(table, (0, 0, 0, 1), expand=False))
