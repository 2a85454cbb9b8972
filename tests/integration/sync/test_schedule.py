"""Schedules: each due time is taken once despite changes of the clock, the settings and the accounts."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from spotisync.cli import schedule as words
from spotisync.core.schedule import CRON_SECONDS_PER_ACCOUNT, CRON_SPREAD, Every, cron_delay, next_time
from spotisync.simulator import Server
from spotisync.store import rhythms, schedules
from spotisync.store.runs import Run
from spotisync.sync import Context, runs, schedule
from spotisync.sync.schedule import PlaybackDue
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.system.command_line import InProcess
from tests.system.programs import environment

Make = Callable[..., Context]


@pytest.fixture
def make(make_context: Callable[..., Context], simulator: Server) -> Make:
    """Create a process with these settings; schedules that are not named are disabled."""

    def made(**changes: Any) -> Context:
        off = {"full_sync_schedule": "", "incremental_interval": 0, "playback_interval": 0, "timezone": "Europe/Berlin"}
        return make_context(simulator, **{**off, **changes})

    return made


@pytest.fixture
def often(make: Make, store: Store) -> Context:
    """A context with a planned incremental sync every half hour."""
    context = make(incremental_interval=1800)
    assert tick(context) == []
    return context


def tick(context: Context) -> list[Run | PlaybackDue]:
    return list(schedule.take_due(context))


def due(store: Store, late: str = "1 second", kind: str = "incremental") -> None:
    """Make a schedule due."""
    store.sql("UPDATE schedules SET due_at = now() - CAST(:late AS interval) WHERE kind = :kind", late=late, kind=kind)


def seconds(store: Store, kind: str = "incremental", column: str = "due_at") -> float:
    """Return the seconds until a due time."""
    return float(store.one(f"SELECT EXTRACT(epoch FROM {column} - now()) FROM schedules WHERE kind = :kind", kind=kind))


def of(store: Store, column: str, kind: str = "incremental") -> Any:
    return store.one(f"SELECT {column} FROM schedules WHERE kind = :kind", kind=kind)


def types(store: Store) -> list[tuple[str, str]]:
    return [tuple(row) for row in store.sql("SELECT sync_type, trigger FROM sync_history ORDER BY id")]


def over(store: Store) -> None:
    store.sql("UPDATE sync_history SET status = 'success', completed_at = now() WHERE status = 'in_progress'")


# ---- due ------------------------------------------------------------------------------------------------------------


def test_a_due_time_creates_one_run_and_the_next_due_time(often: Context, store: Store) -> None:
    assert tick(often) == []
    due(store)
    (run,) = tick(often)
    assert isinstance(run, Run)
    assert types(store) == [("incremental", "beat")]
    assert of(store, "sync_id") == run.id
    assert 890 < seconds(store) <= 2700
    assert abs(seconds(store, column="last_at")) < 5
    assert of(store, "note") is None
    assert tick(often) == []


@pytest.mark.parametrize("late", ["1 second", "3 hours", "40 days"])
def test_missed_times_are_made_up_once(late: str, often: Context, store: Store) -> None:
    due(store, late)
    assert [len(tick(often)) for _ in range(3)] == [1, 0, 0]
    over(store)
    assert tick(often) == []
    assert seconds(store) > 890  # the next one is not due at once


def test_a_clock_set_back_creates_no_duplicate_run(often: Context, store: Store) -> None:
    """The same time becomes due again, as if the update had been lost: the idempotency key finds its run."""
    due(store)
    at = of(store, "due_at")
    assert len(tick(often)) == 1
    over(store)
    store.sql("UPDATE schedules SET due_at = :at", at=at)
    assert tick(often) == []
    assert len(types(store)) == 1
    assert seconds(store) > 0


def test_joins_an_unfinished_run_and_records_it(often: Context, store: Store) -> None:
    run = store.run("incremental")
    due(store)
    assert tick(often) == []
    assert (of(store, "sync_id"), of(store, "note")) == (run.id, f"joined run {run.id}, which had not ended")
    over(store)
    due(store)
    assert len(tick(often)) == 1
    assert of(store, "note") is None


def test_an_incremental_joins_an_active_full_sync(make: Make, store: Store) -> None:
    context = make(incremental_interval=1800, full_sync_schedule="0 4 * * 0")
    tick(context)
    store.sql("UPDATE schedules SET due_at = now() - interval '1 minute' * (1 + (kind = 'incremental')::int)")
    (run,) = tick(context)
    assert types(store) == [("full", "beat")]
    assert isinstance(run, Run)
    assert [of(store, "sync_id", kind) for kind in ("full", "incremental")] == [run.id, run.id]


def test_an_incremental_does_not_join_a_parked_full_sync(often: Context, store: Store) -> None:
    store.run("full", status="rate_limited")
    due(store)
    assert len(tick(often)) == 1
    assert types(store) == [("full", "cli"), ("incremental", "beat")]


def test_a_full_sync_starts_when_the_account_is_free(make: Make, store: Store) -> None:
    context = make(full_sync_schedule="0 4 * * 0")
    tick(context)
    store.run("incremental")
    due(store, kind="full")
    (run,) = tick(context)
    assert isinstance(run, Run)
    assert run.status == "pending"


def test_sends_one_playback_message_per_account(make: Make, store: Store) -> None:
    store.account("user02")
    context = make(playback_interval=600)
    assert tick(context) == []
    due(store, kind="playback")
    assert sorted(str(each) for each in tick(context)) == [str(PlaybackDue("me", 600)), str(PlaybackDue("user02", 600))]
    assert tick(context) == []
    assert types(store) == []


def test_a_sweep_publishes_a_run_whose_message_was_never_sent(often: Context, store: Store) -> None:
    due(store)
    (run,) = tick(often)  # the worker dies before it publishes
    assert isinstance(run, Run)
    assert runs.take_due_runs(often) == []
    store.set(run.id, wake_at="now()")
    assert [each.id for each in runs.take_due_runs(often)] == [run.id]


def test_a_scheduled_run_syncs_the_library(make: Make, store: Store, account: Account) -> None:
    store.sql("DELETE FROM accounts WHERE id = :id", id=store.account_id)
    context = make(full_sync_schedule="0 4 * * 0")
    tick(context)
    due(store, kind="full")
    (run,) = tick(context)
    assert isinstance(run, Run)
    assert driver.run_to_end(context, run)["status"] == "success"


# ---- several at once ------------------------------------------------------------------------------------------------


def test_concurrent_ticks_create_one_run_per_account(make: Make, store: Store) -> None:
    for number in range(11):
        store.account(f"user{number:02}")
    processes = [make(incremental_interval=1800) for _ in range(4)]
    start = threading.Barrier(len(processes))

    def ticks(context: Context) -> list[Any]:
        start.wait(60)
        return [*tick(context), *tick(context)]

    with ThreadPoolExecutor(len(processes)) as threads:
        assert list(threads.map(ticks, processes)) == [[]] * 4
        assert store.one("SELECT count(*) FROM schedules") == 12
        for expected in (12, 24):
            due(store)
            made = [run for found in threads.map(ticks, processes) for run in found]
            made += tick(processes[0])  # rows that two ticks skipped because of each other's locks
            assert len({run.account_id for run in made}) == len(made) == 12
            assert store.one("SELECT count(*) FROM sync_history") == expected
            over(store)


def test_several_ticks_share_the_due_accounts(make: Make, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one tick has taken a chunk and not committed it, another one takes the next chunk without waiting."""
    monkeypatch.setattr(schedule, "CHUNK", 5)
    for number in range(14):
        store.account(f"user{number:02}")
    one, two = (make(incremental_interval=1800) for _ in range(2))
    tick(one)
    due(store)
    with one.database.begin() as connection:
        taken = schedule.Tick(one).take_chunk("incremental", Every(1800), connection).due
        others = tick(two)
    accounts = [each.account for each in (*taken, *others)]
    assert (len(taken), len(set(accounts)), len(accounts)) == (5, 15, 15)
    assert tick(one) == tick(two) == []


