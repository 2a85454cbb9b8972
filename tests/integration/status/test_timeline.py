"""The events of a run match its counters; other parts of the status document; notifications of listeners."""

import runpy
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spotisync import status
from spotisync.core.states import OVER, PHASES
from spotisync.simulator import Server
from spotisync.store.runs import Run
from spotisync.sync import Context, processes
from spotisync.sync import runs as lifecycle
from tests.integration.sync.test_batch_cost import OLD_PLANS, PAGE_COST, CountingDatabase
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import GONE, LEASE, Store

MIGRATIONS = Path(__file__).parents[3] / "migrations" / "versions"
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MISHAPS = ("500", "short", "long", "killed", "killed and swept", "late", "cancelled")


def get_status(context: Context, account: str | None = None) -> Any:
    with context.database.begin() as connection:
        found = status.documents(connection, context.settings, account)
    return found[0] if len(found) == 1 else found


def events(context: Context, sync_id: int) -> list[dict[str, Any]]:
    with context.database.begin() as connection:
        return status.list_events(connection, sync_id, limit=1000)


def kinds(context: Context, sync_id: int) -> list[str]:
    return [each["kind"] for each in events(context, sync_id)]


def test_the_timeline_shows_stops_and_starts_of_processes(context: Context, account: Account, store: Store) -> None:
    run = driver.start(context, account)
    owner = store.one("SELECT account_id FROM sync_history WHERE id = :id", id=run.id)
    ended = store.run("incremental", account_id=owner, status="success", completed_at="now()")
    for _ in range(3):
        processes.record_start(context.database)
        processes.record_stop(context.database)
        processes.record_stop(context.database)
    assert [each["text"] for each in events(context, run.id)][-1].startswith("spotisync was stopped")
    processes.record_start(context.database)
    assert kinds(context, run.id) == ["begun", "woken", "woken"]
    assert events(context, run.id)[-1]["text"] == "spotisync was started again."
    assert "woken" not in kinds(context, ended.id)


def test_a_stop_does_not_end_the_wait_that_is_counted(context: Context, account: Account, store: Store) -> None:
    run = driver.start(context, account)
    store.sql(
        """INSERT INTO run_events (sync_id, kind, family, seconds, message, at)
        VALUES (:id, 'parked', 'library', 600, 'rate', now() - interval '300 s')""",
        id=run.id,
    )
    processes.record_stop(context.database)
    store.sql("UPDATE run_events SET at = now() - interval '200 s' WHERE message = 'stopped'")
    with context.database.begin() as connection:
        assert 299 < status.get_totals(connection, run.id)["waited"] < 320


# ---- events and counters --------------------------------------------------------------------------------------------


def cause_mishap(mishap: str, simulator: Server, context: Context, store: Store, run: Run) -> None:
    """Cause a mishap before the next batch."""
    due = driver.get_run(context, run)
    match mishap:
        case "500":
            simulator.control.add_fault(kind="status", status=500, times=1)
        case "short":
            simulator.control.add_fault(kind="status", status=429, retry_after=3, times=1)
        case "long":
            simulator.control.add_fault(kind="status", status=429, retry_after=7200, times=1)
        case "killed" | "killed and swept" if due.status == "in_progress" and due.attempts < 4:
            store.sql("UPDATE sync_history SET not_before = NULL WHERE id = :id", id=run.id)
            assert store.claim(due, GONE)
            if mishap == "killed and swept":
                lifecycle.take_due_runs(context)
        case "late" if due.status == "in_progress":
            # Its lease expires while it works: another worker has the batch when it commits.
            lose_lease(context, store, due)
        case "cancelled":
            lifecycle.cancel(context, run.id)
            lifecycle.resume(context, run.id)


def lose_lease(context: Context, store: Store, due: Run) -> None:
    token = store.claim(due)
    if token is None:
        return
    store.set(due.id, wake_at="now() - interval '1 second'")
    assert store.claim(due, lease=LEASE)
    assert not store.advance(due, token)
    store.set(due.id, wake_at="now() - interval '1 second'")


@settings(max_examples=6, deadline=None, suppress_health_check=QUIET, phases=[Phase.explicit, Phase.generate])
@given(mishaps=st.lists(st.sampled_from(("", *MISHAPS)), max_size=12))
def test_the_events_of_a_run_match_its_counters(
    mishaps: list[str], context: Context, account: Account, simulator: Server, store: Store
) -> None:
    check_events(mishaps, context, account, simulator, store)


