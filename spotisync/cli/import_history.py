"""`spotisync import`: import plays from Spotify's streaming history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import Account, AsJson, open_database
from spotisync.cli.output import print_json, print_text, progress_on_stderr

if TYPE_CHECKING:
    from spotisync.sync.import_history import ImportSummary

SKIP_REASONS: Final = {
    "podcasts": "podcasts",
    "audiobooks": "audiobooks",
    "without_track": "without a track",
    "unreadable": "unreadable",
    "unmatched": "not matched to a known track",
}
NAMED_FILES: Final = 10  # the terminal names no more files that were left out; --json names all


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            help="my_spotify_data.zip, a directory, or a file such as Streaming_History_Audio_….json.",
        ),
    ],
    *,
    account: Account = None,
    json: AsJson = False,
) -> None:
    """Import plays from Spotify's extended streaming history, or from the account data of the last year.

    A play that is already stored is skipped, so a file can be imported again. The account data has no track
    ids: its plays are imported if exactly one known track has their name and artist.
    """
    from spotisync.sync.import_history import import_history

    with open_database() as database, _progress(shown=not json) as show:
        summary = import_history(database, account, path, show)
    if json:
        print_json(summary.as_dict())
    else:
        _print_summary(summary)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    with progress_on_stderr(shown=shown) as progress:
        task = progress.add_task("reading files", total=None)
        yield lambda rows, total: progress.update(task, description="importing", completed=rows, total=total)


def _print_summary(summary: "ImportSummary") -> None:
    print_text(
        f"Imported {summary.added:,} plays for {summary.account}; {summary.known:,} were already stored. "
        f"Rows read: {summary.rows:,}."
    )
    skipped = [f"{summary.skipped[key]:,} ({label})" for key, label in SKIP_REASONS.items() if summary.skipped[key]]
    if skipped:
        print_text(f"Rows skipped: {', '.join(skipped)}.")
    if summary.skipped["unmatched"]:
        print_text("Sync the library and import again, or request the extended streaming history, which has track ids.")
    if summary.left_out:
        names = [*summary.left_out[:NAMED_FILES], "…"] if len(summary.left_out) > NAMED_FILES else summary.left_out
        print_text(f"Files left out: {len(summary.left_out):,} ({', '.join(names)}).")
    if summary.gaps_closed:
        print_text(f"Gaps in the play history closed: {summary.gaps_closed}.")