@pytest.mark.parametrize("kind", ["full", "incremental", "playback"])
def test_accounts_are_due_at_times_of_their_own(make: Make, store: Store, kind: str) -> None:
    """Also the first time, however many accounts are added at once."""
    for number in range(59):
        store.account(f"user{number:02}")
    rules = {"full_sync_schedule": "0 4 * * 0", "incremental_interval": 1800, "playback_interval": 600}
    cron = max(CRON_SPREAD, 2 * CRON_SECONDS_PER_ACCOUNT * (store.account_id + 60))
    spread, period = {"full": (cron, 7 * 86_400), "incremental": (1800, 1800), "playback": (600, 600)}[kind]
    tick(make(**rules))
    found = store.sql("SELECT due_at FROM schedules WHERE kind = :kind", kind=kind)
    times = sorted(due_at.timestamp() % period for (due_at,) in found)
    assert len(times) == 60
    assert max(later - earlier for earlier, later in pairwise(times)) < spread / 10


def test_skips_a_schedule_locked_by_another_process(often: Context, store: Store) -> None:
    due(store)
    with often.database.begin() as connection:
        assert len(schedules.lock_due(connection, "incremental", 10)) == 1
        assert tick(often) == []  # without waiting
        connection.rollback()
    assert len(tick(often)) == 1
    with often.database.begin() as connection:
        assert schedules.lock_due(connection, "incremental", 10) == []  # that due time has passed


