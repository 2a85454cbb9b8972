"""Histograms of durations. They are stored as counters, one for each bucket and one for the sum in microseconds.

Integers, so that nothing is left when what was written is subtracted.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from spotisync.core.requests import Family
from spotisync.core.states import PHASES

Labels = tuple[str, ...]
Totals = Mapping[tuple[str, Labels], float]


@dataclass(frozen=True)
class Histogram:
    """`bounds`: the upper bound of each bucket in seconds, the last one infinite."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str]]
    bounds: Sequence[float]

    def observe(self, seconds: float, *labels: str) -> Counter[tuple[str, Labels]]:
        """The counters that one duration increments, by name and labels."""
        bound = self.bounds[bisect_left(self.bounds, seconds)]
        return Counter(
            {
                (f"{self.name}_bucket", (*labels, _format(bound))): 1,
                (f"{self.name}_microseconds", labels): round(seconds * 1_000_000),
            }
        )

    def get_buckets(self, totals: Totals, labels: Labels) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound. Counts of other bounds, which another version had, are included."""
        name = f"{self.name}_bucket"
        stored = [(float(key[-1]), n) for (each, key), n in totals.items() if each == name and key[:-1] == labels]
        return [(_format(bound), sum(n for upper, n in stored if upper <= bound)) for bound in self.bounds]

    def get_sum(self, totals: Totals, labels: Labels) -> float:
        """In seconds."""
        return totals.get((f"{self.name}_microseconds", labels), 0) / 1_000_000


def _format(bound: float) -> str:
    """As Prometheus writes it."""
    return "+Inf" if bound == math.inf else str(bound)


REQUEST_SECONDS: Final = Histogram(
    "request_seconds",
    "Duration of Web API requests, of failed ones too, without waits for their turn.",
    {"family": get_args(Family)},
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, math.inf),
)
BATCH_SECONDS: Final = Histogram(
    "batch_seconds",
    "Duration of committed batches, from the claim to the commit.",
    {"phase": PHASES},
    (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, math.inf),
)
