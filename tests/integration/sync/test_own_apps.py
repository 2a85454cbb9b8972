"""Accounts with apps of their own: tokens, cooldowns, the call ledger, look-ups and what is shown."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spotisync import status
from spotisync.core.apps import App
from spotisync.core.outcomes import More, Parked
from spotisync.errors import Fatal, NeedsLogin
from spotisync.simulator import Server, start
from spotisync.store import notifications
from spotisync.store.accounts import Account as StoredAccount
from spotisync.store.accounts import list_login_states
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, cooldowns, runs
from spotisync.sync.accounts import AppChoice
from spotisync.sync.enrich import enrich
from spotisync.sync.tokens import access_token
from tests.integration.cli.test_login import ANYWHERE, Browser
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store

ONE, TWO = Account("user01"), Account("user02")
OWN, SECRET = "own-app", "its-secret-value"
DAY = 86_400


@pytest.fixture
def simulator() -> Iterator[Server]:
    with start(120, seed=5, accounts=2) as server:
        yield server


@pytest.fixture
def context(simulator: Server, make_context: Callable[..., Context]) -> Context:
    """`user01` uses the default app, `user02` its own."""
    context = make_context(simulator, redirect_uri=ANYWHERE, tracks_batch_size=50)
    accounts.add(context, simulator.refresh_token(ONE.name), None)
    log_in(context, TWO, App(OWN, OWN, SECRET))
    return context


def log_in(context: Context, account: Account, app: App | None, only: str | None = None) -> StoredAccount:
    attempt = accounts.begin_login(context, ANYWHERE, only, AppChoice(app))
    return accounts.complete_login(context, attempt, Browser(account.name).consent(attempt.url), only)


def to_commit(context: Context, run: Run) -> None:
    assert isinstance(driver.step(context, run), More)


def calls(simulator: Server, client_id: str) -> list[dict[str, Any]]:
    return [
        each
        for each in simulator.control.requests()
        if each["client_id"] == client_id and each["path"].startswith("/v1/") and each["path"] != "/v1/me"
    ]


def documents(context: Context) -> dict[str, Any]:
    with context.database.begin() as connection:
        return {each["account"]: each for each in status.documents(connection, context.settings)}


# ---- the app of an account ------------------------------------------------------------------------------------------


def test_requests_of_an_account_are_those_of_its_app(context: Context, simulator: Server, store: Store) -> None:
    simulator.control.reset_log()
    for account in (ONE, TWO):
        assert driver.full_sync(context, account)["status"] == "success"
    by_client = {id_: len(calls(simulator, id_)) for id_ in ("simulated", OWN)}
    assert all(by_client.values())
    ledger = dict(store.sql("SELECT client_id, sum(calls) FROM call_ledger GROUP BY client_id"))
    assert {id_: int(number) for id_, number in ledger.items()} == by_client
    statuses = store.sql("SELECT DISTINCT client_id FROM reply_statuses ORDER BY 1")
    assert [row[0] for row in statuses] == [OWN, "simulated"]


def test_the_secret_is_stored_and_shown_encrypted_only(
    context: Context, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stored = store.one("SELECT client_secret FROM accounts WHERE client_id IS NOT NULL")
    assert SECRET not in stored
    assert context.vault.decrypt(stored) == SECRET
    driver.incremental_sync(context, TWO)
    run = driver.start(context, TWO)
    (account,) = [each for each in accounts.list_accounts(context) if each.own_client_id]
    app = context.apps.get(account)
    shown = f"{run!r} {account!r} {app!r} {app.accounts_client!r} {documents(context)}"
    assert SECRET not in shown + caplog.text
    assert stored not in shown + caplog.text


def test_a_token_is_refreshed_by_the_app_of_its_account(context: Context, simulator: Server, store: Store) -> None:
    simulator.control.reset_log()
    store.sql("UPDATE accounts SET access_token_expires_at = now() - interval '1 second'")
    for (id_,) in store.sql("SELECT id FROM accounts WHERE refresh_token IS NOT NULL"):
        assert access_token(context, id_)
    refreshes = [each["client_id"] for each in simulator.control.requests() if each["path"] == "/api/token"]
    assert sorted(refreshes) == [OWN, "simulated"]


def test_a_login_by_another_app_needs_to_be_asked_for(context: Context, store: Store) -> None:
    attempt = accounts.begin_login(context, ANYWHERE)
    with pytest.raises(Fatal, match=rf"user02 uses the app {OWN}.*nothing was stored.*--account user02"):
        accounts.complete_login(context, attempt, Browser("user02").consent(attempt.url))
    assert store.one("SELECT client_id FROM accounts WHERE spotify_user_id = 'user02'") == OWN
    assert log_in(context, TWO, None).own_client_id is None
    assert store.one("SELECT count(*) FROM accounts WHERE client_secret IS NOT NULL") == 0


def test_a_login_of_the_account_keeps_its_app(context: Context) -> None:
    attempt = accounts.begin_login(context, ANYWHERE, "user02")
    assert f"client_id={OWN}&" in attempt.url
    again = accounts.complete_login(context, attempt, Browser("user02").consent(attempt.url), "user02")
    assert again.own_client_id == OWN


def test_a_rejected_own_app_is_named_with_its_account(context: Context, simulator: Server, store: Store) -> None:
    simulator.control.settings(client_secret="another")
    store.sql("UPDATE accounts SET access_token_expires_at = now() - interval '1 second'")
    account_id = store.one("SELECT id FROM accounts WHERE client_id IS NOT NULL")
    with pytest.raises(
        Fatal, match=rf"the app {OWN} of user02 \(invalid_client: Invalid client secret\).*--account user02"
    ) as raised:
        access_token(context, account_id)
    assert "SPOTIPY_CLIENT_ID" not in str(raised.value)


def test_a_token_of_the_default_app_is_useless_with_another(context: Context, simulator: Server) -> None:
    token = simulator.control.token("user02")["refresh_token"]  # issued to OWN
    with pytest.raises(NeedsLogin):
        accounts.add(context, token, None, AppChoice(App("third", "third")))


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_a_ban_of_one_app_parks_only_its_accounts(context: Context, simulator: Server, store: Store) -> None:
    own = driver.start(context, TWO)
    to_commit(context, own)
    simulator.control.settings(banned={OWN: simulator.world.now() + DAY})
    assert isinstance(driver.step(context, own), Parked)
    assert store.one("SELECT client_id FROM rate_limits WHERE blocked_until > now() + interval '23 hours'") == OWN
    simulator.control.reset_log()
    assert driver.full_sync(context, ONE)["status"] == "success"
    assert calls(simulator, OWN) == []
    assert runs.take_due_runs(context) == []
    assert driver.get_run(context, own).status == "rate_limited"
    found = documents(context)
    assert (found["user01"]["blocked"], len(found["user02"]["blocked"])) == ([], 1)
    assert found["user02"]["current_phase"] == own.phase


def test_a_ban_of_the_default_app_leaves_the_other_at_work(context: Context, store: Store) -> None:
    parked = driver.start(context, ONE)
    store.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', '*', now() + interval '1 day', 'quota')"""
    )
    context.default_app.gate._read_at = float("-inf")
    assert isinstance(driver.step(context, parked), Parked)
    run = driver.start(context, TWO)
    while isinstance(driver.step(context, run), More):
        pass
    assert driver.get_run(context, parked).status == "rate_limited"
    assert driver.get_run(context, run).seq == 0, "a phase has ended"
    assert [each["reason"] for each in documents(context)["user01"]["blocked"]] == ["quota"]
    assert documents(context)["user02"]["blocked"] == []


