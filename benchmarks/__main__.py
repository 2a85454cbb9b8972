"""`python -m benchmarks`: run all benchmarks on this machine and print one table."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import batches, full_sync, growth, recovery, search, web
from benchmarks.environment import Environment, create_environment
from benchmarks.report import Measurement, describe_machine, show


@dataclass(frozen=True)
class Scale:
    library: tuple[str, ...]
    repetitions: int
    slow_repetitions: int
    sizes: dict[int, int]
    rounds: int
    kills: int
    runs: int
    searched_tracks: int
    searches: int


FULL = Scale(("--library", "small"), 5, 2, {2_000: 3, 10_000: 3, 50_000: 2}, 10, 15, 50_000, 100_000, 20)
QUICK = Scale(("--tracks", "500"), 2, 1, {1_000: 1}, 2, 2, 1_000, 1_000, 2)


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: stop everything that was started
    try:
        with create_environment(options.directory) as environment:
            machine = describe_machine(options.directory)
            rows = list(_measure(environment, QUICK if options.quick else FULL))
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        print(
            json.dumps({"machine": machine, "quick": options.quick, "rows": [row.as_dict() for row in rows]}, indent=2)
        )
    else:
        show(rows, machine, quick=options.quick)


def _measure(environment: Environment, scale: Scale) -> Iterator[Measurement]:
    with Console(stderr=True).status("Measuring full syncs ...") as status:
        with environment.simulator(*scale.library, "--warm") as control:
            environment.create_database()
            with environment.worker():
                yield from full_sync.measure(environment, control, scale.repetitions, scale.slow_repetitions)
                status.update("Measuring recovery ...")
                yield from recovery.measure(environment, control, scale.kills)
            status.update("Measuring the fence ...")
            yield from batches.measure(environment, control, scale.rounds)
        status.update("Measuring the API ...")
        yield from web.measure(environment, scale.runs)
        status.update("Measuring searches ...")
        yield from search.measure(environment, scale.searched_tracks, scale.searches)
        status.update("Measuring growth ...")
        yield from growth.measure(environment, scale.sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Run all benchmarks on this machine and print one table."
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and few repetitions, in about a minute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="directory for the servers' files; its disk matters (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
