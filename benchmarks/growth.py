"""Libraries of growing size: is the last batch as quick as the first, and does memory stay where it is?"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.place import Place
from benchmarks.rows import Row
from spotisync.simulator import Control
from spotisync.stack.process import leashed

SECTION = "Growth: a whole sync in one process, {tracks:,} tracks"


@dataclass(frozen=True)
class Grown:
    """What `benchmarks.growing` tells. Of the tracks phase: full batches, medians of the first and the last ten."""

    tracks: int
    seconds: float
    batches: int
    first_ms: float
    last_ms: float
    rss_start_mb: float
    rss_mb: float


def measure(here: Place, sizes: tuple[int, ...]) -> Iterator[Row]:
    for tracks in sizes:
        with here.simulator("--tracks", str(tracks)) as control:
            yield from _rows(_grow(here, control, tracks))


def _grow(here: Place, control: Control, tracks: int) -> Grown:
    """In a process of its own, whose memory nothing else has used."""
    argv = leashed([sys.executable, "-m", "benchmarks.growing", here.fresh(), control.url], None)
    done = subprocess.run(argv, stdout=subprocess.PIPE, start_new_session=True, check=True)
    return Grown(tracks=tracks, **json.loads(done.stdout))


def _rows(grown: Grown) -> Iterator[Row]:
    section = SECTION.format(tracks=grown.tracks)
    yield Row(
        section,
        "1,000 tracks, all phases",
        "s",
        (grown.seconds / grown.tracks * 1000,),
        f"{grown.seconds:.0f} s in all",
    )
    yield Row(section, "first ten batches of tracks", "ms", (grown.first_ms,), "all but Spotify's part")
    if grown.batches >= 20:
        yield Row(section, "last ten / first ten", "x", (grown.last_ms / grown.first_ms,), f"of {grown.batches}")
    yield Row(section, "peak RSS", "MB", (grown.rss_mb,), f"{grown.rss_start_mb:.0f} before the sync")
