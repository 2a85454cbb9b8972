"""Printed after the demo's sync: what was stored, whether it is correct, and what to do next."""

from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spotisync.cli import formatting
from spotisync.cli.formatting import Document
from spotisync.cli.output import console, print_text
from spotisync.store import demo_queries
from spotisync.store.database import Database

# The endpoints that a full sync reads. Others return further artists, albums and tracks.
SYNCED_ENDPOINTS: Final = {"saved", "playlist", "saved_album", "followed"}

NEXT_STEPS: Final = """
[bold]To sync your own library[/]
 1. Create an app at https://developer.spotify.com/dashboard
    with the redirect URI http://127.0.0.1:8420/accounts/callback
 2. Add the line SPOTIPY_CLIENT_ID=… to a file named .env
 3. Start everything in the directory of that file:
        {program} up
 4. Open http://127.0.0.1:8420/accounts and connect your account. Or, in another terminal:
        {program} login
        {program} sync full --wait
The README describes each step."""


def show(database: Database, run: Document, truth: Document) -> bool:
    """Print the results. Returns whether the row counts equal those of the simulator."""
    with database.begin() as connection:
        stored = demo_queries.count_library(connection)
        answers = {title: demo_queries.run_query(connection, sql) for title, sql in demo_queries.QUESTIONS.items()}
    print_text(
        f"\n[bold]Synced[/] in {formatting.format_run_duration(run)}, with {formatting.format_calls(run)}",
        markup=True,
    )
    _print(_summary(run))
    is_correct = _compare(stored, _count_expected(truth))
    for title, sql in demo_queries.QUESTIONS.items():
        _show_answer(title, sql, answers[title])
    return is_correct


def _summary(run: Document) -> Table:
    table = Table("", box=None)
    for name in ("items", "added", "batches"):
        table.add_column(name, justify="right")
    for name, phase in run["phases"].items():
        table.add_row(name, *(f"{phase[each]:,}" for each in ("items_processed", "items_added", "batches")))
    return table


def _count_expected(truth: Document) -> dict[str, int]:
    catalogue = {
        kind: sum(bool(SYNCED_ENDPOINTS & set(each["seen_in"])) for each in truth[kind].values())
        for kind in ("tracks", "artists", "albums")
    }
    items = sum(len(rows) for rows in truth["playlist_items"].values())
    return {
        "saved_tracks": len(truth["saved_tracks"]),
        **catalogue,
        "playlists": len(truth["playlists"]),
        "playlist_items": items,
    }


def _compare(stored: dict[str, int], expected: dict[str, int]) -> bool:
    table = Table("", box=None)
    for name in ("simulator", "PostgreSQL"):
        table.add_column(name, justify="right")
    for name, number in expected.items():
        table.add_row(
            name.replace("_", " "), f"{number:,}", Text(f"{stored[name]:,}", "" if stored[name] == number else "red")
        )
    print_text("\n[bold]Verification[/]: rows in the simulator and in PostgreSQL", markup=True)
    _print(table)
    is_equal = stored == expected
    print_text(
        "[green]All counts are equal.[/]" if is_equal else "[red]The counts differ. Please report this bug.[/]",
        markup=True,
    )
    return is_equal


def _show_answer(title: str, sql: str, answer: demo_queries.QueryResult) -> None:
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
