"""Defects of the predecessor that this program does not have (see tests/unit/test_legacy_defects.py)."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from spotisync.core.outcomes import Parked, Retry
from spotisync.errors import IllegalMove
from spotisync.simulator import Server, start
from spotisync.store import runs
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts
from spotisync.sync import runs as lifecycle
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import GONE, Store


def asked(simulator: Server, path: str) -> list[dict[str, Any]]:
    return [each for each in simulator.control.requests() if each["path"].rstrip("/") == f"/v1{path}"]


def offsets(simulator: Server) -> list[int]:
    return [int(parse_qs(each["query"])["offset"][0]) for each in asked(simulator, "/me/tracks")]


def looked_up(simulator: Server, path: str) -> Counter[str]:
    return Counter(id_ for each in asked(simulator, path) for id_ in parse_qs(each["query"])["ids"][0].split(","))


def test_a_failed_run_resumes_where_it_stopped(make_context: Callable[..., Context], store: Store) -> None:
    with start(400, seed=3) as simulator:
        context = make_context(simulator, tracks_batch_size=50)
        run = driver.start(context, Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id))
        for _ in range(3):
            driver.step(context, run)
        before = checkpoints(store, run)
        with context.database.begin() as connection:
            runs.end(connection, run.id, "failed", error="the lights went out")
        simulator.control.reset_log()
        again = lifecycle.resume(context, run.id).run
        assert (again.id, again.phase, again.seq) == (run.id, "tracks", 3)
        assert checkpoints(store, run) == before
        assert driver.run_to_end(context, run)["status"] == "success"
        first, *_, last = offsets(simulator)
        assert (first, last) == (150, 0)  # the head is read again at the end
        assert offsets(simulator).count(0) == 1


def checkpoints(store: Store, run: Run) -> list[Any]:
    return store.sql("SELECT state_key, cursor FROM sync_state WHERE sync_id = :id ORDER BY id", id=run.id)


def test_after_a_crash_a_trigger_joins_the_run_and_a_sweep_resumes_it(
    context: Context, account: Account, store: Store
) -> None:
    run = driver.start(context, account)
    assert store.claim(run, GONE)
    again = lifecycle.trigger(context, account.name, "full", "cli")
    assert (again.run.id, again.created) == (run.id, False)
    assert [each.id for each in lifecycle.take_due_runs(context)] == [run.id]
    assert driver.run_to_end(context, run)["status"] == "success"
    assert lifecycle.trigger(context, account.name, "full", "cli").created


def test_looks_up_every_stub_exactly_once(context: Context, simulator: Server, account: Account, store: Store) -> None:
    simulator.control.reset_log()
    assert driver.full_sync(context, account)["status"] == "success"
    for entity in ("artists", "albums"):
        times = looked_up(simulator, f"/{entity}")
        assert set(times.values()) == {1}
        own = {"artists": "SELECT artist_id FROM followed_artists", "albums": "SELECT album_id FROM saved_albums"}
        assert set(times) == {id_ for (id_,) in store.sql(f"SELECT id FROM {entity} WHERE id NOT IN ({own[entity]})")}
        assert store.one(f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'") == 0


def test_the_next_run_does_not_repeat_look_ups(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    assert store.one("SELECT count(*) FROM artists WHERE genres = '{}'") > 0
    simulator.control.reset_log()
    driver.full_sync(context, account)
    assert asked(simulator, "/artists") == []
    assert asked(simulator, "/albums") == []


def test_a_long_wait_is_shown_with_its_end(context: Context, simulator: Server, account: Account, store: Store) -> None:
    simulator.control.add_fault(status=429, retry_after=3600, family="library")
    run = driver.start(context, account)
    outcome = driver.step(context, run)
    assert isinstance(outcome, Parked)
    assert outcome.result.rate_limited
    assert store.column(run, "status") == "rate_limited"
    ((status, wait),) = store.sql(
        """SELECT status, EXTRACT(epoch FROM rate_limit_reset_at - now()) FROM sync_state
        WHERE sync_id = :id AND entity_type = 'tracks'""",
        id=run.id,
    )
    assert status == "rate_limited"
    assert 3_500 < wait < 3_700
    assert store.one("SELECT max(failures) FROM sync_state") == 0
    assert driver.run_to_end(context, run)["status"] == "success"


def test_a_seven_second_limit_causes_a_seven_second_wait(context: Context, simulator: Server, account: Account) -> None:
    simulator.control.add_fault(status=429, retry_after=7, family="library")
    outcome = driver.step(context, driver.start(context, account))
    assert isinstance(outcome, Retry)
    assert 6 < outcome.seconds <= 8


def test_a_duplicate_message_waits_as_long_as_the_original(
    context: Context, simulator: Server, account: Account
) -> None:
    simulator.control.add_fault(status=429, retry_after=7, family="library")
    run = driver.start(context, account)
    driver.step(context, run)
    simulator.control.reset_log()
    outcome = driver.step(context, run)
    assert isinstance(outcome, Retry)
    assert 5 < outcome.seconds <= 7
    assert simulator.control.requests() == []


def test_an_interrupted_read_keeps_the_items_of_a_playlist(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    items = "SELECT playlist_id, position, uri FROM playlist_items ORDER BY 1, 2"
    before = store.sql(items)
    assert before
    store.sql("UPDATE playlists SET items_snapshot_id = 'old'")
    run = driver.start(context, account)
    simulator.control.add_fault(status=500, path="/items", times=None, after=1)
    for _ in range(20):
        if driver.get_run(context, run).phase == "playlists":
            break
        driver.step(context, run)
    for _ in range(3):
        driver.step(context, run)
        driver.expire_waits(context, run)
    assert store.sql(items) == before
    simulator.control.clear_faults()
    driver.run_to_end(context, run)
    assert store.sql(items) == before


@pytest.mark.parametrize("family", mostly_slow(["artists", "albums"]))
def test_any_number_of_waits_defers_no_look_up(
    context: Context, simulator: Server, account: Account, store: Store, family: str
) -> None:
    """A wait is not a failure, so it does not count as a failed look-up."""
    simulator.control.add_fault(status=429, retry_after=1, family=family, times=25)
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert store.one(f"SELECT count(*) FROM {family} WHERE enrichment = 'stub'") == 0


def test_a_bug_in_one_batch_ends_the_run_as_failed(context: Context, simulator: Server, account: Account) -> None:
    """The run fails with a message after ten attempts and can be resumed."""
    simulator.control.add_fault(kind="null", times=None)
    run = driver.start(context, account)
    summary = driver.run_to_end(context, run)
    assert summary["status"] == "failed"
    assert "10 tries in a row failed" in summary["last_error"]
    simulator.control.clear_faults()
    lifecycle.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"
    with pytest.raises(IllegalMove, match="can't be resumed"):
        lifecycle.resume(context, run.id)
