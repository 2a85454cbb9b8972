"""The two API regimes: the same library in both, changes of the regime, budgets, and draining the backlog."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from spotisync.celery import app
from spotisync.simulator import Server, start
from spotisync.store import apps
from spotisync.store.catalogue import MOST_ATTEMPTS
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import CLIENT, LEASE
from tests.support.truth import Tables, assert_equal, assert_tables_equal_truth, expected, tables

MakeSync = Callable[..., Context]
CATALOGUE = ("artists", "albums")
KEPT = ("tracks", "track_artists", "artists", "albums", "album_artists", "playlist_items")


def enrolled(context: Context, simulator: Server, name: str | None = None) -> Account:
    return Account(accounts.add(context, simulator.refresh_token(name), None).spotify_user_id)


def sql(context: Context, statement: str, **values: Any) -> list[Any]:
    with context.database.begin() as connection:
        result = connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def stored(context: Context, account: Account) -> Tables:
    with context.database.begin() as connection:
        return tables(connection, account, closed=True)


def truth(simulator: Server, account: Account) -> dict[str, Any]:
    return simulator.control.truth(account.name)


def looked_up(simulator: Server) -> list[str]:
    """Return the paths of look-ups since the log was reset."""
    return [each["path"] for each in simulator.control.requests() if each["family"] in CATALOGUE]


def stubs(context: Context) -> int:
    return sum(sql(context, f"SELECT count(*) FROM {each} WHERE enrichment = 'stub'")[0][0] for each in CATALOGUE)


def regime(context: Context) -> str | None:
    with context.database.begin() as connection:
        return apps.get_regime(connection, "simulated")


# ---- the same library in both ---------------------------------------------------------------------------------------


def test_a_restricted_run_counts_only_its_own_stubs(make_context: MakeSync) -> None:
    with start("tiny", seed=7, regime="restricted") as simulator:
        context = make_context(simulator)
        account = enrolled(context, simulator)
        sql(context, "INSERT INTO artists (id, name, uri) SELECT 'other' || n, '', '' FROM generate_series(1, 40) n")
        assert 0 < driver.full_sync(context, account)["phases"]["artists"]["items_processed"] < 40
        assert stubs(context) == 0


def test_a_restricted_app_makes_no_useless_look_ups(make_context: MakeSync) -> None:
    with start("tiny", seed=7, regime="restricted") as simulator:
        context = make_context(simulator)
        account = enrolled(context, simulator)
        summary = driver.full_sync(context, account)
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
        assert_tables_equal_truth(context, account, truth(simulator, account), looked_up=False)
        assert len(looked_up(simulator)) == 1, "the call that revealed the regime"
        simulator.control.reset_log()
        assert driver.full_sync(context, account)["status"] == "success"
        assert looked_up(simulator) == []
        # The refusal of other users' playlists is stored.
        assert "403" not in simulator.control.counters()["statuses"]["playlists"]
        assert_tables_equal_truth(context, account, truth(simulator, account), looked_up=False)
        assert regime(context) == "restricted"


def test_a_restricted_app_looks_up_single_ids_if_configured(make_context: MakeSync) -> None:
    with start("tiny", seed=7, regime="restricted") as simulator:
        auto = make_context(simulator)
        account = enrolled(auto, simulator)
        driver.full_sync(auto, account)
        context = make_context(simulator, enrichment="always")
        simulator.control.reset_log()
        summary = driver.full_sync(context, account)
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
        assert_tables_equal_truth(context, account, truth(simulator, account))
        asked = looked_up(simulator)
        own = truth(simulator, account)
        listed = {*own["followed_artists"], *(row["album_id"] for row in own["saved_albums"])}
        left = {
            f"/v1/{each}/{id_}" for each in CATALOGUE for id_ in stored(context, account)[each] if id_ not in listed
        }
        assert sorted(asked) == sorted(left), "rows completed by a list are not looked up"
        simulator.control.reset_log()
        driver.full_sync(context, account)
        assert looked_up(simulator) == [], "look-ups are not repeated"


def test_enrichment_off_makes_no_look_ups_and_says_so(
    context: Context, simulator: Server, make_context: MakeSync
) -> None:
    off = make_context(simulator, enrichment="off")
    account = enrolled(off, simulator)
    summary = driver.full_sync(off, account)
    assert summary["status"] == "success"
    assert summary["items_deferred"] == stubs(off) > 0
    assert not enrich(off).looked_up
    assert looked_up(simulator) == []
    while enrich(context).more:
        pass
    assert_tables_equal_truth(context, account, truth(simulator, account))


# ---- changes of the regime ------------------------------------------------------------------------------------------


def test_the_regime_changes_between_runs(make_context: MakeSync) -> None:
    """Full, restricted, full: right in each, and known values stay."""
    with start("tiny", seed=11) as simulator:
        context = make_context(simulator)
        account = enrolled(context, simulator)
        driver.full_sync(context, account)
        assert regime(context) == "full"
        # As if these rows were unknown.
        sql(
            context,
            """UPDATE artists SET enrichment = 'stub', enriched_at = NULL, genres = NULL, popularity = NULL,
            followers = NULL, image_url = NULL WHERE id IN (SELECT max(id) FROM artists WHERE genres <> '{}')""",
        )
        before = stored(context, account)
        for _ in range(20):
            simulator.world.random_edit()
        simulator.control.settings(regime="restricted")
        assert driver.full_sync(context, account)["status"] == "success"
        assert regime(context) == "restricted"
        wanted = expected(truth(simulator, account), looked_up=False)
        assert_equal(stored(context, account), filled_from(before, wanted))
        assert sql(context, "SELECT 1 FROM artists WHERE enrichment = 'partial'")
        simulator.control.settings(regime="full")
        let_a_day_pass(context, simulator)
        for _ in range(2):
            assert driver.full_sync(context, account)["status"] == "success"
        assert regime(context) == "full"
        assert_tables_equal_truth(context, account, truth(simulator, account))
        assert not sql(context, "SELECT 1 FROM artists WHERE enrichment IN ('stub', 'partial')")


def filled_from(before: Tables, now: Tables) -> Tables:
    """Fill unknown values and unreadable contents of the new tables from the old ones."""
    wanted = {name: {**before[name], **rows} if name in KEPT else rows for name, rows in now.items()}
    # A restricted app is not shown Spotify's own playlists: they have not been removed.
    wanted["playlists"] |= {id_: row for id_, row in before["playlists"].items() if row[3] == "spotify"}
    for name in ("tracks", *CATALOGUE):
        for id_, row in now[name].items():
            older = before[name].get(id_)
            filled = _filled(row, older)
            # A row that was looked up before stays complete.
            seen = name in CATALOGUE and older and older[-1] != "stub"
            wanted[name][id_] = (*filled[:-1], older[-1]) if older and seen else filled
    return wanted


def _filled(row: tuple[Any, ...], older: tuple[Any, ...] | None) -> tuple[Any, ...]:
    return row if older is None else tuple(old if new is None else new for new, old in zip(row, older, strict=True))


@pytest.mark.parametrize("moment", mostly_slow([("artists", 1), ("playlists", 1)]))
@pytest.mark.parametrize("to", ["full", "restricted"])
def test_the_regime_changes_during_a_run(make_context: MakeSync, to: str, moment: tuple[str, int]) -> None:
    first = "restricted" if to == "full" else "full"
    with start("tiny", seed=7, regime=first) as simulator:
        context = make_context(simulator, artists_batch_size=10, albums_batch_size=10)
        account = enrolled(context, simulator)

        def change(due: Run) -> None:
            if (due.phase, due.seq) == moment:
                simulator.control.settings(regime=to)

        summary = driver.run_to_end(context, driver.start(context, account), before=change)
        simulator.control.settings(regime=to)
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
        let_a_day_pass(context, simulator)
        for _ in range(2):
            assert driver.full_sync(context, account)["status"] == "success"
        if to == "full":
            assert_tables_equal_truth(context, account, truth(simulator, account))
        assert regime(context) == to
        assert stubs(context) == 0


def test_refused_batch_look_ups_keep_the_regime_restricted_for_a_day(
    context: Context, simulator: Server, account: Account
) -> None:
    """Batch look-ups are refused, but the list of playlists still has `tracks` (rollout of February 2026)."""
    simulator.control.add_fault(kind="status", status=403, path=r"/(artists|albums)/?\?ids=", times=None)
    assert driver.full_sync(context, account)["status"] == "success"
    assert (regime(context), len(looked_up(simulator))) == ("restricted", 1)
    simulator.control.reset_log()
    for sync in (driver.incremental_sync, driver.full_sync, driver.incremental_sync):
        summary = sync(context, account)
        assert (summary["status"], summary["items_deferred"]) == ("success", 0)
        assert (regime(context), looked_up(simulator), stubs(context)) == ("restricted", [], 0)
    let_a_day_pass(context, simulator)
    for _ in range(3):
        driver.incremental_sync(context, account)
    assert regime(context) == "restricted"
    assert len(looked_up(simulator)) <= 3, "tried again once a day"


def test_one_refused_look_up_does_not_change_the_regime(context: Context, simulator: Server, account: Account) -> None:
    driver.full_sync(context, account)
    sql(context, "UPDATE artists SET enrichment = 'stub', enriched_at = NULL")
    simulator.control.add_fault(kind="status", status=403, path="/v1/artists", times=1)
    assert driver.full_sync(context, account)["status"] == "success"
    assert regime(context) == "full"
    assert_tables_equal_truth(context, account, truth(simulator, account))


# ---- budgets --------------------------------------------------------------------------------------------------------


def test_keeps_to_a_budget_and_drains_the_rest_day_by_day(make_context: MakeSync) -> None:
    """With a quota of five a day and a budget of four there is no 429, and finally all rows are complete."""
    quota = {"artists": 5, "albums": 5}
    with start("tiny", seed=7, regime="restricted", quota=quota) as simulator:
        context = make_context(simulator, enrichment="always", enrichment_budget=4, artists_batch_size=3)
        account = enrolled(context, simulator)
        summary = driver.full_sync(context, account)
        assert summary["status"] == "success"
        assert summary["items_deferred"] == stubs(context) > 8
        assert spent(simulator) == {"artists": 4, "albums": 4}, "the call that revealed the regime counts"
        assert not enrich(context).looked_up
        for _ in range(20):
            before = forecast(context)
            if not any(each.pending for each in before.values()):
                break
            let_a_day_pass(context, simulator)
            while enrich(context).more:
                pass
            after = forecast(context)
            for each in CATALOGUE:
                assert after[each].pending == max(0, before[each].pending - 4)
            assert max(spent(simulator).values()) <= 4
        assert_tables_equal_truth(context, account, truth(simulator, account))


def spent(simulator: Server) -> dict[str, int]:
    counters = simulator.control.counters()
    assert all("429" not in statuses for statuses in counters["statuses"].values())
    return {each: counters["families"].get(each, 0) for each in CATALOGUE}


def forecast(context: Context) -> dict[str, apps.BacklogForecast]:
    with context.database.begin() as connection:
        found = apps.forecast_lookups(
            connection, context.default_app.identity, context.settings.enrichment, context.settings.enrichment_budget
        )
    return {each.family: each for each in found}


def let_a_day_pass(context: Context, simulator: Server) -> None:
    sql(context, "DELETE FROM call_ledger WHERE minute < now() - interval '1 day'")
    sql(context, "UPDATE call_ledger SET minute = minute - interval '1 day 2 minutes'")
    sql(context, "UPDATE reply_statuses SET last_at = last_at - interval '1 day 2 minutes'")
    simulator.control.reset_limits()
    simulator.control.reset_log()


def test_several_accounts_share_one_budget(make_context: MakeSync) -> None:
    with start("tiny", seed=7, accounts=3, regime="restricted") as simulator:
        context = make_context(simulator, enrichment="always", enrichment_budget=15, artists_batch_size=8)
        for account in [enrolled(context, simulator, f"user0{number}") for number in (1, 2, 3)]:
            assert driver.full_sync(context, account)["status"] == "success"
        assert spent(simulator) == {"artists": 15, "albums": 13}, "two saved albums need no look-up"


# ---- counting calls -------------------------------------------------------------------------------------------------


def test_every_request_is_in_the_ledger_and_in_its_run(context: Context, simulator: Server, account: Account) -> None:
    for path in ("/v1/me/tracks", "/v1/artists", "/v1/albums", "/v1/playlists/"):
        simulator.control.add_fault(kind="status", status=502, path=path, after=1)
    simulator.control.reset_log()
    summary = driver.full_sync(context, account)
    assert summary["status"] == "success"
    assert ledger(context) == simulator.control.counters()["families"]
    assert summary["api_calls"] == simulator.control.counters()["total"]


def ledger(context: Context) -> dict[str, int]:
    return {row.family: row.sum for row in sql(context, "SELECT family, sum(calls) FROM call_ledger GROUP BY family")}


def test_counts_requests_of_a_batch_that_lost_its_claim(context: Context, simulator: Server, account: Account) -> None:
    simulator.control.reset_log()
    run = driver.start(context, account)
    ask = context.spotify.get

    def get(*args: Any, **_: Any) -> Any:
        runs.cancel(context, run.id)
        return ask(*args)

    context.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
    driver.step(context, run)
    context.spotify.get = ask  # type: ignore[method-assign]
    total = simulator.control.counters()["total"]
    assert driver.summary(context, run)["api_calls"] == ledger(context)["library"] == total > 0


def test_counts_look_ups_before_sending_them(make_context: MakeSync) -> None:
    """A process that dies has spent its calls, so the budget is never exceeded."""
    with start("tiny", seed=7, regime="restricted") as simulator:
        context = make_context(simulator, enrichment="always", enrichment_budget=10, artists_batch_size=5)
        account = enrolled(context, simulator)
        run = driver.start(context, account)
        seen: list[int] = []
        ask = context.spotify.get

        def get(request: Any, token: str) -> Any:
            if request.kind == "artist":
                seen.append(ledger(context)["artists"])
            return ask(request, token)

        context.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
        assert driver.run_to_end(context, run)["status"] == "success"
        assert seen[0] == 1 + 5, "the call that revealed the regime, and one batch"
        assert ledger(context)["artists"] == spent(simulator)["artists"] == 10


# ---- the backlog ----------------------------------------------------------------------------------------------------


@pytest.fixture
def backlog(context: Context, simulator: Server, make_context: MakeSync) -> Account:
    """A synced library with pending look-ups."""
    account = enrolled(context, simulator)
    driver.full_sync(make_context(simulator, enrichment="off"), account)
    simulator.control.reset_log()
    return account


def test_the_scheduler_sends_enrich_twice_a_minute() -> None:
    entry = app.conf.beat_schedule["enrich"]
    assert (entry["task"], entry["schedule"]) == ("spotisync.enrich", 30)


def test_unreadable_replies_do_not_block_other_look_ups(context: Context, simulator: Server, backlog: Account) -> None:
    """The reply always has another length than requested: these ids are requested one by one and finally skipped."""
    ask = context.spotify.get

    def get(request: Any, token: str) -> Any:
        body = ask(request, token)
        return {"artists": []} if request.kind == "artists" else body

    context.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
    for _ in range(MOST_ATTEMPTS * (1 + len(stored(context, backlog)["artists"]))):
        enrich(context)
    assert not sql(context, "SELECT 1 FROM albums WHERE enrichment = 'stub'")


def test_looks_nothing_up_while_its_family_is_blocked(context: Context, simulator: Server, backlog: Account) -> None:
    sql(context, "INSERT INTO rate_limits VALUES ('simulated', 'artists', now() + interval '1 hour', 'quota')")
    while enrich(context).more:
        pass
    assert {path for path in looked_up(simulator) if "artists" in path} == set()
    assert sql(context, "SELECT 1 FROM artists WHERE enrichment = 'stub'")
    assert not sql(context, "SELECT 1 FROM albums WHERE enrichment = 'stub'")
    waits = forecast(context)["artists"].done_at
    assert waits == sql(context, "SELECT blocked_until FROM rate_limits")[0][0]
    sql(context, "UPDATE rate_limits SET blocked_until = now()")
    context.default_app.gate._read_at = float("-inf")
    while enrich(context).more:
        pass
    assert_tables_equal_truth(context, backlog, truth(simulator, backlog))


def test_a_429_ends_the_round_of_look_ups(context: Context, simulator: Server, backlog: Account) -> None:
    simulator.control.add_fault(kind="status", status=429, retry_after=86_400, path="/v1/artists", times=None)
    assert not enrich(context).looked_up
    assert len(looked_up(simulator)) <= context.settings.api_concurrency
    assert enrich(context).family == "albums"


def test_an_active_run_has_priority_over_the_backlog(context: Context, simulator: Server, backlog: Account) -> None:
    driver.start(context, backlog)
    assert not enrich(context).looked_up
    assert looked_up(simulator) == []


def test_one_process_at_a_time_drains_the_backlog(
    context: Context, simulator: Server, make_context: MakeSync, backlog: Account
) -> None:
    other = make_context(simulator)
    ask = context.spotify.get
    meanwhile: list[int] = []

    def get(*args: Any, **_: Any) -> Any:
        meanwhile.append(enrich(other).looked_up)
        return ask(*args)

    context.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
    assert enrich(context).looked_up
    assert set(meanwhile) == {0}
    assert enrich(other).looked_up


def test_takes_over_the_backlog_claim_of_a_dead_process(context: Context, backlog: Account) -> None:
    with context.database.begin() as connection:
        assert apps.claim_backlog(connection, CLIENT, uuid4(), context.database.get_claimant(), LEASE)
    assert not enrich(context).looked_up
    sql(context, "UPDATE apps SET enrich_started = enrich_started - interval '1 second'")
    assert enrich(context).looked_up


def test_any_account_can_drain_the_backlog(make_context: MakeSync) -> None:
    with start("tiny", seed=7, accounts=2) as simulator:
        context = make_context(simulator)
        one, two = (enrolled(context, simulator, name) for name in ("user01", "user02"))
        driver.full_sync(make_context(simulator, enrichment="off"), two)
        simulator.control.revoke(one.name, access=True)
        while enrich(context).more:
            pass
        assert_tables_equal_truth(context, two, truth(simulator, two))


def test_waits_before_retrying_an_app_that_spotify_blocks(
    context: Context, simulator: Server, backlog: Account
) -> None:
    simulator.control.settings(premium=False)
    for _ in range(3):
        assert not enrich(context).looked_up
    assert len(looked_up(simulator)) <= context.settings.api_concurrency
    simulator.control.settings(premium=True)
    sql(context, "UPDATE apps SET enrich_until = now()")
    assert enrich(context).looked_up


def test_detects_the_restricted_regime_while_draining_the_backlog(
    context: Context, simulator: Server, backlog: Account
) -> None:
    simulator.control.settings(regime="restricted")
    while enrich(context).more:
        pass
    enrich(context)
    assert len(looked_up(simulator)) <= 2
    assert stubs(context) == 0
    assert [each.pending for each in forecast(context).values()] == [0, 0]


# ---- four kinds of 403 ----------------------------------------------------------------------------------------------


def test_without_premium_a_run_fails_and_can_be_resumed_later(
    context: Context, simulator: Server, account: Account
) -> None:
    def lapse(due: Run) -> None:
        if (due.phase, due.seq) == ("playlists", 1):
            simulator.control.settings(premium=False)

    run = driver.start(context, account)
    summary = driver.run_to_end(context, run, before=lapse)
    assert summary["status"] == "failed"
    assert "Active premium subscription required for the owner of the app" in summary["last_error"]
    assert {row.items_status for row in sql(context, "SELECT items_status FROM account_playlists")} <= {
        "pending",
        "synced",
    }
    simulator.control.settings(premium=True)
    runs.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert_tables_equal_truth(context, account, truth(simulator, account))


def test_an_unregistered_user_fails_without_affecting_others(make_context: MakeSync) -> None:
    with start("tiny", seed=7, accounts=2) as simulator:
        context = make_context(simulator)
        one, two = (enrolled(context, simulator, name) for name in ("user01", "user02"))
        simulator.control.settings(unlisted=[one.name])
        summary = driver.full_sync(context, one)
        assert (summary["status"], "may not be registered" in summary["last_error"]) == ("failed", True)
        assert "User Management" in summary["last_error"]
        assert driver.full_sync(context, two)["status"] == "success"
        assert_tables_equal_truth(context, two, truth(simulator, two))


def test_names_a_missing_scope_and_marks_no_playlist_forbidden(
    context: Context, simulator: Server, account: Account
) -> None:
    simulator.control.add_fault(
        kind="status", status=403, message="Insufficient client scope", path="/v1/playlists/", times=None
    )
    summary = driver.full_sync(context, account)
    assert summary["status"] == "failed"
    assert "playlist-read-private" in summary["last_error"]
    assert "log in again" in summary["last_error"]
    assert not sql(context, "SELECT 1 FROM account_playlists WHERE items_status = 'forbidden'")


def test_one_refused_playlist_does_not_fail_the_run(context: Context, simulator: Server, account: Account) -> None:
    one = next(row["id"] for row in truth(simulator, account)["playlists"] if row["access"] == "ok")
    simulator.world.library(account.name).refusals[one] = "forbidden"
    assert driver.full_sync(context, account)["status"] == "success"
    assert_tables_equal_truth(context, account, truth(simulator, account))
    assert regime(context) == "full"
