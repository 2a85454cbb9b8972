"""The read model on real tables."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from spotisync import status
from spotisync.cli import checks
from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.simulator import Server
from spotisync.store import accounts, counters, runs, schedules
from spotisync.store.accounts import TokenVault
from spotisync.store.database import Database
from spotisync.store.runs import Run
from spotisync.sync import Context
from spotisync.sync.accounts import check_spotify_answers
from tests.conftest import SECRET_KEY
from tests.support.driver import Account, full_sync, start, step
from tests.support.store import CLIENT, GONE, Store

CONTRACT = {
    "status", "current_offset", "total_items", "items_processed", "percent_complete", "last_error",
    "rate_limit_reset_at", "eta", "items_added", "items_updated", "items_removed", "items_deferred",
}  # fmt: skip
PHASES = ["tracks", "artists", "albums", "playlists"]


@pytest.fixture
def get_status(store: Store, make_settings: Callable[..., Settings]) -> Callable[..., Any]:
    """Return the status document, or the list for several accounts."""
    settings = make_settings("http://127.0.0.1:1", timezone="UTC")

    def get_status(account: str | None = None, client_id: str | None = CLIENT) -> Any:
        with store.database.begin() as connection:
            found = status.documents(connection, settings.model_copy(update={"client_id": client_id}), account)
        return found[0] if len(found) == 1 else found

    return get_status


def age(store: Store, seconds: int) -> None:
    store.sql(f"UPDATE sync_state SET updated_at = now() - interval '{seconds} seconds'")
    store.sql(f"UPDATE sync_history SET started_at = now() - interval '{seconds} seconds'")


def claimed(store: Store, run: Run) -> None:
    assert store.claim(run)


def test_status_without_runs_without_accounts_and_for_several(store: Store, get_status: Callable[..., Any]) -> None:
    assert get_status()["message"] == "No sync has run yet for me."
    run = store.run()
    document = get_status()
    assert (document["sync_id"], document["account"]) == (run.id, "me")
    assert list(document["phases"]) == PHASES
    assert all(phase.keys() >= CONTRACT for phase in document["phases"].values())
    other = store.account("other")
    assert [(each["account"], each["sync_id"]) for each in get_status()] == [("me", run.id), ("other", None)]
    assert get_status("other")["status"] is None
    store.run(account_id=other)
    assert [each["status"] for each in get_status()] == ["in_progress", "in_progress"]
    with pytest.raises(Fatal, match="nobody"):
        get_status("nobody")
    store.sql("DELETE FROM accounts")
    assert get_status()["message"] == "No account yet."


def test_each_account_of_a_list_has_the_document_it_has_alone(store: Store, get_status: Callable[..., Any]) -> None:
    """The list has as many queries for many accounts as for one."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    def add(name: str) -> None:
        account_id = store.account(name)
        store.run("incremental", account_id, status="success", completed_at="now()")
        run = store.run("full", account_id)
        store.sql("UPDATE sync_state SET items_deferred = 2, batches = 1 WHERE sync_id = :run", run=run.id)
        store.sql(
            """INSERT INTO listings (account_id, list, deferred, deferred_reason, deferred_sync_id, unread)
            VALUES (:id, 'playlists', 3, :name, :run, true)""",
            id=account_id, name=name, run=run.id,
        )  # fmt: skip
        store.sql("INSERT INTO playback_gaps (account_id, from_at, to_at) VALUES (:id, now(), now())", id=account_id)

    store.sql("DELETE FROM accounts")
    add("a")
    add("b")
    event.listen(store.database._engine, "before_cursor_execute", note)
    get_status()
    few = len(statements)
    for name in "cdef":
        add(name)
    statements.clear()
    listed = get_status()
    assert len(statements) == few
    clock = {"as_of", "calls", "words", "notes"}
    for each in listed:
        alone = get_status(each["account"])
        assert {key: each[key] for key in alone if key not in clock} == {
            key: alone[key] for key in alone if key not in clock
        }
        assert each["lists_put_off"] == {"playlists": each["account"]}
        assert len(each["playback"]["gaps"]) == 1


def test_removed_messages_are_counted_whether_or_not_a_run_waits(store: Store, get_status: Callable[..., Any]) -> None:
    assert get_status()["rejected_messages"] is None
    for number in (3, 4):
        with store.database.begin() as connection:
            counters.increment(connection, {counters.REJECTED: number})
            schedules.record_heartbeat(connection, "rejection")
    assert get_status()["rejected_messages"]["count"] == 7
    assert "removed 7 malformed or surplus messages" in get_status()["notes"][0]
    store.set(store.run().id, status="success", completed_at="now()")
    assert "removed 7 malformed or surplus messages" in " ".join(get_status()["notes"])


