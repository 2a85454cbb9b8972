"""What was looked up long ago is looked up again: a few at a time, when nothing else is to be done."""

import pytest
from sqlalchemy import text

from spotisync.simulator import Server
from spotisync.sync import Sync
from spotisync.sync.enrich import enrich
from tests.drive import Account, full_sync, incremental_sync
from tests.store.test_regimes import looked_up, sql, truth
from tests.truth import assert_tables_equal_truth

LATER = "UPDATE apps SET refreshed_at = refreshed_at - interval '30 minutes 1 second'"


@pytest.fixture
def aged(sync: Sync, simulator: Server, account: Account) -> Sync:
    """A synced library in a world that has moved on since."""
    full_sync(sync, account)
    simulator.world.edit("drift")
    simulator.control.reset_log()
    return sync


def age(sync: Sync, days: int) -> None:
    for table in ("artists", "albums"):
        sql(sync, f"UPDATE {table} SET enriched_at = enriched_at - make_interval(days => :days)", days=days)


def refresh_all(sync: Sync) -> int:
    rounds = 0
    while enrich(sync).looked_up:
        sql(sync, LATER)
        rounds += 1
    return rounds


def test_nothing_is_spent_before_it_is_stale(aged: Sync, simulator: Server) -> None:
    age(aged, 179)
    enrich(aged)
    assert looked_up(simulator) == []


def test_one_call_each_half_hour_until_all_is_fresh(aged: Sync, simulator: Server, account: Account) -> None:
    age(aged, 181)
    assert enrich(aged).looked_up
    assert len(looked_up(simulator)) == 1
    assert not enrich(aged).looked_up, "not so soon"
    assert len(looked_up(simulator)) == 1
    sql(aged, LATER)
    refresh_all(aged)
    incremental_sync(aged, account)
    assert_tables_equal_truth(aged, account, truth(simulator, account))
    assert (
        sql(
            aged, "SELECT 1 FROM artists WHERE enrichment = 'stub' UNION SELECT 1 FROM albums WHERE enrichment = 'stub'"
        )
        == []
    )


def test_not_while_a_run_is_going_nor_within_a_day_of_a_quota(aged: Sync, simulator: Server) -> None:
    age(aged, 181)
    sql(aged, "UPDATE sync_history SET status = 'in_progress'")
    assert not enrich(aged).looked_up
    sql(aged, "UPDATE sync_history SET status = 'success'")
    sql(
        aged,
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', 'player', now() - interval '23 hours', 'quota')""",
    )
    assert not enrich(aged).looked_up
    assert looked_up(simulator) == []
    sql(aged, "UPDATE rate_limits SET blocked_until = now() - interval '25 hours'")
    assert enrich(aged).looked_up


def test_an_app_of_the_restricted_regime_does_not(aged: Sync, simulator: Server) -> None:
    age(aged, 181)
    sql(aged, "UPDATE apps SET regime = 'restricted'")
    assert not enrich(aged).looked_up
    assert looked_up(simulator) == []


def test_what_can_not_be_read_again_keeps_what_is_known_and_bars_nobodys_way(aged: Sync, simulator: Server) -> None:
    age(aged, 181)
    gone = sql(aged, "SELECT id, name, genres FROM artists WHERE enrichment = 'full' ORDER BY enriched_at, id LIMIT 1")[
        0
    ]
    simulator.world.edit("withdraw", kind="artist", id=gone.id)
    refresh_all(aged)
    after = sql(aged, "SELECT enrichment, name, genres FROM artists WHERE id = :id", id=gone.id)[0]
    assert tuple(after) == ("gone", gone.name, gone.genres)
    stale = "SELECT count(*) FROM artists WHERE enrichment = 'full' AND enriched_at < now() - interval '1 day'"
    assert sql(aged, stale)[0][0] == 0


def test_looking_for_what_is_stale_reads_an_index(sync: Sync, account: Account) -> None:
    from spotisync.store import catalogue

    sql(
        sync,
        """INSERT INTO artists (id, uri, enrichment, enriched_at)
        SELECT g::text, '', 'full', now() FROM generate_series(1, 20000) g""",
    )
    with sync.database.begin() as connection:
        connection.execute(text("ANALYZE artists"))
        plan = connection.execute(
            text(f"EXPLAIN SELECT EXISTS (SELECT 1 FROM artists WHERE {catalogue.STALE})"), {"days": 180}
        )
        assert "ix_artists_full" in "\n".join(row[0] for row in plan)
