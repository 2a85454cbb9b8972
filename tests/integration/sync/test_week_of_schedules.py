"""A week of schedules, with the time compressed: listeners with rhythms, quotas that nobody has told us."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import mean
from typing import Any

import pytest

from spotisync.core.outcomes import More, PhaseEnded, Retry
from spotisync.core.states import OVER
from spotisync.simulator import Server, start
from spotisync.store.runs import Run
from spotisync.sync import accounts, playback, runs, schedule
from spotisync.sync.batch import run_batch
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.clock import TimedContext
from tests.support.driver import Account
from tests.support.plays import assert_plays_are_true
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

DAY = timedelta(days=1)
QUOTA = 600
FAMILIES = ("library", "playlists", "artists", "albums", "player")
# The next time at which beat finds something to do.
NEXT = """SELECT min(at) FROM (
    SELECT due_at AS at FROM schedules
    UNION ALL SELECT GREATEST(wake_at, not_before) FROM sync_history WHERE status IN ('pending', 'in_progress')
    UNION ALL SELECT GREATEST(not_before, (SELECT max(blocked_until) FROM rate_limits WHERE family IN (r.family, '*')))
        FROM sync_history r WHERE status = 'rate_limited') found"""


@dataclass
class Week:
    """Runs beat and the workers in this process. `late`: by account, how long after each edit it was stored."""

    timed: TimedContext
    store: Store
    late: defaultdict[str, list[tuple[datetime, timedelta]]] = field(default_factory=lambda: defaultdict(list))
    stored: Counter[str] = field(default_factory=Counter)

    def run(self, days: float) -> None:
        end = self.timed.clock.now() + days * DAY
        while (now := self.timed.clock.now()) < end:
            soon = self.store.one(NEXT) or now
            self.timed.clock.advance(max(1.0, (soon - now).total_seconds()))
            for due in schedule.take_due(self.timed.context):
                self._work(due)
            for run in runs.take_due_runs(self.timed.context):
                self._work(run)
            while enrich(self.timed.context).more:
                pass

    def _work(self, due: Run | schedule.PlaybackDue) -> None:
        if isinstance(due, Run):
            self._drive(due)
        else:
            playback.track_plays(self.timed.context, due.account)

    def _drive(self, run: Run) -> None:
        """Run batches until the run is over or has to wait for long."""
        context = self.timed.context
        while (due := driver.get_run(context, run)).status not in OVER:
            if due.phase == "finish":
                runs.finish(context, run.id)
                continue
            outcome = run_batch(context, due.id, due.phase, due.seq)
            if isinstance(outcome, Retry):
                self.timed.clock.advance(outcome.seconds + 1)
            elif not isinstance(outcome, More | PhaseEnded):
                break
        if due.status == "success":
            self._note_stored(due)

    def _note_stored(self, run: Run) -> None:
        """A run that has deferred nothing has stored each edit made before it."""
        if self.store.one("SELECT count(*) FROM run_events WHERE sync_id = :id AND kind = 'put_off'", id=run.id):
            return
        begun, ended = self.store.sql("SELECT started_at, completed_at FROM sync_history WHERE id = :id", id=run.id)[0]
        for edit in self.edits(run.account)[self.stored[run.account] :]:
            at = datetime.fromtimestamp(edit["at"], begun.tzinfo)
            if at >= begun:
                break
            self.late[run.account].append((at, ended - at))
            self.stored[run.account] += 1

    def edits(self, account: str) -> list[dict[str, Any]]:
        world = self.timed.simulator.world
        with world.lock:
            world.catch_up()
            return world._listeners.edits.get(account, [])

    def calls(self, since: datetime, until: datetime) -> Counter[tuple[str, str]]:
        """The requests that Spotify answered or refused, by account and family."""
        return Counter(
            (each["account"], each["family"])
            for each in self.timed.simulator.control.requests()
            if each["family"] in FAMILIES and since.timestamp() <= each["time"] < until.timestamp()
        )

    def refused(self, since: datetime) -> list[dict[str, Any]]:
        requests = self.timed.simulator.control.requests()
        return [each for each in requests if each["status"] == 429 and each["time"] >= since.timestamp()]


@pytest.fixture
def make_week(make_timed_context: Callable[..., TimedContext]) -> Iterator[Callable[..., Week]]:
    """Start listeners of these kinds whose libraries have been synced once."""
    servers: list[Server] = []

    def make(*kinds: str, **settings: Any) -> Week:
        server = start("tiny", seed=3, accounts=len(kinds), quirks=False, quota=dict.fromkeys(FAMILIES, QUOTA))
        servers.append(server)
        timed = make_timed_context(server, timezone="UTC", **settings)
        now = timed.clock.now()  # the next Monday, so that the result does not depend on the time of the day
        monday = (now + (7 - now.weekday()) * DAY).replace(hour=0, minute=0, second=0)
        timed.clock.advance((monday - now).total_seconds())
        for kind, name in zip(kinds, server.world.accounts, strict=True):
            accounts.add(timed.context, server.refresh_token(name), None)
            server.world.start_rhythm(kind, name, seed=5)
            driver.full_sync(timed.context, Account(name))
        return Week(timed, Store(timed.context.database))

    yield make
    for server in servers:
        server.stop()


def check_truth(week: Week, begun: datetime) -> None:
    """No play is lost, and after a calm sync the tables are those of Spotify."""
    for name in week.timed.simulator.world.accounts:
        playback.track_plays(week.timed.context, name)
        driver.incremental_sync(week.timed.context, Account(name))
        truth = week.timed.simulator.control.truth(name)
        assert_tables_equal_truth(week.timed.context, Account(name), truth)
        plays = [each for each in truth["plays"] if datetime.fromisoformat(each["played_at"]) > begun]
        week.store.sql("DELETE FROM play_history WHERE played_at <= :begun", begun=begun)
        assert_plays_are_true(week.timed.context.database, Account(name), plays)


def describe(week: Week, begun: datetime, days: int) -> None:
    for day in range(days):
        calls = week.calls(begun + day * DAY, begun + (day + 1) * DAY)
        by_account: Counter[str] = Counter()
        by_family: Counter[str] = Counter()
        for (account, family), count in calls.items():
            by_account[account] += count
            by_family[family] += count
        print("day", day + 1, dict(by_family), dict(by_account))
    for account, late in week.late.items():
        spans = [span.total_seconds() / 60 for _, span in late]
        print(
            account, len(spans), "edits; minutes until stored: mean", round(mean(spans)), "longest", round(max(spans))
        )
    print("refused:", Counter((each["family"], each.get("limit")) for each in week.refused(begun)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_accounts_share_an_unknown_quota_for_a_week(make_week: Callable[..., Week]) -> None:
    week = make_week("regular", "night", "skipper", "occasional_skipper", "burst_editor")
    begun = week.timed.clock.now()
    week.run(7)
    describe(week, begun, 7)
    assert week.refused(begun + DAY) == []
    assert all(span <= timedelta(hours=6) for late in week.late.values() for at, span in late if at > begun + DAY)
    assert sum(map(len, week.late.values())) > 50
    check_truth(week, begun)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_account_has_its_changes_within_half_an_hour(make_week: Callable[..., Week]) -> None:
    week = make_week("regular")
    begun = week.timed.clock.now()
    week.run(7)
    describe(week, begun, 7)
    assert week.refused(begun) == []
    late = [(at, span) for at, span in week.late["user01"] if at > begun + DAY]
    assert late
    assert all(span <= timedelta(minutes=31) for _, span in late)
    check_truth(week, begun)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_calls_of_an_idle_and_of_an_active_account(make_week: Callable[..., Week]) -> None:
    week = make_week("idle", "regular")
    begun = week.timed.clock.now()
    week.run(4)
    describe(week, begun, 4)
    idle, active = week.timed.simulator.world.accounts
    for day in range(1, 4):
        calls: Counter[str] = Counter()
        for (account, _), count in week.calls(begun + day * DAY, begun + (day + 1) * DAY).items():
            calls[account] += count
        assert calls[idle] <= 60
        assert calls[active] <= 200
    check_truth(week, begun)
