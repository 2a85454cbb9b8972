"""`python -m benchmarks.growing DATABASE_URL SIMULATOR_URL`: one whole sync in this process. Prints JSON."""

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import batches, drive
from benchmarks.batches import Timings
from benchmarks.rows import percentile
from spotisync.settings import override
from spotisync.simulator import Control

TEN = 10
FULL = 0.75  # of the largest batch


def main(database: str, simulator: str) -> None:
    override({"SPOTISYNC_DATABASE_URL": database})
    with drive.opened(Control(simulator)) as (sync, account):
        before, began = _peak_rss(), perf_counter()
        done = list(batches.run_to_end(sync, account))
        seconds = perf_counter() - began
    own = _full_batches([each for each in done if each.phase == "tracks"])
    found = {
        "seconds": seconds,
        "batches": len(own),
        # The lower quartile: what else the machine does only ever adds.
        "first_ms": percentile(own[:TEN], 25),
        "last_ms": percentile(own[-TEN:], 25),
        "rss_start_mb": before,
        "rss_mb": _peak_rss(),
    }
    print(json.dumps(found))


def _full_batches(tracks: Sequence[Timings]) -> list[float]:
    """Milliseconds of those that bring a batch's worth of tracks: the very first and the last ones are short."""
    most = max(each.items for each in tracks)
    return [each.own for each in tracks if each.items >= FULL * most]


def _peak_rss() -> float:
    """In MB, of this program. Linux' ru_maxrss begins with that of the program before the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    main(*sys.argv[1:])
