"""Full syncs against the spotipy loop, in turn within one run: library size, latency, accounts, workers, regime."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from rich.status import Status

from benchmarks import breakdown, loop, tables
from benchmarks.breakdown import Batch
from benchmarks.environment import NODE, Environment, connect, count_calls, start_sync, wait_for_success
from benchmarks.peers import Peer
from benchmarks.report import Measurement, median, ratios
from spotisync.core import queues
from spotisync.settings import override, settings
from spotisync.simulator import Control
from spotisync.sync import Context, accounts

LOOP_DATABASE = "loop"
# The loop that stores each page, and the one that buffers: its rows of so many pages are lost when it is killed.
LOOPS = {"loop": 1, "loop, 1,000 rows a commit": 1_000}
MOST_TRACKS_TWICE = 20_000  # up to this size, a first turn fills the caches of simulator and workers, unmeasured
SECONDS = "SELECT EXTRACT(epoch FROM max(completed_at) - min(started_at)) FROM sync_history"


@dataclass(frozen=True)
class Grid:
    """All cells to measure: the product of these, each repeated; the loop and the workers take turns."""

    tracks: tuple[int, ...]
    latencies: tuple[int, ...]
    accounts: tuple[int, ...]
    workers: tuple[int, ...]
    regimes: tuple[str, ...]
    repetitions: int


@dataclass(frozen=True)
class Cost:
    """What one contestant needed once."""

    seconds: float
    calls: int
    peak_mb: float | None = None
    batches: list[Batch] = field(default_factory=list)


Turns = dict[str, list[Cost]]


def measure(environment: Environment, grid: Grid, peers: Sequence[Peer], status: Status) -> Iterator[Measurement]:
    override({"SPOTISYNC_PODCASTS": "false"})  # the loop reads music only
    for tracks, count, regime in product(grid.tracks, grid.accounts, grid.regimes):
        options = ["--tracks", str(tracks), "--accounts", str(count), "--regime", regime, "--warm"]
        if peers:
            options.append("--no-quirks")  # exportify-cli stops at a null row
        status.update(f"Preparing {tracks:,} tracks ...")
        environment.create_database()  # a worker's child starts with a sweep
        # The workers get the address of the simulator when they start.
        with environment.simulator(*options) as control, environment.workers(max(grid.workers)):
            contest = Contest(environment, control, grid.workers, tuple(peers), regime)
            if tracks <= MOST_TRACKS_TWICE:
                contest.run(1)
            for latency in grid.latencies:
                status.update(f"Measuring {tracks:,} tracks, {latency} ms a call ...")
                control.settings(latency_ms=latency)
                turns = contest.run(grid.repetitions)
                title = _title(tracks, count, regime, latency, contest.compare())
                yield from _report(title, turns, grid.workers)


def _title(tracks: int, accounts: int, regime: str, latency: int, rows: dict[str, int]) -> str:
    library = f"{tracks:,} tracks, {rows['artists']:,} artists, {rows['albums']:,} albums"
    more = f", {accounts} accounts" if accounts > 1 else ""
    return f"{library}, {rows['playlist_items']:,} playlist rows{more}, {regime} API, {latency} ms a call"


@dataclass(frozen=True)
class Contest:
    environment: Environment
    control: Control
    workers: tuple[int, ...]
    peers: tuple[Peer, ...]
    regime: str

    def compare(self) -> dict[str, int]:
        """Return the number of rows by table. Raises ValueError unless the loop and spotisync stored the same ones."""
        url = self.environment.url
        with connect(url("spotisync")) as ours, connect(url(LOOP_DATABASE)) as theirs:
            return tables.compare(ours, theirs)

    def run(self, repetitions: int) -> Turns:
        turns: Turns = {name: [] for name in (*LOOPS, *map(_ours, self.workers), *(peer.name for peer in self.peers))}
        for _ in range(repetitions):
            for name, rows in LOOPS.items():
                turns[name].append(self._loop(rows))
            for count in self.workers:
                turns[_ours(count)].append(self._sync(count))
            for peer in self.peers:
                turns[peer.name].append(self._peer(peer))
        return turns

    def _loop(self, rows_per_commit: int) -> Cost:
        self.environment.create_database(LOOP_DATABASE, "template0")
        self.control.reset_log()
        url = self.environment.url(LOOP_DATABASE)
        lookups = self.regime == "full"
        seconds = loop.read_and_store(self.control, url, lookups=lookups, rows_per_commit=rows_per_commit)
        return Cost(seconds, count_calls(self.control))

    def _peer(self, peer: Peer) -> Cost:
        self.control.reset_log()
        seconds, peak = peer.run(self.control, self.environment)
        return Cost(seconds, count_calls(self.control), peak)

    def _sync(self, workers: int) -> Cost:
        """One full sync of all accounts into an empty database."""
        set_consuming(workers, max(self.workers))
        url = self.environment.create_database()
        self.control.reset_log()
        with closing(Context.from_settings(settings())) as context:
            users = [_add(context, each) for each in self.control.info()["accounts"]]
            breakdown.read(self.environment.settings.data_dir)
            for run in [start_sync(context, user) for user in users]:
                wait_for_success(context, run)
        time.sleep(0.3)  # the last task is recorded after the run has ended
        trace = breakdown.read(self.environment.settings.data_dir)
        with connect(url) as connection:
            seconds = connection.execute(SECONDS).fetchall()[0][0]
        return Cost(float(seconds), count_calls(self.control), trace.peak_rss_mb, trace.batches)


def _add(context: Context, account: dict[str, Any]) -> str:
    return accounts.add(context, account["refresh_token"], None).spotify_user_id


def _ours(workers: int) -> str:
    return "a worker of two" if workers == 1 else f"{workers} workers of two"


def set_consuming(count: int, of: int) -> None:
    """Let only the first `count` workers take batches. Starting and stopping them would cost their caches."""
    from spotisync.celery import app  # it needs the settings of the environment

    for number in range(1, of + 1):
        change = app.control.add_consumer if number <= count else app.control.cancel_consumer
        node = NODE.format(number=number)
        for queue in queues.OF_RUNS:
            if not change(queue, destination=[node], reply=True, timeout=5, limit=1):
                raise TimeoutError(f"{node} does not answer")


def _report(title: str, turns: Turns, workers: tuple[int, ...]) -> Iterator[Measurement]:
    for name, costs in turns.items():
        seconds = tuple(each.seconds for each in costs)
        yield Measurement(title, name, "s", seconds, _remark(costs))
        for loop_ in LOOPS if name not in LOOPS else ():
            theirs = [each.seconds for each in turns[loop_]]
            yield Measurement(title, f"{name} / {loop_}", "x", ratios(seconds, theirs), "pair by pair")
    first, last = turns[_ours(workers[0])], turns[_ours(workers[-1])]
    if len(workers) > 1:
        pairs = ratios((each.seconds for each in last), (each.seconds for each in first))
        yield Measurement(title, f"{workers[-1]} workers / {workers[0]}", "x", pairs, "pair by pair")
    for count in workers:
        yield from _overhead(_ours(count), turns[_ours(count)])


def _remark(costs: Sequence[Cost]) -> str:
    peak = max((each.peak_mb or 0 for each in costs), default=0)
    calls = f"{median([each.calls for each in costs]):,.0f} calls"
    return f"{calls}, {peak:.0f} MB" if peak else calls


def _overhead(section: str, costs: Sequence[Cost]) -> Iterator[Measurement]:
    """How the time of a run is divided, and its batches."""
    waits = tuple(breakdown.union([span for batch in each.batches for span in batch.spans], "http") for each in costs)
    own = tuple(sum(batch.own for batch in each.batches) / 1000 for each in costs)
    idle = tuple(each.seconds - wait - mine for each, wait, mine in zip(costs, waits, own, strict=True))
    title, batches = f"The time of a run, {section}", median([len(each.batches) for each in costs])
    yield Measurement(title, "HTTP wait", "s", waits, "at least one reply pending")
    yield Measurement(title, "own, of all batches", "s", own, f"{batches:.0f} batches")
    if min(idle) > 0:  # batches of several accounts overlap
        yield Measurement(title, "outside batches", "s", idle, "start, end, idle")
    yield from breakdown.measure(section, [each.batches for each in costs])
