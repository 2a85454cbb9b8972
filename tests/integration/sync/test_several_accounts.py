"""Several accounts: shared rows are looked up once, accounts take turns, errors stay with their account."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import text

from spotisync.core.cursors import Entity
from spotisync.core.outcomes import More, PhaseEnded, Retry, RunEnded
from spotisync.core.states import OVER
from spotisync.errors import Fatal
from spotisync.simulator import Server, start
from spotisync.store import catalogue, pending_lookups
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until

ONE, TWO = Account("user01"), Account("user02")
ENTITIES: tuple[Entity, ...] = ("artists", "albums")


@pytest.fixture
def simulator() -> Iterator[Server]:
    """Neighbouring accounts share about half of their artists."""
    with start(120, seed=5, accounts=2) as server:
        yield server


@pytest.fixture
def context(simulator: Server, make_context: Callable[..., Context]) -> Context:
    context = make_context(simulator, artists_batch_size=20, albums_batch_size=20, tracks_batch_size=50)
    for account in (ONE, TWO):
        accounts.add(context, simulator.refresh_token(account.name), None)
    return context


def in_turn(context: Context, *going: Run, before: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """Run one batch of each run in turn until all have ended; return their summaries."""
    for _ in range(500):
        unfinished = [run for run in going if driver.get_run(context, run).status not in OVER]
        if not unfinished:
            return [driver.summary(context, run) for run in going]
        before()
        for run in unfinished:
            if driver.get_run(context, run).phase == "finish":
                runs.finish(context, run.id)
            elif not isinstance(driver.step(context, run), More | PhaseEnded | RunEnded):
                driver.expire_waits(context, run)
    raise AssertionError("they do not end")


def looked_up(simulator: Server) -> Counter[str]:
    asked = [each for each in simulator.control.requests() if each["path"].rstrip("/") in ("/v1/artists", "/v1/albums")]
    return Counter(id_ for each in asked for id_ in parse_qs(each["query"])["ids"][0].split(","))


def to_phase(context: Context, run: Run, phase: str) -> None:
    for _ in range(100):
        if driver.get_run(context, run).phase == phase:
            return
        assert isinstance(driver.step(context, run), More | PhaseEnded)
    raise AssertionError(f"{phase} is not reached")


def take_all(context: Context, run: Run, lease: int = 100) -> None:
    """Let the run's current batch claim all stubs."""
    with context.database.begin() as connection:
        for entity in ENTITIES:
            assert catalogue.claim_stubs(connection, entity, run.id, 10_000, lease)


