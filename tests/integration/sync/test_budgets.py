"""Budgets of calls: learned from refusals, spent by purpose, and never an obstacle for who asks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spotisync import status
from spotisync.core.outcomes import More, Parked, PhaseEnded
from spotisync.simulator import Server, start
from spotisync.status import budget
from spotisync.store import budgets
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from spotisync.sync.batch import run_batch
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.clock import TimedContext
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

LIBRARY = "library"


@pytest.fixture
def server() -> Iterator[Server]:
    with start("small", seed=4, quirks=False) as server:
        yield server


@pytest.fixture
def timed(server: Server, make_timed_context: Callable[..., TimedContext]) -> TimedContext:
    return make_timed_context(server)


@pytest.fixture
def listener(timed: TimedContext) -> Account:
    return Account(accounts.add(timed.context, timed.simulator.refresh_token(), None).spotify_user_id)


@pytest.fixture
def timed_store(timed: TimedContext) -> Store:
    return Store(timed.context.database)


def begin(context: Context, account: Account, sync_type: Any = "full", by: Any = "beat") -> Run:
    return runs.trigger(context, account.name, sync_type, by).run


def drive(context: Context, run: Run) -> Any:
    """Run batches until one is neither committed nor the end of a phase."""
    while (due := driver.get_run(context, run)).phase != "finish":
        outcome = run_batch(context, due.id, due.phase, due.seq)
        if not isinstance(outcome, More | PhaseEnded):
            return outcome
    runs.finish(context, run.id)
    return None


def sent(timed: TimedContext, family: str = LIBRARY) -> int:
    return sum(each["family"] == family for each in timed.simulator.control.requests())


def learn(store: Store, family: str, estimate: int, days: int = 0) -> None:
    store.sql(
        "INSERT INTO budgets VALUES ('simulated', :family, :estimate, now() - make_interval(days => :days))",
        family=family,
        estimate=estimate,
        days=days,
    )


def estimates(store: Store) -> dict[str, int]:
    return {row.family: row.estimate for row in store.sql("SELECT family, estimate FROM budgets")}


def test_a_refusal_for_the_quota_teaches_the_ceiling(
    timed: TimedContext, listener: Account, timed_store: Store
) -> None:
    timed.simulator.control.settings(quota={LIBRARY: 60})
    drive(timed.context, begin(timed.context, listener, by="cli"))
    assert timed_store.one("SELECT reason FROM rate_limits WHERE family = 'library'") == "quota"
    (found,) = estimates(timed_store).items()
    assert found[0] == LIBRARY
    assert 50 <= found[1] <= 60


def test_a_refusal_for_the_rate_teaches_nothing(timed: TimedContext, listener: Account, timed_store: Store) -> None:
    timed.simulator.control.settings(rate=5)
    drive(timed.context, begin(timed.context, listener, by="cli"))
    assert timed_store.one("SELECT count(*) FROM rate_limits WHERE reason = 'rate'") == 1
    assert estimates(timed_store) == {}


def test_only_a_lower_number_replaces_an_estimate(timed: TimedContext, listener: Account, timed_store: Store) -> None:
    learn(timed_store, LIBRARY, 80, days=9)  # 96 by now
    for spent, expected in ((90, 80), (70, 70), (75, 70), (10, 50)):
        timed_store.sql("DELETE FROM call_ledger")
        timed_store.sql("INSERT INTO call_ledger VALUES ('simulated', 'library', now(), 0, :calls)", calls=spent)
        with timed.context.database.begin() as connection:
            budgets.record_refusal(connection, "simulated", LIBRARY)
        assert estimates(timed_store) == {LIBRARY: expected}


def test_a_scheduled_full_sync_waits_for_older_calls_to_leave_the_day(
    timed: TimedContext, listener: Account, timed_store: Store
) -> None:
    learn(timed_store, LIBRARY, 50)  # of which a full sync may spend 40
    run = begin(timed.context, listener)
    outcome = drive(timed.context, run)
    assert isinstance(outcome, Parked)
    assert sent(timed) == 40
    parked = driver.get_run(timed.context, run)
    assert parked.status == "rate_limited"
    assert timed_store.sql("SELECT * FROM rate_limits") == []  # Spotify has refused nothing
    event = timed_store.sql("SELECT kind, family, message FROM run_events ORDER BY id DESC LIMIT 1")[0]
    assert tuple(event) == ("parked", LIBRARY, "budget")
    with timed.context.database.begin() as connection:
        document = status.run(connection, timed.context.settings, run.id)
        shown = budget.read_document(connection, timed.context.settings)["developers"][0]["families"][0]
    assert document
    assert "the daily budget for library reads is spent; older calls leave it by then" in document["message"]
    assert "Spotify" not in document["message"]
    assert (shown["spent"], shown["allowance"], shown["ceiling"]) == (40, 45, 50)
    timed.clock.advance(23 * 3600)
    assert runs.take_due_runs(timed.context) == []
    assert isinstance(run_batch(timed.context, run.id, parked.phase, parked.seq).result.success, bool)
    assert sent(timed) == 40  # a copy of the message is refused
    for _ in range(30):
        timed.clock.advance(3600)
        for due in runs.take_due_runs(timed.context):
            drive(timed.context, due)
    assert driver.get_run(timed.context, run).status == "success"
    driver.incremental_sync(timed.context, listener)  # shows and the like do not wait for the budget
    assert_tables_equal_truth(timed.context, listener, timed.simulator.control.truth())


def test_whoever_joins_a_waiting_run_sets_it_going(timed: TimedContext, listener: Account, timed_store: Store) -> None:
    learn(timed_store, LIBRARY, 50)
    run = begin(timed.context, listener)
    assert isinstance(drive(timed.context, run), Parked)
    assert begin(timed.context, listener, by="cli").id == run.id
    (due,) = runs.take_due_runs(timed.context)
    assert drive(timed.context, due) is None
    assert sent(timed) > 50
    assert driver.get_run(timed.context, run).status == "success"


def test_resuming_a_run_ends_its_wait_for_the_budget(
    timed: TimedContext, listener: Account, timed_store: Store
) -> None:
    learn(timed_store, LIBRARY, 50)
    run = begin(timed.context, listener)
    assert isinstance(drive(timed.context, run), Parked)
    resumed = runs.resume(timed.context, run.id)
    assert (resumed.created, resumed.spends_reserve) == (False, True)
    (due,) = runs.take_due_runs(timed.context)
    assert drive(timed.context, due) is None
    assert driver.get_run(timed.context, run).status == "success"


def test_a_sync_that_somebody_asks_for_spends_the_reserve(
    timed: TimedContext, listener: Account, timed_store: Store
) -> None:
    learn(timed_store, LIBRARY, 50)
    assert drive(timed.context, begin(timed.context, listener, by="web")) is None
    assert_tables_equal_truth(timed.context, listener, timed.simulator.control.truth())


def test_a_scheduled_incremental_defers_what_it_can_not_afford(
    timed: TimedContext, listener: Account, timed_store: Store
) -> None:
    driver.full_sync(timed.context, listener)
    learn(timed_store, LIBRARY, 50)
    timed.simulator.control.edit("like")
    before = sent(timed), sent(timed, "playlists")
    run = begin(timed.context, listener, "incremental")
    assert drive(timed.context, run) is None
    assert sent(timed) == before[0]
    assert sent(timed, "playlists") > before[1]
    assert timed_store.one("SELECT count(*) FROM run_events WHERE kind = 'put_off' AND sync_id = :id", id=run.id) >= 1
    timed.clock.advance(25 * 3600)
    assert drive(timed.context, begin(timed.context, listener, "incremental")) is None
    assert_tables_equal_truth(timed.context, listener, timed.simulator.control.truth())


@pytest.mark.parametrize("regime", mostly_slow(["restricted", "full"]))
def test_look_ups_leave_a_third_of_their_ceiling(
    regime: str, server: Server, make_timed_context: Callable[..., TimedContext]
) -> None:
    timed = make_timed_context(server, enrichment="always", artists_batch_size=20, albums_batch_size=20)
    account = Account(accounts.add(timed.context, server.refresh_token(), None).spotify_user_id)
    server.control.settings(regime=regime)
    store = Store(timed.context.database)
    for family in ("artists", "albums"):
        learn(store, family, 50)
    if regime == "full":  # otherwise they are fewer than the allowance
        store.sql("INSERT INTO call_ledger VALUES ('simulated', 'artists', now(), 0, 34)")
    run = begin(timed.context, account)
    assert drive(timed.context, run) is None
    assert driver.get_run(timed.context, run).status == "success"
    while enrich(timed.context).more:
        pass
    assert sent(timed, "artists") <= 35 - 34 * (regime == "full")
    assert sent(timed, "albums") <= 35
    timed.clock.advance(25 * 3600)
    before = sent(timed, "artists")
    while enrich(timed.context).more:
        pass
    assert sent(timed, "artists") > before


def test_a_budget_of_the_operator_counts_without_a_refusal(
    server: Server, make_timed_context: Callable[..., TimedContext]
) -> None:
    timed = make_timed_context(server, budget_library=50)
    account = Account(accounts.add(timed.context, server.refresh_token(), None).spotify_user_id)
    assert isinstance(drive(timed.context, begin(timed.context, account)), Parked)
    assert sent(timed) == 40
