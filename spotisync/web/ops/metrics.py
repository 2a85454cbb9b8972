"""What is exposed to Prometheus, read from the tables at each scrape: right however many processes there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spotisync.core.requests import Family
from spotisync.core.states import OVER, PHASES
from spotisync.status import metrics as gauges
from spotisync.store import counters
from spotisync.store.counters import Labels
from spotisync.store.database import Connection

PREFIX: Final = "spotisync_"
TYPES: Final = ("full", "incremental")
FAMILIES: Final = get_args(Family)
OUTCOMES: Final = ("2xx", "4xx", "429", "5xx", "error")
Totals = Mapping[tuple[str, Labels], float]


@dataclass(frozen=True)
class CounterMetric:
    """A total of the table `tallies`; each of these label values is there from the beginning, at nought."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str]]


COUNTED: Final = (
    CounterMetric(
        "runs",
        "Runs that have ended, by how. One that failed, was resumed and then succeeded counts as both.",
        {"sync_type": TYPES, "status": OVER},
    ),
    CounterMetric(
        "runs_started",
        "Runs that were begun, by who asked for them.",
        {"sync_type": TYPES, "trigger": ("beat", "cli", "api", "web", "task")},
    ),
    CounterMetric(
        "batches", "Batches that are in: their rows, counters and checkpoint are committed.", {"phase": PHASES}
    ),
    CounterMetric("retries", "Batches that are tried again after an error of Spotify's or of ours.", {"phase": PHASES}),
    CounterMetric("lost_batches", "Batches taken over from a worker that was gone or too slow.", {"phase": PHASES}),
    CounterMetric(
        "items",
        "Items of a library as runs count them: read, and added, updated or removed by what was read.",
        {"entity": PHASES, "change": ("processed", "added", "updated", "removed")},
    ),
    CounterMetric("plays", "Plays that were recorded, by where they came from.", {"source": ("recent", "import")}),
    CounterMetric(
        "api_calls",
        "Web API requests by what became of them; error: no answer, or one that can't be read.",
        {"family": FAMILIES, "outcome": OUTCOMES},
    ),
    CounterMetric(
        "waits",
        "Batches that were given back for a while; quota and rate: Spotify said so, pace: our own ceiling.",
        {"family": FAMILIES, "reason": ("rate", "quota", "pace")},
    ),
    CounterMetric(
        "wait_seconds",
        "For how long batches were told to wait when they were given back.",
        {"family": FAMILIES, "reason": ("rate", "quota", "pace")},
    ),
)


@dataclass(frozen=True)
class Scrape(Collector):
    """What one scrape has read, for prometheus_client to write down in the format that was asked for."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def read(connection: Connection, client_id: str, queues: Mapping[str, int] | None) -> Scrape:
    """`queues`: messages that wait, by queue; None while the broker can't say."""
    totals = counters.read_totals(connection)
    metrics: list[Metric] = [InfoMetricFamily(PREFIX + "build", "This version.", {"version": version("spotisync")})]
    metrics.extend(_counter(counted, totals) for counted in COUNTED)
    metrics.extend(_gauge(gauge, gauges.read(connection, gauge, client_id)) for gauge in gauges.GAUGES)
    if queues is not None:
        metrics.append(_gauge(QUEUES, {(name,): length for name, length in queues.items()}))
    return Scrape(metrics)


QUEUES: Final = gauges.Gauge(
    "queue_messages",
    "Messages in the broker that no worker has taken; absent while it does not answer.",
    ("queue",),
    "",
)


def _counter(counted: CounterMetric, totals: Totals) -> Metric:
    family = CounterMetricFamily(PREFIX + counted.name, counted.help, labels=list(counted.labels))
    met = [labels for name, labels in totals if name == counted.name]
    # Whatever was counted is shown, foreseen or not.
    for labels in dict.fromkeys([*product(*counted.labels.values()), *sorted(met)]):
        family.add_metric(labels, totals.get((counted.name, labels), 0.0))
    return family


def _gauge(gauge: gauges.Gauge, values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + gauge.name, gauge.help, labels=list(gauge.labels))
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family