def stubs(store: Store) -> int:
    return sum(store.one(f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'") for entity in ENTITIES)


def save_stubs(store: Store, run: Run) -> None:
    """Add an artist and an album that only a look-up completes to the account's library."""
    for entity, table, column, time in (
        ("artists", "followed_artists", "artist_id", ""),
        ("albums", "saved_albums", "album_id", ", now()"),
    ):
        store.sql(f"INSERT INTO {entity} (id, uri) VALUES ('not-an-id', 'u')")
        names = f"account_id, {column}{', added_at' if time else ''}"
        store.sql(f"INSERT INTO {table} ({names}) VALUES (:id, 'not-an-id'{time})", id=run.account_id)


def own_stubs(context: Context, run: Run) -> int:
    with context.database.begin() as connection:
        return sum(pending_lookups.count_stubs(connection, run.account_id, entity) for entity in ENTITIES)


# ---- the shared catalogue -------------------------------------------------------------------------------------------


def test_looks_up_no_id_twice_and_completes_both_libraries(context: Context, simulator: Server, store: Store) -> None:
    going = [driver.start(context, account) for account in (ONE, TWO)]
    for summary in in_turn(context, *going):
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    for account in (ONE, TWO):
        assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
    times = looked_up(simulator)
    assert set(times.values()) == {1}
    there = {id_ for entity in ENTITIES for (id_,) in store.sql(f"SELECT id FROM {entity}")}
    listed = store.sql("SELECT album_id FROM saved_albums UNION SELECT artist_id FROM followed_artists")
    assert there - {id_ for (id_,) in listed} <= set(times) <= there
    shared = "SELECT count(*) FROM (SELECT track_id FROM saved_tracks GROUP BY 1 HAVING count(*) > 1) t"
    assert store.one(shared) > 10, "the accounts share enough artists for this test"


def test_waits_for_look_ups_of_another_run(context: Context, simulator: Server, store: Store) -> None:
    one, two = (driver.start(context, account) for account in (ONE, TWO))
    to_phase(context, one, "artists")
    assert isinstance(driver.step(context, one), More), "followed artists are read first"
    take_all(context, two)
    simulator.control.reset_log()
    outcome = driver.step(context, one)
    assert isinstance(outcome, Retry)
    assert 0 < outcome.seconds < 3
    assert looked_up(simulator) == Counter()
    assert (driver.get_run(context, one).phase, store.one("SELECT max(failures) FROM sync_state")) == ("artists", 0)
    in_turn(context, two)
    for summary in in_turn(context, one):
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert set(looked_up(simulator).values()) == {1}
    assert stubs(store) == 0


@pytest.mark.parametrize("phase", ["artists", "playlists"])
@pytest.mark.parametrize("way", mostly_slow(["lease", "failed", "disabled"]))
def test_takes_over_look_ups_that_another_run_abandoned(context: Context, store: Store, phase: str, way: str) -> None:
    """The stub is found early or when this run has nothing else to do."""
    one, two = (driver.start(context, account) for account in (ONE, TWO))
    driver.step(context, two)
    to_phase(context, one, phase)
    if phase == "playlists":
        save_stubs(store, one)
    take_all(context, two)
    outcomes = [driver.step(context, one)]
    while not isinstance(outcomes[-1], Retry):
        outcomes.append(driver.step(context, one))
    if way == "lease":
        for entity in ENTITIES:
            store.sql(f"UPDATE {entity} SET lookup_until = now()")
    elif way == "failed":
        store.set(two.id, status="failed")
    else:
        accounts.set_status(context, TWO.name, "disabled")
    summary = driver.run_to_end(context, one)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert own_stubs(context, one) == 0


def test_deferred_look_ups_include_those_of_another_run(context: Context, simulator: Server, store: Store) -> None:
    one, two = (driver.start(context, account) for account in (ONE, TWO))
    to_phase(context, one, "artists")
    take_all(context, two)
    store.block("artists", 86_400)
    store.block("albums", 86_400)
    context.default_app.gate._read_at = float("-inf")
    simulator.control.reset_log()
    (summary,) = in_turn(context, one)
    assert summary["status"] == "success"
    assert summary["items_deferred"] == own_stubs(context, one) > 0
    assert looked_up(simulator) == Counter()


def test_a_failing_run_blocks_no_stub_of_another(context: Context, simulator: Server) -> None:
    simulator.control.add_fault(status=500, family="artists", account=TWO.name, times=None)
    one, two = (driver.start(context, account) for account in (ONE, TWO))
    to_phase(context, two, "artists")
    assert isinstance(driver.step(context, two), More), "followed artists are read first"
    assert isinstance(driver.step(context, two), Retry)
    waits = 0
    while driver.get_run(context, one).phase in ("tracks", "artists"):
        waits += isinstance(driver.step(context, one), Retry)
    assert waits == 0


# ---- conflicting commits --------------------------------------------------------------------------------------------


def test_retries_a_batch_that_postgres_aborts_in_a_deadlock(
    simulator: Server, make_context: Callable[..., Context], context: Context, store: Store
) -> None:
    """The batch writes artists, then albums. The other transaction locks an album first, then waits for an artist.

    The batch is the last to wait, so its own check finds the deadlock and Postgres aborts it.
    """
    url = store.database._engine.url.render_as_string(hide_password=False)
    victim = make_context(simulator, database_url=f"{url}&options=-c%20deadlock_timeout%3D20", tracks_batch_size=50)
    run = driver.start(context, ONE)
    driver.step(context, run)
    for table in ("artists", "albums"):
        store.sql(f"UPDATE {table} SET name = 'old'")  # so that the same page writes the rows again
    store.sql("UPDATE sync_state SET cursor = NULL WHERE entity_type = 'tracks'")
    crossing: list[Future[Any]] = []
    writes: list[str] = []

    def cross(*args: Any) -> None:
        if not args[2].startswith("INSERT INTO artists"):
            return
        writes.append(args[2])
        if not crossing:
            crossing.append(threads.submit(other.execute, text("UPDATE artists SET name = 'held'")))
            wait_until(
                lambda: store.one("SELECT cardinality(pg_blocking_pids(:pid)) > 0", pid=pid), "the other transaction"
            )

    sql_event.listen(victim.database._engine, "after_cursor_execute", cross)
    with ThreadPoolExecutor(2) as threads:
        with store.database.begin() as other:
            other.execute(text("SET LOCAL deadlock_timeout = '1h'"))
            other.execute(text("UPDATE albums SET name = 'held'"))
            pid = other.execute(text("SELECT pg_backend_pid()")).scalar_one()
            batch = threads.submit(driver.step, victim, run)
            wait_until(lambda: crossing or batch.done(), "the batch to write artists")
            crossing[0].result(60)
        assert isinstance(batch.result(60), More | PhaseEnded)
    assert len(writes) == 2, "no deadlock happened"
    for table in ("artists", "albums"):
        assert store.one(f"SELECT count(*) FROM {table} WHERE name IN ('old', 'held')") == 0


def test_workers_that_write_the_same_rows_concurrently_all_commit(
    simulator: Server, make_context: Callable[..., Context], context: Context, store: Store
) -> None:
    """Two complete runs over one list, in two threads."""
    two = accounts.add(context, simulator.refresh_token(ONE.name), None)  # the same library for the second account
    store.sql("UPDATE accounts SET refresh_token = (SELECT refresh_token FROM accounts WHERE id = :id)", id=two.id)
    store.sql("UPDATE accounts SET access_token = (SELECT access_token FROM accounts WHERE id = :id)", id=two.id)
    going = [driver.start(context, account) for account in (ONE, TWO)]
    workers = [make_context(simulator, tracks_batch_size=50, artists_batch_size=20) for _ in going]
    summaries: list[dict[str, Any]] = []
    threads = [
        Thread(target=lambda pair=pair: summaries.append(driver.run_to_end(*pair)))
        for pair in zip(workers, going, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each["status"], each["last_error"]) for each in summaries] == [("success", None)] * 2
    assert store.one("SELECT sum(failures) FROM sync_state") == 0
    assert stubs(store) == 0
    assert set(looked_up(simulator).values()) == {1}


# ---- errors ---------------------------------------------------------------------------------------------------------


def revoked(_: Context, simulator: Server) -> None:
    simulator.control.revoke(TWO.name, access=True)


def refused(_: Context, simulator: Server) -> None:
    message = "Active premium subscription required for the owner of the app."
    simulator.control.add_fault(status=403, message=message, account=TWO.name, family="library", times=None)


def disabled(context: Context, _: Server) -> None:
    accounts.set_status(context, TWO.name, "disabled")


def noted_elsewhere(context: Context, _: Server) -> None:
    """Record a refusal that another worker received."""
    with context.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET status = 'needs_login' WHERE spotify_user_id = 'user02'")


@pytest.mark.parametrize(
    ("trouble", "status", "words"),
    [
        (revoked, "failed", "spotisync login"),
        (refused, "failed", "Active premium"),
        (disabled, "cancelled", "user02 was disabled; enable it: spotisync accounts enable user02"),
        (noted_elsewhere, "failed", "spotisync login"),
    ],
)
def test_an_error_of_one_account_ends_only_its_own_run(
    context: Context, simulator: Server, trouble: Callable[[Context, Server], None], status: str, words: str
) -> None:
    one, two = (driver.start(context, account) for account in (ONE, TWO))
    driver.step(context, two)
    trouble(context, simulator)
    first, second = in_turn(context, one, two)
    assert (first["status"], first["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(context, ONE, simulator.world.truth(ONE.name))
    assert second["status"] == status
    assert words in second["last_error"]


def test_a_run_of_an_account_disabled_meanwhile_ends_at_its_claim(context: Context, store: Store) -> None:
    run = driver.start(context, TWO)
    store.sql("UPDATE accounts SET status = 'disabled' WHERE spotify_user_id = 'user02'")
    outcome = driver.step(context, run)
    assert isinstance(outcome, RunEnded)
    assert outcome.status == driver.get_run(context, run).status == "cancelled"


@pytest.mark.parametrize("state", mostly_slow(["in_progress", "rate_limited", "pending"]))
def test_disabling_ends_runs_at_once_and_enabling_lets_them_resume(context: Context, store: Store, state: str) -> None:
    run = driver.start(context, TWO)
    driver.step(context, run)
    store.set(run.id, status=state)
    disabled(context, None)  # type: ignore[arg-type]
    assert driver.get_run(context, run).status == "cancelled"
    with pytest.raises(Fatal, match="disabled"):
        driver.start(context, TWO)
    accounts.set_status(context, TWO.name, "active")
    assert runs.resume(context, run.id).created
    assert driver.run_to_end(context, run)["status"] == "success"
