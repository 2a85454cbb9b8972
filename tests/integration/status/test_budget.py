"""Budgets as shown: from the ledger, the ceilings, the schedules and earlier runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from spotisync.core.requests import FAMILY
from spotisync.errors import Unknown
from spotisync.settings import Settings
from spotisync.status import budget, call_costs
from spotisync.status import documents as read_status
from spotisync.store import cooldowns, schedules
from tests.support.store import CLIENT, Store

Read = Callable[..., Any]


@pytest.fixture
def read(store: Store, make_settings: Callable[..., Settings]) -> Read:
    def read(account: str | None = None, **changes: Any) -> Any:
        settings = make_settings("http://127.0.0.1:1", **{"timezone": "UTC", **changes})
        with store.database.begin() as connection:
            return budget.read_document(connection, settings, account)

    return read


def family(found: Any, name: str, developer: str = CLIENT) -> Any:
    (families,) = [each["families"] for each in found["developers"] if each["developer"] == developer]
    return next(each for each in families if each["family"] == name)


def spend(store: Store, name: str, calls: int, minutes_ago: int = 5, client: str = CLIENT) -> None:
    store.sql(
        """INSERT INTO call_ledger (client_id, family, minute, account_id, calls) VALUES
        (:client, :family, date_trunc('minute', now()) - make_interval(mins => :ago), :account, :calls)""",
        client=client, family=name, ago=minutes_ago, account=store.account_id, calls=calls,
    )  # fmt: skip


def learn(store: Store, name: str, estimate: int, client: str = CLIENT, days_ago: int = 0) -> None:
    store.sql(
        "INSERT INTO budgets VALUES (:client, :family, :estimate, now() - make_interval(days => :days))",
        client=client, family=name, estimate=estimate, days=days_ago,
    )  # fmt: skip


def plan(store: Store, kind: str, minutes: int, account_id: int | None = None) -> None:
    store.sql(
        """INSERT INTO schedules (account_id, kind, rule, due_at)
        VALUES (:account, :kind, 'any', now() + make_interval(mins => :minutes))""",
        account=account_id or store.account_id, kind=kind, minutes=minutes,
    )  # fmt: skip


def record_run(store: Store, sync_type: str = "incremental", account_id: int | None = None, **calls: int) -> int:
    run = store.run(sync_type, account_id, status="success", completed_at="now()")
    for name, number in calls.items():
        store.sql(
            "INSERT INTO run_events (sync_id, kind, family, calls) VALUES (:run, 'batch', :family, :calls)",
            run=run.id, family=name, calls=number,
        )  # fmt: skip
    return run.id


def test_without_refusals_600_calls_are_assumed(read: Read, store: Store) -> None:
    spend(store, "library", 312)
    found = family(read(), "library")
    assert (found["spent"], found["ceiling"], found["source"], found["allowance"]) == (312, 600, "assumed", 540)
    assert (
        "312 of an assumed 600 calls spent in 24 h; scheduled syncs become less frequent beyond 450" in found["words"]
    )
    assert "an assumed ceiling stops nothing" in family(read(), "artists")["words"]


def test_a_learned_ceiling_has_the_date_of_its_refusal(read: Read, store: Store) -> None:
    spend(store, "library", 312)
    learn(store, "library", 500, days_ago=2)
    found = family(read(), "library")
    assert (found["ceiling"], found["source"], found["allowance"], found["reserved"]) == (500, "learned", 450, 50)
    assert datetime.fromisoformat(found["learned_at"]) < datetime.now().astimezone() - timedelta(days=1)
    assert found["words"].startswith("Library: 312 of about 500 calls spent in 24 h (learned on ")
    assert "; scheduled syncs may use 450; none expected by tomorrow " in found["words"]


def test_a_set_ceiling_is_that_of_the_default_developer_alone(read: Read, store: Store) -> None:
    own = store.account("own")
    store.sql("UPDATE accounts SET client_id = 'theirs' WHERE id = :id", id=own)
    spend(store, "library", 7, client="theirs")
    found = read(budget_library=200)
    assert [each["developer"] for each in found["developers"]] == [CLIENT, "theirs"]
    assert (family(found, "library")["ceiling"], family(found, "library")["source"]) == (200, "set")
    theirs = family(found, "library", "theirs")
    assert (theirs["spent"], theirs["ceiling"], theirs["source"]) == (7, 600, "assumed")
    assert [each["developer"] for each in read("own")["developers"]] == ["theirs"]
    with pytest.raises(Unknown):
        read("nobody")


def test_calls_are_shown_by_hour_and_sum_up(read: Read, store: Store) -> None:
    for minutes, calls in ((5, 3), (55, 4), (61, 5), (23 * 60 + 30, 6), (24 * 60 + 30, 100)):
        spend(store, "player", calls, minutes)
    found = family(read(), "player")
    assert found["past"] == [6, *[0] * 21, 5, 7]
    assert sum(found["past"]) == found["spent"] == 18


def test_reads_of_plays_cost_one_call_each(read: Read, store: Store) -> None:
    plan(store, "playback", 5)
    found = family(read(playback_interval=600), "player")
    assert found["coming"] == [6] * 24
    assert "about 144 expected by tomorrow" in found["words"]


def test_syncs_cost_what_the_last_runs_of_the_account_cost(read: Read, store: Store) -> None:
    plan(store, "incremental", 10)
    for calls in (50, 9, 3, 6):
        record_run(store, library=calls, playlists=2)
    found = read(incremental_interval=1800)
    assert family(found, "library")["coming"] == [12] * 24
    assert family(found, "playlists")["coming"] == [4] * 24


def test_before_the_first_run_an_incremental_costs_what_is_usual(read: Read, store: Store) -> None:
    plan(store, "incremental", 10)
    found = read(incremental_interval=1800)
    assert [family(found, name)["expected"] for name in ("library", "playlists")] == [192, 96]


def test_scheduled_calls_stop_at_their_share_of_the_ceiling(read: Read, store: Store) -> None:
    plan(store, "incremental", 10)
    record_run(store, library=10)
    learn(store, "library", 200)
    spend(store, "library", 100)
    found = family(read(incremental_interval=1800), "library")
    assert found["expected"] == 80 + 20
    assert datetime.fromisoformat(found["short_at"]) > datetime.now().astimezone()
    assert "on, some have to wait" in found["words"]


def test_a_spent_allowance_has_an_end(read: Read, store: Store) -> None:
    learn(store, "library", 200)
    spend(store, "library", 100, minutes_ago=22 * 60)
    spend(store, "library", 90, minutes_ago=60)
    found = read()
    free = datetime.fromisoformat(family(found, "library")["free_at"])
    left = free - datetime.fromisoformat(found["as_of"])
    assert timedelta(hours=2) - timedelta(minutes=1) <= left <= timedelta(hours=2, minutes=2)
    assert "scheduled syncs continue at" in family(found, "library")["words"]


def test_blocked_families_say_why(read: Read, store: Store) -> None:
    plan(store, "playback", 5)
    with store.database.begin() as connection:
        cooldowns.block(connection, CLIENT, "player", 7200)
    found = family(read(playback_interval=600), "player")
    assert found["blocked_reason"] == "manual"
    assert "by hand (to end it: spotisync limits clear)" in found["words"]
    assert found["coming"][:3] == [0, 6, 6] or found["coming"][:3] == [0, 0, 6]


def test_a_cooldown_is_extended_by_hand_and_never_shortened(store: Store) -> None:
    def block(seconds: int) -> tuple[Any, str]:
        with store.database.begin() as connection:
            return cooldowns.block(connection, CLIENT, "library", seconds)

    long, reason = block(7200)
    assert (block(60)[0], reason) == (long, "manual")
    assert block(9000)[0] > long
    store.sql("UPDATE rate_limits SET reason = 'quota'")
    assert block(60)[1] == "quota"
    assert block(20_000)[1] == "manual"


# ---- many accounts --------------------------------------------------------------------------------------------------


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    engine = store.database._engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def test_the_number_of_queries_does_not_depend_on_the_accounts(read: Read, store: Store) -> None:
    def count() -> int:
        with counted(store) as statements:
            read()
        return len(statements)

    def add(number: int) -> None:
        id_ = store.account(f"account {number}")
        store.sql("UPDATE accounts SET client_id = :own WHERE id = :id", own=f"app {number}", id=id_)
        plan(store, "incremental", 10, id_)
        record_run(store, account_id=id_, library=3)
        learn(store, "library", 100, f"app {number}")
        spend(store, "library", 95, client=f"app {number}")

    add(1)
    few = count()
    for number in range(2, 12):
        add(number)
    assert count() == few
    assert len(read()["developers"]) == 12


def test_a_sample_stands_for_many_accounts(read: Read, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.sql("INSERT INTO accounts (spotify_user_id) SELECT 'account ' || n FROM generate_series(1, 39) n")
    store.sql(
        "INSERT INTO schedules (account_id, kind, rule, due_at) SELECT id, 'playback', 'any', now() FROM accounts"
    )
    everyone = family(read(playback_interval=600), "player")["coming"]
    monkeypatch.setattr(budget, "SAMPLE", 10)
    assert family(read(playback_interval=600), "player")["coming"] == everyone
    assert sum(everyone) == 40 * 144


def test_of_many_developers_those_with_a_cooldown_are_shown(read: Read, store: Store) -> None:
    store.sql(
        """INSERT INTO accounts (spotify_user_id, client_id)
        SELECT 'account ' || n, 'app ' || lpad(CAST(n AS text), 2, '0') FROM generate_series(1, 30) n"""
    )
    with store.database.begin() as connection:
        cooldowns.block(connection, "app 29", "player", 7200)
    found = read()
    shown = [each["developer"] for each in found["developers"]]
    assert (shown[:3], len(shown), found["more_developers"]) == ([CLIENT, "app 29", "app 01"], 20, 11)


# ---- the status says the same ---------------------------------------------------------------------------------------


def test_the_status_has_the_same_numbers(read: Read, store: Store, make_settings: Callable[..., Settings]) -> None:
    for number, name in enumerate(sorted(set(FAMILY.values()))):
        spend(store, name, 10 * number)
        learn(store, name, 100 + number)
    settings = make_settings("http://127.0.0.1:1", timezone="UTC", budget_player=90)
    with store.database.begin() as connection:
        (document,) = read_status(connection, settings)
    shown = {name: (each["used"], each["budget"], each["source"]) for name, each in document["calls"]["day"].items()}
    found = read(budget_player=90)
    assert shown == {name: tuple(family(found, name)[key] for key in ("spent", "ceiling", "source")) for name in shown}
    assert document["calls"]["day"]["player"]["words"] == "reads of recent plays: 30 of 90 in 24 h"


def test_the_backlog_is_done_within_the_ceiling(read: Read, store: Store) -> None:
    store.sql("INSERT INTO apps (client_id, regime) VALUES (:client, 'restricted')", client=CLIENT)
    store.sql("INSERT INTO artists (id, name, uri) SELECT 'artist' || n, 'x', 'u' FROM generate_series(1, 1000) n")
    changes = {"enrichment": "always", "enrichment_budget": 500}

    def days() -> int:
        found = read(**changes)
        (entry,) = found["lookups"]
        return (datetime.fromisoformat(entry["at"]) - datetime.fromisoformat(found["as_of"])).days

    assert days() == 1
    assert "; look-ups may use 420;" in family(read(**changes), "artists")["words"]
    assert "; look-ups may use 300;" in family(read(**{**changes, "enrichment_budget": 300}), "artists")["words"]
    learn(store, "artists", 200)
    assert days() == 7


def test_look_ups_of_many_ids_respect_the_ceiling_too(read: Read, store: Store) -> None:
    store.sql("INSERT INTO artists (id, name, uri) SELECT 'artist' || n, 'x', 'u' FROM generate_series(1, 1000) n")
    (entry,) = read()["lookups"]
    assert (entry["at"], entry["words"]) == (None, "1,000 artists; run when no sync is running and Spotify allows it")
    learn(store, "artists", 50, days_ago=2)
    spend(store, "artists", 34)
    found = read()
    (entry,) = found["lookups"]
    # 20 calls, of which one is left today.
    assert (datetime.fromisoformat(entry["at"]) - datetime.fromisoformat(found["as_of"])).days == 1
    assert "within the daily budget" in entry["words"]


# ---- what a sync costs ----------------------------------------------------------------------------------------------


@pytest.fixture
def cost(store: Store, make_settings: Callable[..., Settings]) -> Callable[[str], str]:
    def describe(sync_type: str) -> str:
        with store.database.begin() as connection:
            settings = make_settings("http://127.0.0.1:1", timezone="UTC")
            return call_costs.describe_cost(connection, settings, None, sync_type)

    return describe


def test_the_cost_is_unknown_before_the_first_sync(cost: Callable[[str], str]) -> None:
    assert cost("full") == "Expected cost: unknown before the first sync."


def test_the_cost_is_that_of_the_last_run(cost: Callable[[str], str], store: Store) -> None:
    record_run(store, "full", library=500)
    record_run(store, "full", library=71, playlists=1)
    record_run(store, "incremental", library=4)
    spend(store, "library", 312)
    assert cost("full") == (
        "Expected cost: about 71 library calls (288 of about 600 left today) and 1 playlist call (600 of about 600 "
        "left today)."
    )


def test_the_cost_is_estimated_from_what_is_stored(cost: Callable[[str], str], store: Store) -> None:
    store.sql("INSERT INTO tracks (id, name, uri) SELECT 't' || n, 'x', 'u' FROM generate_series(1, 101) n")
    store.sql(
        "INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT :id, id, now() FROM tracks",
        id=store.account_id,
    )
    assert "about 5 library calls" in cost("full")
    assert "about 4 library calls" in cost("incremental")
    assert "2 playlist calls" in cost("incremental")
    store.sql("DELETE FROM saved_tracks")
    store.sql("DELETE FROM tracks")


def test_a_sync_beyond_the_ceiling_says_so_once(cost: Callable[[str], str], store: Store) -> None:
    record_run(store, "full", library=71)
    learn(store, "library", 300)
    spend(store, "library", 312)
    assert cost("full") == (
        "Expected cost: about 71 library calls (0 of about 300 left today). Library reads have reached their daily "
        "budget: this sync sends them anyway, and Spotify may refuse them."
    )


# ---- runs that wait for the budget ----------------------------------------------------------------------------------


def test_a_run_that_waits_for_its_budget_says_so(store: Store, make_settings: Callable[..., Settings]) -> None:
    def status() -> Any:
        with store.database.begin() as connection:
            return read_status(connection, make_settings("http://127.0.0.1:1", timezone="UTC"))[0]

    with store.database.begin() as connection:
        schedules.record_heartbeat(connection, "sweep")
    run = store.run("full", status="rate_limited", family="library")
    store.sql("UPDATE sync_history SET not_before = now() + interval '2 hours' WHERE id = :id", id=run.id)
    parked = status()
    assert "(2 h): the daily budget for library reads is spent; older calls leave it by then" in parked["message"]
    assert parked["waiting_until"] == parked["budget_until"]
    assert parked["to_do"].endswith("To spend the reserve now: spotisync sync full --account me")
    assert "Only scheduled syncs wait for it." in parked["still_runs"]
    store.sql("UPDATE sync_history SET status = 'in_progress' WHERE id = :id", id=run.id)
    assert status()["budget_until"] is None
    store.sql("INSERT INTO run_events (sync_id, kind, message) VALUES (:id, 'wait', 'budget')", id=run.id)
    assert "daily budget" in status()["message"]
    store.sql("INSERT INTO run_events (sync_id, kind, message) VALUES (:id, 'retried', 'timeout')", id=run.id)
    assert status()["budget_until"] is None