def test_a_busy_account_does_not_delay_another(often: Context, store: Store) -> None:
    store.account("user02")
    tick(often)
    due(store)
    with often.database.begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM accounts WHERE spotify_user_id = 'me' FOR NO KEY UPDATE")
        assert [each.account for each in tick(often)] == ["user02"]
    assert [each.account for each in tick(often)] == ["me"]


# ---- accounts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["disabled", "needs_login"])
def test_a_reactivated_account_is_scheduled_at_once(status: str, often: Context, store: Store) -> None:
    store.sql("UPDATE accounts SET status = :status", status=status)
    due(store, "9 days")
    assert tick(often) == []
    assert seconds(store) < 0
    store.sql("UPDATE accounts SET status = 'active'")
    assert len(tick(often)) == 1


def test_accounts_have_different_positions_in_the_interval(often: Context, store: Store) -> None:
    store.sql("DELETE FROM accounts")
    store.sql("INSERT INTO accounts (id, spotify_user_id) SELECT n, n FROM generate_series(1, 10) n")
    tick(often)
    times = sorted(at for (at,) in store.sql("SELECT due_at FROM schedules"))
    assert len(times) == 10
    assert min(after - before for before, after in pairwise(times)) >= timedelta(seconds=112)
    assert times[-1] - times[0] < timedelta(seconds=1800)


def test_deleting_an_account_deletes_its_schedules(often: Context, store: Store) -> None:
    store.sql("DELETE FROM accounts")
    assert store.one("SELECT count(*) FROM schedules") == 0
    assert tick(often) == []


def test_deleting_a_run_keeps_its_schedule(often: Context, store: Store) -> None:
    due(store)
    tick(often)
    store.sql("DELETE FROM sync_history")
    assert of(store, "sync_id") is None


# ---- settings -------------------------------------------------------------------------------------------------------


def test_a_new_interval_applies_from_the_next_tick(make: Make, often: Context, store: Store) -> None:
    for interval in (60, 86_400, 300):
        tick(make(incremental_interval=interval))
        assert interval / 2 - 5 < seconds(store) <= interval * 1.5
        assert of(store, "rule") == f"every {interval} s"


