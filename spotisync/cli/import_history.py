"""`spotisync import`: plays from before, and from between, out of Spotify's privacy export."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.resources import open_database

if TYPE_CHECKING:
    from spotisync.sync.import_history import ImportSummary, Tell

NOT_IMPORTED: Final = {
    "podcasts": "of podcasts",
    "audiobooks": "of audiobooks",
    "without_track": "without a track",
    "unreadable": "unreadable",
}


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, help="my_spotify_data.zip, a directory, or one Streaming_History_Audio_….json."
        ),
    ],
    *,
    account: Account = None,
    json: AsJson = False,
) -> None:
    """Import Spotify's extended streaming history. It can be done again: no play is stored twice."""
    from spotisync.sync.import_history import import_history

    with open_database() as database, _bar(shown=not json) as tell:
        done = import_history(database, account, path, tell)
    if json:
        print_json(done.as_dict())
    else:
        _say(done)


@contextmanager
def _bar(*, shown: bool) -> Iterator["Tell"]:
    """On stderr, while the words are for stdout."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not (shown and screen.is_terminal)) as progress:
        task = progress.add_task("looking through the files", total=None)

        def tell(rows: int, total: int) -> None:
            progress.update(task, description="importing", completed=rows, total=total)

        yield tell


def _say(done: "ImportSummary") -> None:
    print_text(f"{done.added:,} plays imported for {done.account}, {done.known:,} were known; {done.rows:,} rows read.")
    skipped = [f"{done.skipped[why]:,} {words}" for why, words in NOT_IMPORTED.items() if done.skipped[why]]
    if skipped:
        print_text(f"Not imported: {', '.join(skipped)}.")
    if done.gaps_closed:
        print_text(f"Gaps in what was heard that are closed now: {done.gaps_closed}.")
