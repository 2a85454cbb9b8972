"""Libraries of growing size: is the last batch as fast as the first, and does memory use stay constant?

`python -m benchmarks.growth DATABASE_URL SIMULATOR_URL` runs one full sync in its process and prints JSON.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.batches import Timings, run_batches
from benchmarks.environment import Environment, open_context
from benchmarks.report import Measurement, median, percentile, ratios
from spotisync.settings import override
from spotisync.simulator import Control
from spotisync.stack.process import child_command

SECTION = "Growth: a full sync in one process, {tracks:,} tracks"
ENDS = 10  # batches compared at each end
FULL = 0.75  # a full batch has at least this share of the largest one's tracks


@dataclass(frozen=True)
class Growth:
    """One full sync. `first_ms` and `last_ms` are of the first and last full batches of tracks."""

    tracks: int
    seconds: float
    batches: int
    first_ms: float
    last_ms: float
    rss_start_mb: float
    rss_mb: float


def measure(environment: Environment, sizes: dict[int, int]) -> Iterator[Measurement]:
    """Measure each size (in tracks) the given number of times."""
    for tracks, repetitions in sizes.items():
        with environment.simulator("--tracks", str(tracks)) as control:
            yield from _measurements([_sync_in_child(environment, control, tracks) for _ in range(repetitions)])


def _sync_in_child(environment: Environment, control: Control, tracks: int) -> Growth:
    """Run in a new process, for its memory use."""
    argv = child_command([sys.executable, "-m", "benchmarks.growth", environment.create_database(), control.url], None)
    done = subprocess.run(argv, stdout=subprocess.PIPE, start_new_session=True, check=True)
    return Growth(tracks=tracks, **json.loads(done.stdout))


def _measurements(found: Sequence[Growth]) -> Iterator[Measurement]:
    one = found[0]
    section, total = SECTION.format(tracks=one.tracks), median([each.seconds for each in found])
    per_thousand = tuple(each.seconds / each.tracks * 1000 for each in found)
    yield Measurement(section, "1,000 tracks, all phases", "s", per_thousand, f"{total:.0f} s in total")
    first = tuple(each.first_ms for each in found)
    yield Measurement(section, "first ten batches of tracks", "ms", first, "without Spotify's share")
    if one.batches >= 2 * ENDS:
        ratio = ratios((each.last_ms for each in found), first)
        yield Measurement(section, "last ten / first ten", "x", ratio, f"of {one.batches}")
    rss = tuple(each.rss_mb for each in found)
    yield Measurement(section, "peak RSS", "MB", rss, f"{one.rss_start_mb:.0f} before the sync")


def main(database: str, simulator: str) -> None:
    override({"SPOTISYNC_DATABASE_URL": database})
    with open_context(Control(simulator)) as (context, account):
        rss, started = _peak_rss(), perf_counter()
        batches = list(run_batches(context, account))
        seconds = perf_counter() - started
    full = _full_batches([each for each in batches if each.phase == "tracks"])
    found = {
        "seconds": seconds,
        "batches": len(full),
        # The lower quartile, because other load on the machine only ever adds time.
        "first_ms": percentile(full[:ENDS], 25),
        "last_ms": percentile(full[-ENDS:], 25),
        "rss_start_mb": rss,
        "rss_mb": _peak_rss(),
    }
    print(json.dumps(found))


def _full_batches(tracks: Sequence[Timings]) -> list[float]:
    """Return the milliseconds of full batches: the very first and the last ones are smaller."""
    largest = max(each.items for each in tracks)
    return [each.without_fetch for each in tracks if each.items >= FULL * largest]


def _peak_rss() -> float:
    """Return the peak memory of this program, in MB. On Linux, ru_maxrss includes the program before the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    main(*sys.argv[1:])