def test_apps_of_one_developer_share_cooldowns(context: Context, simulator: Server, store: Store) -> None:
    log_in(context, TWO, App(OWN, "simulated", SECRET))
    assert store.one("SELECT developer FROM accounts WHERE client_id = :id", id=OWN) == "simulated"
    (account,) = [each for each in accounts.list_accounts(context) if each.own_client_id]
    app = context.apps.get(account)
    assert app is not context.default_app
    assert app.gate is context.default_app.gate
    run = driver.start(context, ONE)
    to_commit(context, run)
    simulator.control.settings(banned={"simulated": simulator.world.now() + DAY})
    assert isinstance(driver.step(context, run), Parked)
    simulator.control.reset_log()
    assert isinstance(driver.step(context, driver.start(context, TWO)), Parked)
    assert calls(simulator, OWN) == []


def test_the_backlog_is_drained_by_the_app_that_may_send_calls(
    context: Context, simulator: Server, store: Store
) -> None:
    for account in (ONE, TWO):
        driver.full_sync(context, account)
    store.sql("UPDATE artists SET enrichment = 'stub', enriched_at = NULL")
    store.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', 'artists', now() + interval '1 day', 'quota')"""
    )
    context.default_app.gate._read_at = float("-inf")
    simulator.control.reset_log()
    while enrich(context).more:
        pass
    assert store.one("SELECT count(*) FROM artists WHERE enrichment = 'stub'") == 0
    assert calls(simulator, "simulated") == []
    assert calls(simulator, OWN)


