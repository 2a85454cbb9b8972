"""`spotisync export`: library and plays as CSV, JSON Lines or Parquet, playlists as M3U8 or JSPF."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import Account, AsJson, open_database
from spotisync.cli.output import open_stdout, print_json, print_text, progress_on_stderr
from spotisync.core.tables import TABLES, AnyFormat, Format, PlaylistFormat, Table

if TYPE_CHECKING:
    from spotisync.sync.playlist_files import WrittenPlaylist

STDOUT: Final = Path("-")
FORMATS_HELP: Final = (
    "csv (with a header), jsonl (one JSON object per line) or parquet (for DuckDB and pandas): one file per table. "
    "m3u8 or jspf: one file per playlist, and one of the saved tracks."
)
FORMULAS: Final = (
    "Leave CSV cells that begin with =, +, -, @, tab or CR as they are. By default they get an apostrophe, since a "
    "spreadsheet would run a name as a formula."
)
PLAYLISTS: Final[tuple[Table, ...]] = ("saved_tracks", "playlists")


To = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="Target directory, or - for stdout with one --only or --playlist.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="TABLE",
        help=f"Export only this table; can be repeated. One of {', '.join(TABLES)}; "
        f"for m3u8 and jspf one of {', '.join(PLAYLISTS)}.",
        show_default="all",
    ),
]
Playlist = Annotated[
    list[str] | None,
    typer.Option(
        "--playlist",
        metavar="NAME",
        help="Export only this playlist (its name, ID, URI or URL) as m3u8 or jspf; can be repeated.",
        show_default="all",
    ),
]
FormatOption = Annotated[AnyFormat, typer.Option("--format", help=FORMATS_HELP)]
Removed = Annotated[bool, typer.Option("--removed", help="Include removed items, with the time of removal.")]
Formulas = Annotated[bool, typer.Option("--formulas", help=FORMULAS)]


def export(
    to: To,
    *,
    account: Account = None,
    only: Only = None,
    playlist: Playlist = None,
    format_: FormatOption = "csv",
    removed: Removed = False,
    formulas: Formulas = False,
    json: AsJson = False,
) -> None:
    """Export the library and the plays, one file per table or per playlist, from one snapshot.

    Only you can read the files. Another spotisync imports them: spotisync import DIRECTORY.
    """
    if format_ == "m3u8" or format_ == "jspf":  # noqa: PLR1714 (mypy narrows the type by this form only)
        if removed or formulas:
            raise typer.BadParameter("not for m3u8 and jspf", param_hint="--removed" if removed else "--formulas")
        _export_playlists(to, account, format_, only, playlist, json=json)
        return
    if playlist:
        raise typer.BadParameter("choose a format for playlists: --format m3u8 or jspf", param_hint="--playlist")
    _export_tables(
        to, account, format_, _parse_tables(only or [*TABLES]), removed=removed, formulas=formulas, json=json
    )


def _export_tables(
    to: Path, account: str | None, format_: Format, tables: list[Table], *, removed: bool, formulas: bool, json: bool
) -> None:
    from spotisync.sync.export import Export

    if to == STDOUT:
        _check_stdout(one=len(tables) == 1, json=json, example="one table, without --json: --only saved_tracks")
        _check_terminal(format_)
    with open_database() as database, _progress(shown=not json) as show:
        request = Export(database, account, format_, show, removed=removed, formulas=formulas)
        if to == STDOUT:
            request.to_stream(tables[0], open_stdout())
            sys.stdout.flush()
            return
        written = request.to_directory(tables, to)
    if json:
        print_json([{"file": str(path), "rows": rows} for path, rows in written.items()])
        return
    from spotisync.status.messages import count_of

    for path, rows in written.items():
        print_text(f"{path}: {count_of(rows, 'row')}")


def _export_playlists(
    to: Path,
    account: str | None,
    format_: PlaylistFormat,
    only: list[str] | None,
    names: list[str] | None,
    *,
    json: bool,
) -> None:
    from spotisync.sync.playlist_files import PlaylistExport

    tables = _parse_tables(only or (["playlists"] if names else [*PLAYLISTS]), PLAYLISTS)
    if names and "playlists" not in tables:
        tables = [*PLAYLISTS]
    saved_tracks = "saved_tracks" in tables
    if to == STDOUT:
        one = len(tables) == 1 and (saved_tracks or len(names or ()) == 1)
        _check_stdout(
            one=one, json=json, example="one playlist, without --json: --playlist NAME or --only saved_tracks"
        )
    chosen = tuple(names) if names else None if "playlists" in tables else ()
    with open_database() as database, _playlist_progress(shown=not json) as show:
        request = PlaylistExport(database, account, format_, show, saved_tracks, chosen)
        if to == STDOUT:
            request.to_stream(open_stdout())
            sys.stdout.flush()
            return
        written = request.to_directory(to)
    if json:
        print_json([each.as_dict() for each in written])
    else:
        _report_playlists(written)


def _report_playlists(written: "list[WrittenPlaylist]") -> None:
    from spotisync.status.messages import count_of

    for each in written:
        if each.path:
            print_text(f"{each.path}: {count_of(each.entries, 'track')}")
    unread = [each for each in written if each.unread]
    if unread:
        names = ", ".join(f"{each.playlist.title} ({each.unread})" for each in unread)
        print_text(f"No file, since their contents are not stored: {names}")


def _check_stdout(*, one: bool, json: bool, example: str) -> None:
    if not one or json:
        raise typer.BadParameter(f"stdout takes exactly {example}", param_hint="-")


def _check_terminal(format_: Format) -> None:
    if format_ == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is binary; redirect stdout to a file: … > plays.parquet", param_hint="-")


def _parse_tables(names: list[str], allowed: tuple[Table, ...] = TABLES) -> list[Table]:
    """Validate the names, since Typer does not support lists of literals."""
    for name in names:
        if name not in allowed:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(allowed)}", param_hint="--only")
    return [table for table in allowed if table in names]


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Table, int, int], None]]:
    """Show a bar per table."""
    with progress_on_stderr(shown=shown) as progress:
        tasks = {}

        def show(table: Table, rows: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table)
            progress.update(tasks[table], completed=rows, total=total)

        yield show


@contextmanager
def _playlist_progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    with progress_on_stderr(shown=shown) as progress:
        task = progress.add_task("playlists", total=None)
        yield lambda written, total: progress.update(task, completed=written, total=total)
