"""Libraries of growing size: is the last batch as quick as the first, and does memory stay where it is?"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.place import Place
from benchmarks.rows import Row, median, ratios
from spotisync.simulator import Control
from spotisync.stack.process import child_command

SECTION = "Growth: a whole sync in one process, {tracks:,} tracks"


@dataclass(frozen=True)
class Grown:
    """What `benchmarks.growing` tells. Of the tracks phase: full batches, the first ten and the last ten."""

    tracks: int
    seconds: float
    batches: int
    first_ms: float
    last_ms: float
    rss_start_mb: float
    rss_mb: float


def measure(here: Place, sizes: dict[int, int]) -> Iterator[Row]:
    """Each size so many times."""
    for tracks, repetitions in sizes.items():
        with here.simulator("--tracks", str(tracks)) as control:
            yield from _rows([_grow(here, control, tracks) for _ in range(repetitions)])


def _grow(here: Place, control: Control, tracks: int) -> Grown:
    """In a process of its own, whose memory nothing else has used."""
    argv = child_command([sys.executable, "-m", "benchmarks.growing", here.fresh(), control.url], None)
    done = subprocess.run(argv, stdout=subprocess.PIPE, start_new_session=True, check=True)
    return Grown(tracks=tracks, **json.loads(done.stdout))


def _rows(found: Sequence[Grown]) -> Iterator[Row]:
    one = found[0]
    section, whole = SECTION.format(tracks=one.tracks), median([each.seconds for each in found])
    a_thousand = tuple(each.seconds / each.tracks * 1000 for each in found)
    yield Row(section, "1,000 tracks, all phases", "s", a_thousand, f"{whole:.0f} s in all")
    first = tuple(each.first_ms for each in found)
    yield Row(section, "first ten batches of tracks", "ms", first, "all but Spotify's part")
    if one.batches >= 20:
        ratio = ratios((each.last_ms for each in found), first)
        yield Row(section, "last ten / first ten", "x", ratio, f"of {one.batches}")
    yield Row(
        section, "peak RSS", "MB", tuple(each.rss_mb for each in found), f"{one.rss_start_mb:.0f} before the sync"
    )
