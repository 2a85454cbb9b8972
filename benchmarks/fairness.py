"""`python -m benchmarks.fairness`: how much a large first sync delays small accounts beside it."""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.environment import Environment, connect, create_environment, wait_for_success, wait_until
from benchmarks.report import Measurement, describe_machine, median, show
from spotisync.settings import override, settings
from spotisync.simulator import start
from spotisync.store import migrate
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs

DURATIONS = "SELECT EXTRACT(epoch FROM completed_at - started_at) FROM sync_history WHERE id = ANY(%s)"
SHARE = "SELECT count(*) FROM run_events WHERE kind = 'batch' AND sync_id = %s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--large", type=int, default=200_000, help="saved tracks of the large library")
    parser.add_argument("--small", type=int, default=60, help="saved tracks of each small library")
    parser.add_argument("--accounts", type=int, default=100, help="small accounts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with create_environment(options.directory) as environment:
        show(list(measure(environment, options)), describe_machine(options.directory), quick=False)


def measure(environment: Environment, options: argparse.Namespace) -> Iterator[Measurement]:
    """Sync the small accounts alone, then beside the first sync of the large one, and alone again.

    One of them, which is new each time, does its first sync.
    """
    newcomers = 3 * options.rounds
    url = environment.create_database("spotisync", "template0")
    migrate.upgrade(url)
    with start(options.large, accounts=1 + options.accounts + newcomers, others=options.small) as simulator:
        override({"SPOTISYNC_SPOTIFY_API_URL": simulator.api_url, "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": simulator.url})
        with environment.worker(app="spotisync"), closing(Context.from_settings(settings())) as context:
            names = [
                accounts.add(context, simulator.refresh_token(name), None).spotify_user_id
                for name in simulator.world.accounts
            ]
            large, small, new = names[0], names[1 : 1 + options.accounts], iter(names[1 + options.accounts :])
            wait_for_all(context, begin(context, small, "full", "beat"))
            before = [_round(context, url, small, next(new)) for _ in range(options.rounds)]
            (run,) = begin(context, [large], "full", "cli")
            wait_until(lambda: count_batches(url, run) > 5, "the large sync", 120)
            before_it = count_batches(url, run)
            beside = [_round(context, url, small, next(new)) for _ in range(options.rounds)]
            batches = count_batches(url, run) - before_it
            is_over = runs.get_run(context, run.id).status != "in_progress"  # type: ignore[union-attr]
            if not is_over:
                runs.cancel(context, run.id)
            after = [_round(context, url, small, next(new)) for _ in range(options.rounds)]
    section = f"{options.accounts} accounts of {options.small} tracks beside one of {options.large:,}, a worker of two"
    note = "the large sync ended early" if is_over else f"{batches} batches of the large sync meanwhile"
    for number, what in enumerate(("incremental syncs: all", "incremental sync: median", "first sync of one")):
        alone = [each[number] for each in (*before, *after)]
        found = [each[number] for each in beside]
        yield Measurement(section, f"{what}, alone", "s", tuple(alone))
        yield Measurement(section, f"{what}, beside", "s", tuple(found), note)
        yield Measurement(section, f"{what}, beside / alone", "x", (median(found) / median(alone),))


def begin(context: Context, names: Sequence[str], sync_type: runs.SyncType, trigger: runs.Trigger) -> list[Run]:
    from spotisync import canvas  # it loads Celery's configuration, which needs the settings of the environment

    begun = [runs.trigger(context, name, sync_type, trigger).run for name in names]
    for run in begun:
        canvas.publish(run)
    return begun


def wait_for_all(context: Context, begun: Sequence[Run]) -> None:
    for run in begun:
        wait_for_success(context, run)


def _round(context: Context, url: str, small: Sequence[str], new: str) -> tuple[float, float, float]:
    """Seconds: until all incrementals had ended, of one of them (median), of the first sync of a new account."""
    since = time.monotonic()
    begun = begin(context, small, "incremental", "beat")
    wait_for_all(context, begun)
    total = time.monotonic() - since
    first = begin(context, [new], "full", "cli")
    wait_for_all(context, first)
    return total, median(durations(url, begun)), durations(url, first)[0]


def durations(url: str, begun: Sequence[Run]) -> list[float]:
    with connect(url) as connection:
        return [float(seconds) for (seconds,) in connection.execute(DURATIONS, ([run.id for run in begun],))]


def count_batches(url: str, run: Run) -> int:
    with connect(url) as connection:
        return int(connection.execute(SHARE, (run.id,)).fetchall()[0][0])


if __name__ == "__main__":
    main()
