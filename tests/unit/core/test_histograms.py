"""Histograms: cumulative, complete, and exact whatever the order of the additions."""

import math
from collections import Counter

import pytest

from spotisync.core.histograms import BATCH_SECONDS, REQUEST_SECONDS, Histogram, Labels


@pytest.mark.parametrize("histogram", [BATCH_SECONDS, REQUEST_SECONDS])
def test_bounds_ascend_to_infinity(histogram: Histogram) -> None:
    assert list(histogram.bounds) == sorted(set(histogram.bounds))
    assert histogram.bounds[-1] == math.inf


def test_buckets_are_cumulative_and_contain_their_bound() -> None:
    totals = Counter[tuple[str, Labels]]()
    for seconds in (0.0, 0.05, 0.051, 3.0, 3600.0):
        totals += REQUEST_SECONDS.observe(seconds, "library")
    totals += REQUEST_SECONDS.observe(1.0, "player")
    buckets = dict(REQUEST_SECONDS.get_buckets(totals, ("library",)))
    assert list(buckets) == ["0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"]
    assert list(buckets.values()) == [2, 3, 3, 3, 3, 3, 4, 4, 4, 5]
    assert REQUEST_SECONDS.get_sum(totals, ("library",)) == 3603.101
    assert REQUEST_SECONDS.get_sum(totals, ("albums",)) == 0


def test_counts_with_bounds_of_another_version_are_kept() -> None:
    totals: dict[tuple[str, Labels], float] = {
        ("batch_seconds_bucket", ("tracks", "3.0")): 2,
        ("batch_seconds_bucket", ("tracks", "+Inf")): 1,
    }
    buckets = dict(BATCH_SECONDS.get_buckets(totals, ("tracks",)))
    assert (buckets["2.5"], buckets["5.0"], buckets["120.0"], buckets["+Inf"]) == (0, 2, 2, 3)