def test_events_of_every_kind_match_the_counters(
    context: Context, account: Account, simulator: Server, store: Store
) -> None:
    run = check_events([*MISHAPS, *MISHAPS], context, account, simulator, store)
    listed = Counter(kinds(context, run.id))
    assert listed.keys() >= {"begun", "batch", "wait", "parked", "woken", "retried", "lost", "resumed", "success"}
    assert (listed["begun"], listed["success"], listed["cancelled"], listed["resumed"]) == (1, 1, 2, 2)


def check_events(mishaps: list[str], context: Context, account: Account, simulator: Server, store: Store) -> Run:
    run, rest = driver.start(context, account), iter(mishaps)

    def before(_: Run) -> None:
        cause_mishap(next(rest, ""), simulator, context, store, run)

    try:
        summary = driver.run_to_end(context, run, before=before)
    finally:
        simulator.control.clear_faults()
        store.sql("DELETE FROM rate_limits")
    assert summary["status"] == "success"
    listed = events(context, run.id)
    assert_in_order(listed)
    assert_adds_up(listed, summary)
    assert_adds_up(status.fold_batches(listed), summary)
    with context.database.begin() as connection:
        totals = status.get_totals(connection, run.id)
    assert (totals["items"], totals["calls"]) == (summary["items_processed"], summary["api_calls"])
    assert all(each["text"].endswith((".", "!", "?")) for each in listed)
    return run


def assert_in_order(listed: list[dict[str, Any]]) -> None:
    kinds_in_order = [each["kind"] for each in listed]
    assert (kinds_in_order[0], kinds_in_order.count("begun")) == ("begun", 1)
    assert (kinds_in_order[-1], kinds_in_order.count("success")) == ("success", 1)
    for this, then in pairwise(kinds_in_order):
        assert this not in OVER or then == "resumed"
        assert this != "parked" or then in {"woken", "cancelled"}
    assert kinds_in_order.count("resumed") == sum(kinds_in_order.count(end) for end in OVER) - 1
    batches = [(each["phase"], each["seq"]) for each in listed if each["kind"] == "batch"]
    phases = [(phase, [seq for _, seq in group]) for phase, group in groupby(batches, lambda each: each[0])]
    assert [phase for phase, _ in phases] == list(PHASES), "each event once and in order"
    assert all(seqs == list(range(len(seqs))) for _, seqs in phases)
    lost = Counter((each["phase"], each["seq"]) for each in listed if each["kind"] == "lost")
    tries = {(each["phase"], each["seq"]): each["attempt"] for each in listed if each["kind"] == "batch"}
    assert all(tries[batch] <= times + 1 for batch, times in lost.items())