def test_a_restricted_app_settles_no_stub_that_another_can_look_up(context: Context, store: Store) -> None:
    driver.full_sync(context, ONE)
    store.sql("UPDATE artists SET enrichment = 'stub', enriched_at = NULL")
    for client_id, regime in (("simulated", "restricted"), (OWN, "full")):
        store.sql(
            """INSERT INTO apps (client_id, regime, regime_since) VALUES (:id, :regime, now())
            ON CONFLICT (client_id) DO UPDATE SET regime = excluded.regime""",
            id=client_id,
            regime=regime,
        )
    while enrich(context).more:
        pass
    assert store.one("SELECT count(*) FROM artists WHERE enrichment IN ('stub', 'partial')") == 0


def test_only_the_parked_account_of_a_banned_app_is_notified(context: Context, store: Store) -> None:
    for account in (ONE, TWO):
        run = driver.start(context, account)
        to_commit(context, run)
        store.sql("UPDATE sync_history SET status = 'rate_limited' WHERE id = :id", id=run.id)
    store.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES (:id, '*', now() + interval '1 day', 'quota')""",
        id=OWN,
    )
    with store.database.begin() as connection:
        found = notifications.find_new(connection, context.default_app.identity, 3600, 900)
    assert [(each.kind, each.account) for each in found] == [("waiting", "user02")]


def test_lists_and_clears_the_limits_of_each_developer(context: Context, store: Store) -> None:
    for developer, family in (("simulated", "library"), (OWN, "artists"), ("unused", "albums")):
        store.sql(
            """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
            VALUES (:id, :family, now() + interval '1 day', 'quota')""",
            id=developer,
            family=family,
        )
    found = [(each.family, each.developer) for each in cooldowns.list_cooldowns(context)]
    assert found == [("library", None), ("artists", OWN)]
    assert cooldowns.clear(context, None, "user02") == ["artists"]
    assert cooldowns.clear(context, None) == ["library"]


def test_warnings_about_the_login_of_an_own_app_name_the_account(context: Context, store: Store) -> None:
    store.sql("UPDATE accounts SET status = 'needs_login', last_error = 'ended' WHERE refresh_token IS NOT NULL")
    with store.database.begin() as connection:
        warnings = {each.account: each.warning or "" for each in list_login_states(connection)}
    assert warnings["user01"].endswith("log in again: spotisync login")
    assert warnings["user02"].endswith("log in again: spotisync login --account user02")
    account_id = store.one("SELECT id FROM accounts WHERE client_id IS NOT NULL")
    with pytest.raises(NeedsLogin, match="spotisync login --account user02"):
        access_token(context, account_id)