def test_every_document_has_the_same_keys(store: Store, get_status: Callable[..., Any]) -> None:
    never = get_status().keys()
    store.run()
    assert get_status().keys() == never
    store.sql("DELETE FROM accounts")
    assert get_status().keys() == never


def test_the_summary_has_the_same_keys_as_before(store: Store) -> None:
    run = store.run()
    with store.database.begin() as connection:
        summary = status.summary(connection, run.id)
    assert set(summary) == {*status.read.SUMMARY, "phases"}
    assert "busy_seconds" not in summary["phases"]["tracks"]


def test_the_active_run_comes_before_a_parked_one(store: Store, get_status: Callable[..., Any]) -> None:
    parked = store.run("full", status="rate_limited")
    going = store.run("incremental")
    document = get_status()
    assert document["sync_id"] == going.id
    assert document["other_runs"] == [{"sync_id": parked.id, "sync_type": "full", "status": "rate_limited"}]
    store.set(going.id, status="success", completed_at="now()")
    assert get_status()["sync_id"] == parked.id


def test_says_whether_a_worker_has_the_run(store: Store, get_status: Callable[..., Any]) -> None:
    run = store.run()
    assert "Waiting for a worker" in get_status()["message"]
    age(store, 3600)
    assert "none has taken the next batch for 1 h" in get_status()["message"]
    claimed(store, run)
    assert get_status()["worker"]["alive"]
    assert "Reading saved tracks" in get_status()["message"]
    store.set(run.id, claim_pid=GONE.pid)
    assert "Worker lost" in get_status()["message"]


def test_a_resumed_run_was_not_idle_since_it_failed(store: Store, get_status: Callable[..., Any]) -> None:
    run = store.run(status="failed", completed_at="now()")
    age(store, 3600)
    with store.database.begin() as connection:
        assert runs.reopen(connection, run.id)
    assert "Waiting for a worker" in get_status()["message"]


def test_says_what_a_parked_run_waits_for(store: Store, get_status: Callable[..., Any]) -> None:
    store.run(status="rate_limited")
    store.block("library", 7200)
    document = get_status()
    assert document["message"].startswith("Paused until ")
    assert "(2 h): Spotify rate limit" in document["message"]
    until = store.one("SELECT blocked_until FROM rate_limits")
    assert datetime.fromisoformat(document["waiting_until"]) == until
    assert [each["family"] for each in document["blocked"]] == ["library"]
    store.sql("UPDATE rate_limits SET blocked_until = now()")
    assert "Rate limit expired" in get_status()["message"]
    assert get_status(client_id=None)["blocked"] is None, "without an account the limits are unknown"


def test_counts_deferred_look_ups_down(store: Store, get_status: Callable[..., Any]) -> None:
    run = store.run(status="success", completed_at="now()", phase="finish")
    store.sql("UPDATE sync_state SET items_deferred = 1200 WHERE sync_id = :id AND entity_type = 'artists'", id=run.id)
    store.sql("INSERT INTO artists (id, uri) SELECT 'a' || n, 'u' FROM generate_series(1, 3000) n")
    assert get_status()["to_look_up"] == {"artists": 1200}
    assert "deferred until Spotify allows them: 1,200 artists" in get_status()["notes"][0]
    store.sql("DELETE FROM artists WHERE id <> 'a1'")
    assert get_status()["to_look_up"] == {"artists": 1}
    store.sql("DELETE FROM artists")
    assert not [note for note in get_status()["notes"] if "deferred" in note]


def test_says_that_an_account_has_to_log_in(store: Store, get_status: Callable[..., Any]) -> None:
    store.run(status="failed", completed_at="now()")
    store.sql("UPDATE accounts SET status = 'needs_login', last_error = 'Spotify no longer takes this login'")
    document = get_status()
    assert document["account_status"] == "needs_login"
    assert document["message"] == "me has to log in again: Spotify no longer takes this login."
    assert "spotisync login" in document["to_do"]


def test_the_scheduler_leaves_a_heartbeat(store: Store, get_status: Callable[..., Any]) -> None:
    store.sql("DELETE FROM heartbeats")
    assert get_status()["schedule"]["last_sweep"] is None

    def beat() -> datetime:
        with store.database.begin() as connection:
            schedules.record_heartbeat(connection, "sweep")
        with store.database.begin() as connection:
            found = schedules.get_last_heartbeat(connection, "sweep")
        assert found
        return found

    first = beat()
    assert beat() == first, "a heartbeat every few seconds is enough"
    store.sql("UPDATE heartbeats SET beat_at = now() - interval '1 minute'")
    assert beat() > first
    assert get_status()["schedule"]["last_sweep"] is not None


# ---- real batches ---------------------------------------------------------------------------------------------------


