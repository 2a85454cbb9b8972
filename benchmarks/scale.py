"""`python -m benchmarks.scale`: many accounts and several workers on this machine, in one table."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.status import Status

from benchmarks import scale_accounts, scale_day, scale_workers
from benchmarks.environment import Environment, connect, create_environment
from benchmarks.report import Measurement, describe_machine, show
from benchmarks.scale_day import LISTENERS, TRACE, Day
from spotisync.settings import settings
from spotisync.store import migrate
from spotisync.sync import Context

DATABASE = "spotisync"
EXAMPLES = """
  %(prog)s                                          what docs/scale.md shows
  %(prog)s day --days idle@1 --minutes 10           the load of an idle day, in real time
  %(prog)s day --days busy@1 busy@2 busy@4          up to which rate syncs begin in time
  %(prog)s workers --accounts 100 --workers 4 --latency 120
  %(prog)s --accounts 30 --minutes 0.3 --workers 1  whether everything works

IDLE: nothing was played for two weeks. BUSY: something was played today, and changes are likely at any hour. The speed
divides the intervals of schedules and the life of access tokens; everything else is in real time, also the lateness.
Spotify is the simulator, and the pace (SPOTISYNC_API_RATE) is off. CPU and memory are read from /proc: on Linux only.
"""


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: stop everything that was started
    try:
        with create_environment(options.directory) as environment:
            machine = describe_machine(options.directory)
            with Console(stderr=True).status("Starting ...") as status:
                rows = list(measure(environment, options, status))
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        print(json.dumps({"machine": machine, "rows": [row.as_dict() for row in rows]}, indent=2))
    else:
        show(rows, machine, quick=False)


def measure(environment: Environment, options: argparse.Namespace, status: Status) -> Iterator[Measurement]:
    if options.what in ("all", "day"):
        yield from _measure_days(environment, options, status)
    if options.what in ("all", "workers"):
        count, workers, latency = _workers_cell(options)
        status.update(f"Measuring 1 and {workers} workers ...")
        with environment.simulator(*_library(options.tracks), "--accounts", str(count)) as control:
            section = f"{count} accounts of {options.tracks} tracks at once"
            yield from scale_workers.measure(environment, control, workers, latency, section)


def _measure_days(environment: Environment, options: argparse.Namespace, status: Status) -> Iterator[Measurement]:
    count, workers, latency = options.accounts or 10_000, options.workers or 2, options.latency or 0
    libraries = min(count, options.libraries)
    served = ("--accounts", str(count), "--libraries", str(libraries))
    with environment.simulator(*_library(options.tracks), *served) as control:
        url = environment.create_database(DATABASE, "template0")
        migrate.upgrade(url)
        with closing(Context.from_settings(settings())) as context, environment.workers(2, "spotisync"):
            status.update(f"Syncing {libraries:,} libraries, and copying them to {count:,} accounts ...")
            scale_accounts.seed(context, control, url, libraries)
            status.update("Verifying copied accounts ...")
            scale_accounts.verify(context, control, url)
        control.settings(latency_ms=latency)
        with connect(url) as connection:
            connection.execute(TRACE.encode())
        section = f"{count:,} accounts of {options.tracks} tracks, {workers} workers"
        for listeners, speed in options.days:
            status.update(f"Measuring {listeners} listeners at speed {speed:g} ...")
            day = Day(listeners, speed, options.minutes, workers)
            yield from scale_day.measure(environment, control, url, section, day)


def _library(tracks: int) -> tuple[str, ...]:
    """The simulator gives its first account the full size, and half of it to the others."""
    return "--tracks", str(2 * tracks)


def _workers_cell(options: argparse.Namespace) -> tuple[int, int, float]:
    """With `all`, the sizes of the options are those of the days."""
    if options.what == "all":
        return 100, 4, 120
    return options.accounts or 100, options.workers or 4, 120 if options.latency is None else options.latency


def _day(text: str) -> tuple[str, float]:
    listeners, _, speed = text.partition("@")
    if listeners not in LISTENERS:
        raise argparse.ArgumentTypeError(f"use one of {', '.join(LISTENERS)} and a speed, such as idle@10")
    return listeners, float(speed or 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Measure many accounts on this machine: lateness, load, growth; and several workers against one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", nargs="?", choices=("all", "day", "workers"), default="all", help="default: all")
    add("--accounts", type=int, metavar="N", help="default 10000 for days, 100 for workers")
    add("--tracks", type=int, default=200, metavar="T", help="saved tracks of each account; default 200")
    add("--workers", type=int, metavar="K", help="workers of two processes; default 2 for days, 4 for workers")
    add("--minutes", type=float, default=5, metavar="M", help="how long each day is measured; default 5")
    add("--latency", type=float, metavar="MS", help="latency of a reply; default 0 for days, 120 for workers")
    add(
        "--days",
        type=_day,
        nargs="+",
        default=[("idle", 1.0), ("busy", 1.0), ("busy", 2.0)],
        metavar="KIND@SPEED",
        help="listeners and speed of each measured day; default idle@1 busy@1 busy@2",
    )
    add("--libraries", type=int, default=250, metavar="N", help="different libraries among the accounts; default 250")
    add("--json", action="store_true", help="print JSON")
    add(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="directory for the servers' files; its disk matters (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