def assert_adds_up(listed: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    batches = [each for each in listed if each["kind"] in {"batch", "batches"}]
    assert sum(each["items"] for each in batches) == summary["items_processed"]
    assert sum(each["calls"] or 0 for each in listed) == summary["api_calls"]


def test_a_failed_or_cancelled_run_has_one_final_event(context: Context, account: Account, simulator: Server) -> None:
    simulator.control.add_fault(kind="status", status=403, message="no", path="/v1/me/", times=None)
    run = driver.start(context, account)
    assert driver.run_to_end(context, run)["status"] == "failed"
    last = events(context, run.id)[-1]
    assert (last["kind"], last["calls"]) == ("failed", 1)
    assert "no" in last["text"]
    lifecycle.resume(context, run.id)
    for _ in range(2):
        lifecycle.cancel(context, run.id)
    assert kinds(context, run.id)[-3:] == ["failed", "resumed", "cancelled"]


def test_consecutive_waits_of_a_batch_are_one_event(store: Store) -> None:
    run = store.run()
    for _ in range(3):
        with store.database.begin() as connection:
            runs_wait(connection, run, "pace")
    assert store.sql("SELECT attempt, seconds FROM run_events WHERE kind = 'wait'") == [(3, 4.5)]
    with store.database.begin() as connection:
        runs_wait(connection, store.get_run(run.id), "pace", seq=1)
    assert store.one("SELECT count(*) FROM run_events WHERE kind = 'wait'") == 2


def runs_wait(connection: Any, run: Run, why: str, seq: int = 0) -> None:
    from spotisync.store import events as stored

    event = stored.Event("wait", why, phase=run.phase, seq=seq, family=run.family, seconds=1.5)
    stored.add_event(connection, run.id, event)


def test_reads_a_timeline_page_by_page(context: Context, account: Account) -> None:
    run = driver.full_sync(context, account)["sync_id"]
    whole, pages, before = events(context, run), list[dict[str, Any]](), None
    with context.database.begin() as connection:
        while page := status.list_events(connection, run, limit=3, before=before):
            pages, before = page + pages, page[0]["id"]
        assert status.list_events(connection, 10**9) == []
    assert pages == whole


def test_an_incremental_says_what_it_deferred(context: Context, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    looked = get_status(context, account.name)["read_at"]["playlists"]["looked"]
    run = lifecycle.trigger(context, account.name, "incremental", "cli").run
    while driver.get_run(context, run).phase == "tracks":
        driver.step(context, run)
    store.block("playlists")
    context.default_app.gate._read_at = float("-inf")
    while (due := driver.get_run(context, run)).phase != "finish":
        driver.step(context, due)
    lifecycle.finish(context, run.id)
    (put_off,) = [each for each in events(context, run.id) if each["kind"] == "put_off"]
    assert (put_off["phase"], put_off["family"]) == ("playlists", "playlists")
    assert put_off["text"].startswith("Playlist reads deferred")
    read_at = get_status(context, account.name)["read_at"]
    assert read_at["playlists"]["looked"] == looked < read_at["tracks"]["looked"]


# ---- other parts of the document ------------------------------------------------------------------------------------


def test_lists_the_changes_of_the_last_runs_by_name(
    context: Context, account: Account, simulator: Server, store: Store
) -> None:
    first = driver.full_sync(context, account)["sync_id"]
    simulator.world.edit("like")
    simulator.world.edit("unlike")
    second = driver.incremental_sync(context, account)["sync_id"]
    driver.incremental_sync(context, account)
    changes = get_status(context, account.name)["changes"]
    assert [each["sync_id"] for each in changes] == [second, first], "a run that changed nothing is not listed"
    listed = {(name["kind"], name["change"], name["id"], name["name"]) for name in changes[0]["names"]}
    assert listed == {
        tuple(row) for row in store.sql("SELECT kind, change, id, name FROM changes_of_run(:r)", r=second)
    }
    assert changes[0]["words"] == "1 track added, 1 removed"
    counted = Counter(row.change for row in store.sql("SELECT change FROM changes_of_run(:run)", run=first))
    assert (changes[1]["added"], changes[1]["playlists"]["new"]) == (counted["added"], counted["new"])
    assert (len(changes[1]["names"]), changes[1]["more"]) == (10, counted.total() - 10)
    assert {name["kind"] for name in changes[1]["names"]} == {"track", "playlist"}


def test_counts_runs_of_an_older_release_in_the_same_way(
    context: Context, account: Account, simulator: Server, store: Store
) -> None:
    driver.full_sync(context, account)
    simulator.world.edit("unlike")
    driver.incremental_sync(context, account)
    kept = "SELECT changes FROM sync_history ORDER BY id"
    changes = store.sql(kept)
    proved = "SELECT tracks_proved_at FROM accounts WHERE spotify_user_id = :name"
    migration = runpy.run_path(str(MIGRATIONS / "0003_events.py"))
    store.sql("UPDATE sync_history SET changes = NULL")
    store.sql("UPDATE accounts SET tracks_proved_at = NULL")
    store.sql(migration["COUNTED"])
    assert store.sql(kept) == changes
    store.sql(migration["PROVED"].format(column="tracks_proved_at", phase="tracks"))
    assert store.one(proved, name=account.name)


def test_lists_the_available_actions(context: Context, store: Store) -> None:
    def can() -> dict[str, Any]:
        found: dict[str, Any] = get_status(context, "me")["can"]
        return found

    def of(run: Run) -> dict[str, Any]:
        with store.database.begin() as connection:
            document = status.run(connection, context.settings, run.id)
        assert document
        found: dict[str, Any] = document["can"]
        return found

    assert (can()["full"], can()["incremental"], can()["cancel"], can()["resume"]) == (True, True, None, None)
    old = store.run(status="failed", completed_at="now()")
    assert can()["resume"] == old.id
    run = store.run()
    assert (can()["full"], can()["incremental"], can()["cancel"], can()["resume"]) == (False, False, run.id, None)
    assert "Already covered by run" in can()["why_not"]["full"]
    assert (of(old)["cancel"], of(old)["resume"]) == (None, None)
    assert f"Run {run.id} is newer" in of(old)["why_not"]["resume"]
    store.set(run.id, status="rate_limited")
    assert can()["incremental"]
    store.set(run.id, status="cancelled", completed_at="now()")
    later = store.run("incremental", status="success", completed_at="now()")
    assert can()["resume"] == run.id, "the newest run of its type, even if another type is shown"
    assert of(later)["resume"] is None
    store.sql("UPDATE accounts SET status = 'needs_login'")
    assert (can()["full"], can()["resume"], set(can()["why_not"])) == (
        False,
        None,
        {"full", "incremental", "cancel", "resume", "confirm_removal"},
    )


def test_lists_the_calls_of_a_day_and_the_schedule(context: Context, account: Account, store: Store) -> None:
    store.sql("DELETE FROM accounts WHERE spotify_user_id = 'me'")
    summary = driver.full_sync(context, account)
    store.block("artists")
    document = get_status(context)
    day = document["calls"]["day"]
    assert sum(each["used"] for each in day.values()) == summary["api_calls"]
    assert [name for name, each in day.items() if each["blocked_until"]] == ["artists"]
    assert 0 < document["calls"]["window"]["used"] <= summary["api_calls"]
    assert [each["kind"] for each in document["upcoming"]] == ["full", "incremental", "playback", "enrich"]
    for name in ("tracks", "saved_albums", "followed_artists", "playlists"):
        assert document["read_at"][name]["words"].startswith("complete as of ")
    assert document["read_at"]["plays"]["words"] == "never read"


# ---- long histories -------------------------------------------------------------------------------------------------

RUNS, MOST = 4_000, 600
FILL = """
INSERT INTO accounts (spotify_user_id) SELECT 'u' || n FROM generate_series(1, 19) n;
INSERT INTO tracks (id, uri, name) SELECT 'x' || n, 'u', 'n' FROM generate_series(1, :n) n;
INSERT INTO sync_history (account_id, sync_type, status, trigger, phase, completed_at, changes)
    SELECT (SELECT min(id) FROM accounts), CASE WHEN n % 300 = 0 THEN 'full' ELSE 'incremental' END, 'success',
        'beat', 'finish', now(), CASE WHEN n % 50 = 0 THEN '{"added": 1}'::jsonb END FROM generate_series(1, :n) n;
INSERT INTO sync_state (sync_id, state_key, entity_type, status, completed_at)
    SELECT r.id, r.id || p, p, 'success', now()
    FROM sync_history r, unnest(ARRAY['tracks', 'artists', 'albums', 'playlists']) p;
INSERT INTO run_events (sync_id, kind, phase, family, seq, attempt, seconds, items, calls)
    SELECT r.id, 'batch', 'tracks', 'library', n, 1, 1, 1, 1 FROM sync_history r, generate_series(1, 3) n;
INSERT INTO saved_tracks (account_id, track_id, added_at)
    SELECT (SELECT min(id) FROM accounts), 'x' || n, '2020-01-01' FROM generate_series(1, :n) n;
UPDATE saved_spans SET from_run = (SELECT max(id) FROM sync_history)
"""


@pytest.fixture
def counting(database_url: str) -> Iterator[CountingDatabase]:
    made = CountingDatabase(f"{database_url}&options={OLD_PLANS}%20-c%20random_page_cost%3D{PAGE_COST}")
    yield made
    made.close()


def test_a_long_history_does_not_make_a_document_read_more(
    context: Context, counting: CountingDatabase, store: Store
) -> None:
    for statement in FILL.split(";"):
        store.sql(statement.replace(":n", str(RUNS)))
    store.sql("UPDATE sync_history SET changes = '{\"added\": 4000}' WHERE id = (SELECT max(id) FROM sync_history)")
    with counting.begin() as connection:
        documents = status.documents(connection, context.settings)
    with counting.begin() as connection:
        status.list_events(connection, documents[0]["sync_id"])
        status.get_totals(connection, documents[0]["sync_id"])
    assert len(documents) == 20
    assert len(documents[0]["changes"][0]["names"]) == 10
    much = {table: rows for read in counting.read for table, rows in read.items() if rows > MOST}
    assert much == {}