def test_a_new_expression_or_time_zone_applies_from_the_next_tick(make: Make, store: Store) -> None:
    at, delay = [], timedelta(seconds=cron_delay(store.account_id))
    for expression, zone in (("0 4 * * 0", "UTC"), ("0 4 * * 0", "Asia/Tokyo"), ("30 5 * * *", "Asia/Tokyo")):
        context = make(full_sync_schedule=expression, timezone=zone)
        tick(context)
        tick(context)
        at.append(of(store, "due_at AT TIME ZONE 'Asia/Tokyo'", "full") - delay)
    assert [(each.hour, each.minute) for each in at] == [(13, 0), (4, 0), (5, 30)]


def test_a_due_run_is_not_lost_when_the_rule_changes(make: Make, often: Context, store: Store) -> None:
    """Workers of two releases may even alternate."""
    other = make(incremental_interval=7200)
    due(store)
    assert len(tick(other)) == 1
    assert of(store, "rule") == "every 7200 s"
    assert 3590 < seconds(store) <= 10_800


def test_a_schedule_can_be_disabled_and_enabled(make: Make, often: Context, store: Store) -> None:
    due(store)
    assert tick(make()) == []
    assert store.one("SELECT count(*) FROM schedules") == 0
    assert tick(often) == []
    assert 890 < seconds(store) <= 2700


# ---- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("families", [("*",), ("library", "playlists")])
def test_defers_a_run_while_all_families_are_blocked_and_says_so(
    families: tuple[str, ...], often: Context, store: Store
) -> None:
    due(store)
    for family in families:
        store.block(family, 300)
    assert [tick(often), tick(often)] == [[], []]
    assert types(store) == []
    until = store.one("SELECT to_char(max(blocked_until) AT TIME ZONE 'Europe/Berlin', 'HH24:MI') FROM rate_limits")
    assert of(store, "note").startswith("deferred until ")
    assert of(store, "note").endswith(f"{until}: Spotify limit")
    assert of(store, "last_at") is None
    assert 290 < seconds(store) <= 361
    store.sql("UPDATE rate_limits SET blocked_until = now()")
    due(store)
    assert len(tick(often)) == 1
    assert of(store, "note") is None


@pytest.mark.parametrize("families", [("library",), ("playlists",), ("artists", "albums", "player")])
def test_starts_a_run_while_some_families_are_free(families: tuple[str, ...], often: Context, store: Store) -> None:
    due(store)
    for family in families:
        store.block(family, 300)
    assert len(tick(often)) == 1


def test_checks_a_day_long_limit_again_at_the_next_due_time(often: Context, store: Store) -> None:
    """A user may clear it earlier."""
    due(store)
    store.block("*", 86_000)
    tick(often)
    assert 890 < seconds(store) <= 2700
    assert "deferred until" in of(store, "note")


def test_a_full_sync_starts_during_a_limit_and_parks(make: Make, store: Store) -> None:
    context = make(full_sync_schedule="0 4 * * 0")
    tick(context)
    store.block("*", 3600)
    due(store, kind="full")
    assert len(tick(context)) == 1


def spend(store: Store, family: str, calls: int, hours: float = 1) -> None:
    store.sql(
        """INSERT INTO call_ledger (client_id, family, minute, account_id, calls)
        VALUES ('simulated', :family, date_trunc('minute', now() - make_interval(secs => :seconds)), 0, :calls)""",
        family=family,
        calls=calls,
        seconds=hours * 3600,
    )


def learn(store: Store, family: str, estimate: int) -> None:
    store.sql("INSERT INTO budgets VALUES ('simulated', :family, :estimate, now())", family=family, estimate=estimate)


