"""Prometheus metrics, read from the tables at each scrape and therefore independent of the number of processes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from typing import Final, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spotisync.core.budget import FamilyBudget
from spotisync.core.histograms import BATCH_SECONDS, REQUEST_SECONDS, Histogram, Labels, Totals
from spotisync.core.requests import Family
from spotisync.core.states import OVER, PHASES
from spotisync.status import metrics as gauges
from spotisync.store import budgets, counters
from spotisync.store.budgets import Developer
from spotisync.store.database import Connection

PREFIX: Final = "spotisync_"
TYPES: Final = ("full", "incremental")
FAMILIES: Final = get_args(Family)
WAIT_REASONS: Final = ("rate", "quota", "pace", "budget", "manual")
OUTCOMES: Final = ("2xx", "4xx", "429", "5xx", "error")


@dataclass(frozen=True)
class CounterMetric:
    """A total of the table `tallies`. Every combination of these label values is exposed, starting at zero."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str]]


COUNTERS: Final = (
    CounterMetric(
        "runs",
        "Runs that have ended, by status. A run that failed, was resumed and then succeeded counts twice.",
        {"sync_type": TYPES, "status": OVER},
    ),
    CounterMetric(
        "runs_started",
        "Runs that were started, by trigger.",
        {"sync_type": TYPES, "trigger": ("beat", "cli", "api", "web", "task")},
    ),
    CounterMetric("batches", "Committed batches: rows, counters and checkpoint.", {"phase": PHASES}),
    CounterMetric("retries", "Batches retried after an error.", {"phase": PHASES}),
    CounterMetric("lost_batches", "Batches taken over from a worker that was lost or too slow.", {"phase": PHASES}),
    CounterMetric("rejected_messages", "Malformed or surplus messages that workers have removed from the broker.", {}),
    CounterMetric(
        "items",
        "Library items that runs have processed, added, updated or removed.",
        {"entity": PHASES, "change": ("processed", "added", "updated", "removed")},
    ),
    CounterMetric("plays", "Recorded plays, by source.", {"source": ("recent", "import")}),
    CounterMetric(
        "api_calls",
        "Web API requests, by outcome; error: no response or an unreadable one.",
        {"family": FAMILIES, "outcome": OUTCOMES},
    ),
    CounterMetric(
        "waits",
        "Batches delayed by a limit; quota, rate: set by Spotify, pace, budget: by spotisync, manual: by a person.",
        {"family": FAMILIES, "reason": WAIT_REASONS},
    ),
    CounterMetric(
        "wait_seconds",
        "Total delay of these batches.",
        {"family": FAMILIES, "reason": WAIT_REASONS},
    ),
)


@dataclass(frozen=True)
class Scrape(Collector):
    """The metrics of one scrape, as a collector that prometheus_client can encode."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def read(connection: Connection, developer: Developer, queues: Mapping[str, int] | None) -> Scrape:
    """`developer`: of the default app. `queues`: waiting messages by queue; None while the broker does not answer."""
    totals = counters.read_totals(connection)
    metrics: list[Metric] = [
        InfoMetricFamily(PREFIX + "build", "Version of spotisync.", {"version": version("spotisync")})
    ]
    metrics.extend(_counter(counted, totals) for counted in COUNTERS)
    metrics.extend(_histogram(histogram, totals) for histogram in (BATCH_SECONDS, REQUEST_SECONDS))
    metrics.extend(_gauge(gauge, gauges.read_gauge(connection, gauge, developer.name)) for gauge in gauges.GAUGES)
    metrics.extend(_budgets(budgets.read_budgets(connection, developer).values()))
    if queues is not None:
        metrics.append(_gauge(QUEUES, {(name,): length for name, length in queues.items()}))
    return Scrape(metrics)


QUEUES: Final = gauges.Gauge(
    "queue_messages",
    "Messages that no worker has received; absent while the broker does not answer.",
    ("queue",),
    "",
)


SPENT: Final = gauges.Gauge(
    "budget_spent", "Web API requests of the last 24 hours, of the default app's developer account.", ("family",), ""
)
CEILING: Final = gauges.Gauge(
    "budget_ceiling",
    "Requests that Spotify's quota is taken to allow in 24 hours; absent: unknown. source: set, learned or assumed.",
    ("family", "source"),
    "",
)


def _budgets(found: Collection[FamilyBudget]) -> list[Metric]:
    spent: dict[Labels, float] = {(each.family,): float(each.spent) for each in found}
    known: dict[Labels, float] = {
        (each.family, each.ceiling.source): float(each.ceiling.calls) for each in found if each.ceiling
    }
    return [_gauge(SPENT, spent), _gauge(CEILING, known)]


def _counter(counted: CounterMetric, totals: Totals) -> Metric:
    family = CounterMetricFamily(PREFIX + counted.name, counted.help, labels=list(counted.labels))
    # Counted label values that are not in the list above are exposed too.
    found = sorted(labels for name, labels in totals if name == counted.name)
    for labels in dict.fromkeys([*product(*counted.labels.values()), *found]):
        family.add_metric(labels, totals.get((counted.name, labels), 0.0))
    return family


def _histogram(histogram: Histogram, totals: Totals) -> Metric:
    family = HistogramMetricFamily(PREFIX + histogram.name, histogram.help, labels=list(histogram.labels))
    for labels in product(*histogram.labels.values()):
        family.add_metric(labels, histogram.get_buckets(totals, labels), histogram.get_sum(totals, labels))
    return family


def _gauge(gauge: gauges.Gauge, values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + gauge.name, gauge.help, labels=list(gauge.labels))
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family
