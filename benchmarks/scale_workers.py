"""How much more several workers do than one, and whether any account waits longer than the others."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from benchmarks.environment import Environment, connect, wait_for_success
from benchmarks.report import Measurement, median
from benchmarks.scale_meters import count
from spotisync.settings import settings
from spotisync.simulator import Control
from spotisync.store import migrate
from spotisync.sync import Context, accounts, runs

WAITS = """SELECT EXTRACT(epoch FROM completed_at - (SELECT min(started_at) FROM sync_history WHERE id = ANY(%(ids)s)))
    FROM sync_history WHERE id = ANY(%(ids)s)"""


@dataclass(frozen=True)
class Turn:
    """All accounts at once. `waits`: the seconds from the first trigger to the end of each account's run.

    `kb`: what the database then stores for each account, with the catalogue and all indexes.
    """

    waits: list[float]
    kb: float

    @property
    def throughput(self) -> float:
        return len(self.waits) / max(self.waits)


def measure(
    environment: Environment, control: Control, workers: int, latency: float, section: str
) -> Iterator[Measurement]:
    """Let one worker and several take turns at the first full syncs of all accounts, and at incremental ones."""
    found: dict[int, dict[str, Turn]] = {}
    for number in (1, workers):
        found[number] = _sync_all(environment, control, number, latency)
    for kind in found[1]:
        title = f"{section}, {latency:g} ms a call: {kind} syncs"
        for number in found:
            yield from _report(title, number, found[number][kind])
        ratio = found[workers][kind].throughput / found[1][kind].throughput
        yield Measurement(title, f"{workers} workers / 1", "x", (ratio,), "throughput")
        yield Measurement(title, "stored of an account", "kB", (found[1][kind].kb,), "with the catalogue")


def _sync_all(environment: Environment, control: Control, workers: int, latency: float) -> dict[str, Turn]:
    url = environment.create_database("spotisync", "template0")
    migrate.upgrade(url)
    control.settings(latency_ms=0)
    with environment.workers(workers, "spotisync"), closing(Context.from_settings(settings())) as context:
        served = control.info()["accounts"]
        names = [accounts.add(context, each["refresh_token"], None).spotify_user_id for each in served]
        control.settings(latency_ms=latency)
        return {kind: _turn(context, url, names, kind) for kind in ("full", "incremental")}


def _turn(context: Context, url: str, names: Sequence[str], kind: runs.SyncType) -> Turn:
    from spotisync import canvas  # it loads Celery's configuration, which needs the settings of the environment

    started = [runs.trigger(context, name, kind, "cli").run for name in names]
    for run in started:
        canvas.publish(run)
    for run in started:
        wait_for_success(context, run)
    with connect(url) as connection:
        waits = [float(wait) for (wait,) in connection.execute(WAITS, {"ids": [run.id for run in started]})]
        return Turn(waits, sum(each.kb for each in count(connection).tables.values()) / len(names))


def _report(section: str, workers: int, turn: Turn) -> Iterator[Measurement]:
    name = "1 worker" if workers == 1 else f"{workers} workers"
    yield Measurement(section, f"{name} of two: throughput", "/min", (turn.throughput * 60,), "accounts a minute")
    longest = max(turn.waits) / median(turn.waits)
    yield Measurement(section, f"{name}: wait of an account", "s", tuple(turn.waits), f"max / median {longest:.2f}")