@pytest.mark.parametrize(
    ("family", "spent", "learned", "stretched"),
    [
        ("library", 400, None, None),
        ("library", 525, None, 3600),  # of the assumed 600
        ("library", 5_000, None, None),  # which are no limit then
        ("playlists", 262, 300, 3600),
        ("player", 590, 600, None),
    ],
)
def test_few_calls_left_stretch_the_interval_and_the_schedule_says_so(
    family: str, spent: int, learned: int | None, stretched: int | None, often: Context, store: Store
) -> None:
    spend(store, family, spent)
    if learned:
        learn(store, family, learned)
    due(store)
    assert len(tick(often)) == 1
    assert (
        of(store, "stretched_to") == pytest.approx(stretched, rel=0.05) if stretched else not of(store, "stretched_to")
    )
    ceiling = learned or 600
    spent_words = f"{spent:,} of about {ceiling} {family} calls of 24 h are spent"
    assert (of(store, "note") or "").endswith(spent_words if stretched else "")
    assert seconds(store) > (2690 if stretched else 890)
    store.sql("DELETE FROM call_ledger")
    over(store)
    due(store)
    tick(often)
    assert of(store, "stretched_to") is None


def test_a_spent_budget_defers_a_run_until_calls_are_free_again(often: Context, store: Store) -> None:
    for family in ("library", "playlists"):
        learn(store, family, 100)
        spend(store, family, 30, hours=23.5)
        spend(store, family, 65)
    due(store)
    assert tick(often) == []
    assert "deferred until" in of(store, "note")
    assert "calls of 24 h are spent" in of(store, "note")
    assert 1680 < seconds(store) <= 1920
    store.sql("UPDATE call_ledger SET minute = minute - interval '40 minutes'")
    due(store)
    assert len(tick(often)) == 1


def play(store: Store, hours_ago: float) -> None:
    store.sql(
        """INSERT INTO tracks (id, name, uri, duration_ms, explicit, disc_number, track_number)
        VALUES ('played', '', '', 200000, false, 1, 1) ON CONFLICT DO NOTHING"""
    )
    store.sql(
        """INSERT INTO play_history (account_id, played_at, track_id, source)
        VALUES (:id, now() - make_interval(secs => :seconds), 'played', 'recent')""",
        id=store.account_id,
        seconds=hours_ago * 3600,
    )


def notice(context: Context, store: Store) -> None:
    """As a read of plays does."""
    with context.database.begin() as connection:
        rhythms.update_rhythm(connection, store.account_id)


def test_an_idle_account_is_synced_every_three_hours(often: Context, store: Store) -> None:
    store.sql("INSERT INTO rhythms VALUES (:id, 0, NULL, NULL, now() - interval '9 days')", id=store.account_id)
    due(store)
    tick(often)
    assert of(store, "stretched_to") == 10_800
    assert of(store, "note") == "every 3 h instead of 30 min: nothing is usually played or changed at that time"
    assert 9_800 < seconds(store) <= 11_800


def test_the_next_sync_is_due_when_the_usual_hours_begin(often: Context, store: Store) -> None:
    store.sql("INSERT INTO rhythms VALUES (:id, 0, NULL, NULL, now() - interval '9 days')", id=store.account_id)
    for day in range(1, 8):
        play(store, 24 * day - 3)  # in three hours from now, so the hour before begins in one to two hours
    notice(often, store)
    due(store)
    tick(often)
    position = 1800  # at most, of the account in the interval
    assert 900 < seconds(store) <= 2 * 3600 + position + 180


def test_after_a_play_the_account_is_busy(often: Context, store: Store) -> None:
    store.sql("INSERT INTO rhythms VALUES (:id, 0, NULL, NULL, now() - interval '9 days')", id=store.account_id)
    play(store, 1)
    notice(often, store)
    due(store)
    tick(often)
    assert of(store, "stretched_to") is None
    assert seconds(store) <= 2700


# ---- output ---------------------------------------------------------------------------------------------------------


