"""`python -m benchmarks`: everything measured on this machine, as one table."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import fence, finding, growth, recovery, web, whole
from benchmarks.machine import machine
from benchmarks.place import Place, place
from benchmarks.rows import Row
from benchmarks.table import show


@dataclass(frozen=True)
class Scale:
    library: tuple[str, ...]
    repetitions: int
    slow_repetitions: int
    sizes: dict[int, int]
    rounds: int
    kills: int
    runs: int
    searched: int
    searches: int


FULL = Scale(("--library", "small"), 5, 2, {2_000: 3, 10_000: 3, 50_000: 2}, 10, 15, 50_000, 100_000, 20)
QUICK = Scale(("--tracks", "500"), 2, 1, {1_000: 1}, 2, 2, 1_000, 1_000, 2)


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: everything that was started is ended
    try:
        with place(options.directory) as here:
            about, rows = machine(options.directory), list(_measure(here, QUICK if options.quick else FULL))
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        print(json.dumps({"machine": about, "quick": options.quick, "rows": [row.as_dict() for row in rows]}, indent=2))
    else:
        show(rows, about, quick=options.quick)


def _measure(here: Place, scale: Scale) -> Iterator[Row]:
    with Console(stderr=True).status("Measuring whole syncs ...") as status:
        with here.simulator(*scale.library, "--warm") as control:
            here.fresh()
            with here.worker():
                yield from whole.measure(here, control, scale.repetitions, scale.slow_repetitions)
                status.update("Measuring recovery ...")
                yield from recovery.measure(here, control, scale.kills)
            status.update("Measuring the fence ...")
            yield from fence.measure(here, control, scale.rounds)
        status.update("Measuring the API ...")
        yield from web.measure(here, scale.runs)
        status.update("Measuring searches ...")
        yield from finding.measure(here, scale.searched, scale.searches)
        status.update("Measuring growth ...")
        yield from growth.measure(here, scale.sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small versions of everything, in less than a minute")
    parser.add_argument("--json", action="store_true", help="the same figures as JSON")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where to put the servers' files; the disk matters (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
