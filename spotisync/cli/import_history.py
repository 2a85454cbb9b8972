"""`spotisync import`: import plays from Spotify's streaming history or from another spotisync's export."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import Account, AsJson, open_database
from spotisync.cli.output import print_json, print_text, progress_on_stderr

if TYPE_CHECKING:
    from spotisync.sync.import_export import ExportSummary
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
            help="Spotify's my_spotify_data.zip, a directory, or a file such as Streaming_History_Audio_….json; "
            "or what spotisync export wrote: its directory, or plays and saved_tracks as .csv, .jsonl or .parquet.",
        ),
    ],
    *,
    account: Account = None,
    json: AsJson = False,
) -> None:
    """Import plays from Spotify's streaming history, or from another spotisync's export.

    The extended streaming history and the account data of the last year are accepted. A play that is already
    stored is skipped, so a file can be imported again. The account data has no track ids: its plays are imported
    if exactly one known track has their name and artist.

    From an export come the plays, and the tracks that were saved once (export with --removed); what is saved now is
    read from Spotify. If a row is invalid, nothing is imported.
    """
    from spotisync.sync.export_files import is_export
    from spotisync.sync.import_export import import_export
    from spotisync.sync.import_history import import_history

    with open_database() as database, _progress(shown=not json) as show:
        exported = is_export(path)
        summary = (import_export if exported else import_history)(database, account, path, show)
    if json:
        print_json(summary.as_dict())
    else:
        _print(summary)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    with progress_on_stderr(shown=shown) as progress:
        task = progress.add_task("reading files", total=None)
        yield lambda rows, total: progress.update(task, description="importing", completed=rows, total=total)


def _print(summary: "ExportSummary | ImportSummary") -> None:
    from spotisync.sync.import_export import ExportSummary

    if isinstance(summary, ExportSummary):
        _print_export_summary(summary)
    else:
        _print_summary(summary)


def _print_export_summary(summary: "ExportSummary") -> None:
    from spotisync.status.messages import count_of

    print_text(f"Read {count_of(summary.rows, 'row')} of {', '.join(summary.files)}.")
    plays = count_of(summary.plays_added, "play")
    print_text(f"Imported {plays} for {summary.account}; {_count_known(summary.plays_known)}.")
    if summary.removed_added or summary.removed_known:
        tracks = count_of(summary.removed_added, "track that was saved once", "tracks that were saved once")
        print_text(f"Imported {tracks}; {_count_known(summary.removed_known)}.")
    if summary.skipped["repeated"]:
        print_text(f"Rows skipped: {summary.skipped['repeated']:,} (repeated).")
    if summary.skipped["still_saved"]:
        print_text(
            f"Tracks that are still saved there: {summary.skipped['still_saved']:,}. A sync reads yours from Spotify."
        )
    _print_left_out(summary.left_out)


def _count_known(rows: int) -> str:
    return f"{rows:,} {'was' if rows == 1 else 'were'} already stored"


def _print_left_out(left_out: list[str]) -> None:
    if left_out:
        names = [*left_out[:NAMED_FILES], "…"] if len(left_out) > NAMED_FILES else left_out
        print_text(f"Files left out: {len(left_out):,} ({', '.join(names)}).")


def _print_summary(summary: "ImportSummary") -> None:
    from spotisync.status.messages import count_of

    print_text(
        f"Imported {count_of(summary.added, 'play')} for {summary.account}; {_count_known(summary.known)}. "
        f"Rows read: {summary.rows:,}."
    )
    skipped = [f"{summary.skipped[key]:,} ({label})" for key, label in SKIP_REASONS.items() if summary.skipped[key]]
    if skipped:
        print_text(f"Rows skipped: {', '.join(skipped)}.")
    if summary.skipped["unmatched"]:
        print_text("Sync the library and import again, or request the extended streaming history, which has track ids.")
    _print_left_out(summary.left_out)
    if summary.gaps_closed:
        print_text(f"Gaps in the play history closed: {summary.gaps_closed}.")