def schedule_lines(context: Context, account: str | None = None) -> dict[tuple[str, str], str]:
    rows = schedule.list_schedule(context.database, context.settings, account)
    return {(row["account"], row["kind"]): " | ".join(words.format_entry(row, "Europe/Berlin")) for row in rows}


def test_status_shows_times_intervals_outcomes_and_disabled_kinds(make: Make, store: Store) -> None:
    context = make(incremental_interval=1800, full_sync_schedule="0 4 * * 0")
    assert (
        "not planned yet: beat and a worker plan it when they run; every 30 min"
        in schedule_lines(context)["me", "incremental"]
    )
    tick(context)
    at = datetime(2026, 1, 4, 4, tzinfo=UTC) + timedelta(seconds=cron_delay(store.account_id))
    assert f"{at:%H:%M}" in schedule_lines(context)["me", "full"]
    assert schedule_lines(context)["me", "full"].endswith("; cron 0 4 * * 0, Europe/Berlin")
    assert schedule_lines(context)["me", "playback"].endswith("  off; to turn it on, set SPOTISYNC_PLAYBACK_INTERVAL")
    due(store)
    (run,) = tick(context)
    assert isinstance(run, Run)
    over(store)
    store.sql("UPDATE schedules SET due_at = now() + interval '12 minutes 5 seconds'")
    line = schedule_lines(context)["me", "incremental"]
    assert "incremental  in 12 min (" in line
    assert f", run {run.id}: done" in line
    due(store, "10 minutes")
    assert "are beat and a worker running?" in schedule_lines(context)["me", "incremental"]
    store.sql("UPDATE accounts SET status = 'disabled'")
    assert (
        "paused until the account is enabled (spotisync accounts enable me)"
        in schedule_lines(context)["me", "incremental"]
    )


def test_the_command_line_shows_the_schedule(make: Make, store: Store) -> None:
    context = make(incremental_interval=1800, full_sync_schedule="0 4 * * 0")
    tick(context)
    spotisync = InProcess(environment(context.settings))
    result = spotisync("schedule")
    assert (result.code, result.out.splitlines()[0]) == (0, "me")
    assert "every 30 min" in result.out
    document = spotisync("schedule", "--json", "--account", "me").json
    assert [(row["account"], row["kind"], row["on"]) for row in document] == [
        ("me", "full", True),
        ("me", "incremental", True),
        ("me", "playback", False),
        (None, "enrich", True),
    ]
    assert "Pending look-ups: none" in result.out
    assert document[0]["due_at"] == of(store, "due_at", "full").isoformat()
    assert spotisync("schedule", "--account", "nobody").code == 2
    store.sql("DELETE FROM accounts")
    assert "No account yet" in spotisync("schedule").out
    assert spotisync("schedule", "--json").json == []


def test_lines_fit_the_width_of_a_terminal(make: Make, store: Store) -> None:
    context = make(incremental_interval=1800, full_sync_schedule="30 4 * * 0", playback_interval=600)
    tick(context)
    store.block("*", 80_000)
    store.sql("UPDATE schedules SET due_at = now()")
    tick(context)
    lines = [line for entry in schedule_lines(context).values() for line in entry.split(" | ")]
    assert max(map(len, lines)) <= 80


def test_a_new_due_time_follows_the_rule(often: Context, store: Store) -> None:
    with often.database.begin() as connection:
        now = connection.exec_driver_sql("SELECT now()").scalar_one()
    found = next_time(Every(1800), now, store.account_id)
    assert abs(of(store, "due_at") - found) in {timedelta(0), timedelta(seconds=1800)}


def test_planning_ignores_an_account_removed_meanwhile(often: Context, store: Store) -> None:
    with often.database.begin() as connection:
        now = connection.exec_driver_sql("SELECT now()").scalar_one()
        gone = schedules.UnplannedEntry(10**9, "full", now)
        schedules.set_first_times(connection, {"full": "rule"}, {gone: now})
        assert schedules.lock_due(connection, "full", 10) == []