def test_batches_record_their_duration_without_waits(
    context: Context, account: Account, get_status: Callable[..., Any], store: Store
) -> None:
    run = start(context, account)
    store.sql("UPDATE sync_state SET updated_at = now() - interval '1 day'")
    step(context, run)
    busy = get_status(account.name)["phases"]["tracks"]["busy_seconds"]
    assert 0 < busy < 60, "the first batch begins with its claim"
    store.sql("UPDATE sync_state SET updated_at = now() - interval '1 day'")
    store.sql("UPDATE sync_state SET rate_limit_reset_at = now() WHERE status = 'in_progress'")
    step(context, run)
    assert get_status(account.name)["phases"]["tracks"]["busy_seconds"] < 60, (
        "a batch after a wait begins with its claim"
    )


def test_forecasts_the_second_run_from_the_first(
    context: Context, account: Account, get_status: Callable[..., Any], store: Store
) -> None:
    store.sql("DELETE FROM accounts WHERE spotify_user_id = 'me'")
    full_sync(context, account)
    assert get_status()["eta"] is None, "the run has ended"
    run = start(context, account)
    step(context, run)
    eta = get_status()["eta"]
    assert eta["earliest"] <= eta["latest"]
    assert "Expected to complete" in get_status()["notes"][0]


# ---- doctor checks of an account ------------------------------------------------------------------------------------


def token(context: Context, name: str, vault: TokenVault | None = None) -> checks.Finding:
    with context.database.begin() as connection:
        found = accounts.find_account(connection, name)
        stored = accounts.get_tokens(connection, found.id)
    return checks.check_token(found, stored, vault or context.vault, datetime.now(UTC))


def test_checks_the_token_of_an_account(context: Context, account: Account, store: Store) -> None:
    assert token(context, account.name).state == "ok"
    other = TokenVault([SECRET_KEY[::-1].replace("=", "") + "="])
    wrong = token(context, account.name, other)
    assert (wrong.state, "SPOTISYNC_SECRET_KEY" in str(wrong.cure)) == ("failed", True)
    store.sql("UPDATE accounts SET authorised_at = now() - interval '170 days'")
    old = token(context, account.name)
    assert (old.state, "in 9 days" in old.message or "in 10 days" in old.message) == ("warning", True)
    store.sql("UPDATE accounts SET authorised_at = now() - interval '190 days'")
    assert "any moment" in token(context, account.name).message
    store.sql("UPDATE accounts SET status = 'needs_login'")
    assert (token(context, account.name).state, token(context, account.name).code) == ("failed", 4)
    assert token(context, "me").code == 4, "the account has no token"


def test_makes_one_request_to_spotify_per_account(
    context: Context, account: Account, simulator: Server, store: Store
) -> None:
    with context.database.begin() as connection:
        found = accounts.find_account(connection, account.name)

    def asked() -> checks.Finding:
        simulator.control.reset_log()
        return checks.check_spotify_access(found, lambda each: check_spotify_answers(context, each))

    assert asked().state == "ok"
    assert [each["path"] for each in simulator.control.requests()] == ["/v1/me/"]
    simulator.control.add_fault(kind="status", status=503, path="/v1/me", times=1)
    assert asked().code == 3
    simulator.control.add_fault(kind="status", status=429, retry_after=9, path="/v1/me", times=1)
    assert asked().code == 3
    simulator.control.add_fault(kind="status", status=403, path="/v1/me", times=1)
    assert (asked().state, asked().state) == ("failed", "ok")
    store.block("*")
    context.default_app.gate._read_at = float("-inf")
    assert (asked().state, simulator.control.requests()) == ("warning", [])
    store.sql("DELETE FROM rate_limits")
    context.default_app.gate._read_at = float("-inf")
    simulator.control.revoke(access=True)
    assert (asked().state, asked().code) == ("failed", 4)


def first_findings(settings: Settings) -> dict[str, checks.Finding]:
    """Run the checks of settings and database; later checks need Celery."""
    return {each.check: each for each in itertools.islice(checks.run_checks(settings, online=False), 4)}


def test_reports_missing_tables_and_an_unreachable_database(
    make_settings: Callable[..., Settings], empty_database_url: str
) -> None:
    well = first_findings(make_settings("http://127.0.0.1:1"))
    assert {each.state for each in well.values()} == {"ok"}
    found = first_findings(make_settings("http://127.0.0.1:1", database_url=empty_database_url))
    assert (found["tables"].state, found["tables"].code) == ("failed", 1)
    assert "spotisync db upgrade" in str(found["tables"].cure)
    url = "postgresql+psycopg://nobody@127.0.0.1:1/x"
    there, readable = checks.check_database_server(make_settings("http://x", database_url=url), Database(url))
    assert [(each.check, each.state, each.code) for each in there] == [("database", "failed", 3)]
    assert not readable, "no further database check runs"
