"""`python -m benchmarks`: measure on this machine and print one table."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.status import Status

from benchmarks import batches, cells, growth, pages, peers, recovery, repeated_sync, search, web
from benchmarks.cells import Grid
from benchmarks.environment import Environment, create_environment
from benchmarks.report import Measurement, describe_machine, show

EXAMPLES = """
  %(prog)s                                    the main case against the spotipy loop
  %(prog)s --peers                            and against other programs, installed into temporary venvs
  %(prog)s --tracks 50000 --latency 0 --repetitions 1
  %(prog)s --accounts 4 --regime restricted --workers 1 2 3
  %(prog)s details                            recovery, fence, API, searches, pages, growth
"""


@dataclass(frozen=True)
class Scale:
    """The sizes of the details."""

    library: tuple[str, ...]
    repetitions: int
    sizes: dict[int, int]
    rounds: int
    kills: int
    runs: int
    searched_tracks: int
    searches: int
    plays: int


FULL = Scale(("--library", "small"), 5, {2_000: 3, 10_000: 3, 50_000: 2}, 10, 15, 50_000, 100_000, 20, 1_000_000)
QUICK = Scale(("--tracks", "500"), 2, {1_000: 1}, 2, 2, 1_000, 1_000, 2, 5_000)
QUICK_GRID = Grid((500,), (0,), (1,), (1, 2), ("full",), 2)


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: stop everything that was started
    try:
        with create_environment(options.directory) as environment:
            machine = describe_machine(options.directory)
            with Console(stderr=True).status("Starting ...") as status:
                rows = list(_measure(environment, options, status))
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        print(
            json.dumps({"machine": machine, "quick": options.quick, "rows": [row.as_dict() for row in rows]}, indent=2)
        )
    else:
        show(rows, machine, quick=options.quick)


def _measure(environment: Environment, options: argparse.Namespace, status: Status) -> Iterator[Measurement]:
    if options.what == "details":
        yield from _measure_details(environment, QUICK if options.quick else FULL, status)
        return
    status.update("Installing peers ...")
    found = peers.install_all(tuple(options.peers), options.venvs or environment.settings.data_dir / "peers")
    yield from cells.measure(environment, QUICK_GRID if options.quick else _grid(options), found, status)


def _grid(options: argparse.Namespace) -> Grid:
    return Grid(
        tracks=tuple(options.tracks),
        latencies=tuple(options.latency),
        accounts=tuple(options.accounts),
        workers=tuple(sorted(options.workers)),
        regimes=tuple(options.regime),
        repetitions=options.repetitions,
    )


def _measure_details(environment: Environment, scale: Scale, status: Status) -> Iterator[Measurement]:
    status.update("Measuring second syncs ...")
    with environment.simulator(*scale.library, "--warm") as control:
        environment.create_database()
        with environment.worker():
            yield from repeated_sync.measure(environment, control, scale.repetitions)
            status.update("Measuring recovery ...")
            yield from recovery.measure(environment, control, scale.kills)
        status.update("Measuring the fence ...")
        yield from batches.measure(environment, control, scale.rounds)
    status.update("Measuring the API ...")
    yield from web.measure(environment, scale.runs)
    status.update("Measuring searches ...")
    yield from search.measure(environment, scale.searched_tracks, scale.searches)
    status.update("Measuring pages ...")
    yield from pages.measure(environment, scale.searched_tracks, scale.plays, scale.searches)
    status.update("Measuring growth ...")
    yield from growth.measure(environment, scale.sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure on this machine and print one table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", nargs="?", choices=("cells", "details"), default="cells", help="default: full syncs against the loop")
    add("--tracks", type=int, nargs="+", default=[5_000], metavar="N", help="saved tracks; default 5000")
    add("--latency", type=int, nargs="+", default=[0, 40], metavar="MS", help="latency of a reply; default 0 40")
    add("--accounts", type=int, nargs="+", default=[1], metavar="N", help="accounts synced at once; default 1")
    add("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="workers of two processes; default 1 2")
    add("--regime", nargs="+", choices=("full", "restricted"), default=["full"], help="Spotify's API; default full")
    add("--repetitions", type=int, default=5, metavar="N", help="of each cell; default 5")
    add(
        "--peers",
        nargs="*",
        choices=[*peers.KINDS],
        action=_All,
        default=[],
        help="also measure these programs; without a name, all",
    )
    add("--venvs", type=Path, metavar="DIR", help="keep the peers' venvs here; default: removed at the end")
    add("--quick", action="store_true", help="small sizes and few repetitions, in about a minute")
    add("--json", action="store_true", help="print JSON")
    add(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="directory for the servers' files; its disk matters (default: %(default)s)",
    )
    return parser


class _All(argparse.Action):
    """No value stands for every peer."""

    def __call__(self, _: object, namespace: argparse.Namespace, values: object, __: object = None) -> None:
        setattr(namespace, self.dest, values or [*peers.KINDS])


if __name__ == "__main__":
    main()
