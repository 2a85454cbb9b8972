"""Stale rows are looked up again: a few at a time, while hardly anything else runs."""

from typing import Any

import pytest
from sqlalchemy import text

from spotisync.simulator import Server
from spotisync.store import apps
from spotisync.sync import Context
from spotisync.sync.enrich import enrich
from tests.integration.sync.test_regimes import looked_up, sql, truth
from tests.support.driver import Account, full_sync, incremental_sync
from tests.support.store import analyzed
from tests.support.truth import assert_tables_equal_truth

LATER = "UPDATE apps SET refreshed_at = refreshed_at - interval '30 minutes 1 second'"


@pytest.fixture
def aged(context: Context, simulator: Server, account: Account) -> Context:
    """A synced library whose rows at Spotify have changed since."""
    full_sync(context, account)
    simulator.world.edit("drift")
    simulator.control.reset_log()
    return context


def age(context: Context, days: int) -> None:
    for table in ("artists", "albums"):
        sql(context, f"UPDATE {table} SET enriched_at = enriched_at - make_interval(days => :days)", days=days)


def refresh_all(context: Context) -> int:
    rounds = 0
    while enrich(context).looked_up:
        sql(context, LATER)
        rounds += 1
    return rounds


def test_makes_no_call_before_a_row_is_stale(aged: Context, simulator: Server) -> None:
    age(aged, 179)
    enrich(aged)
    assert looked_up(simulator) == []


def test_makes_one_call_per_half_hour_until_all_rows_are_fresh(
    aged: Context, simulator: Server, account: Account
) -> None:
    age(aged, 181)
    assert enrich(aged).looked_up
    assert len(looked_up(simulator)) == 1
    assert not enrich(aged).looked_up, "not before the half hour is over"
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


def test_makes_no_call_during_a_run_or_within_a_day_of_a_quota(aged: Context, simulator: Server) -> None:
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


def test_an_app_in_the_restricted_regime_makes_no_call(aged: Context, simulator: Server) -> None:
    age(aged, 181)
    sql(aged, "UPDATE apps SET regime = 'restricted'")
    assert not enrich(aged).looked_up
    assert looked_up(simulator) == []


def known(context: Context, id_: str) -> tuple[Any, ...]:
    return tuple(sql(context, "SELECT name, genres, enrichment FROM artists WHERE id = :id", id=id_)[0])


def unlisted(context: Context) -> str:
    """Return an artist that no list contains, so that only a look-up finds it."""
    found: str = sql(
        context,
        """SELECT id FROM artists WHERE enrichment = 'full' AND id NOT IN (SELECT artist_id FROM followed_artists)
        ORDER BY enriched_at, id LIMIT 1""",
    )[0].id
    return found


def test_a_known_id_is_gone_after_two_denials_days_apart(aged: Context, simulator: Server) -> None:
    age(aged, 181)
    gone = unlisted(aged)
    before = known(aged, gone)
    simulator.world.edit("withdraw", kind="artist", id=gone)
    refresh_all(aged)
    assert known(aged, gone) == before
    stale = "SELECT id FROM artists WHERE enrichment = 'full' AND enriched_at < now() - interval '1 day'"
    assert [row.id for row in sql(aged, stale)] == [gone], "it does not block other look-ups"
    asked = len(looked_up(simulator))
    enrich(aged)
    assert len(looked_up(simulator)) == asked, "not immediately"
    sql(aged, "UPDATE artists SET lookup_until = lookup_until - interval '1 day'")
    enrich(aged)
    assert len(looked_up(simulator)) == asked + 1
    assert known(aged, gone) == (*before[:2], "gone"), "its known values stay"


def test_an_unanswered_refresh_costs_one_call_and_waits_longer(aged: Context, simulator: Server) -> None:
    ask = aged.spotify.get

    def get(request: Any, token: str) -> Any:
        body = ask(request, token)
        return {"artists": []} if request.kind == "artists" else body

    aged.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
    sql(aged, "UPDATE artists SET enriched_at = now() - interval '181 days' WHERE enrichment = 'full'")
    waits = "SELECT round(extract(epoch FROM max(lookup_until) - now()) / 86400) FROM artists"
    for asked, days in enumerate((1, 2, 4, 8), start=1):
        enrich(aged)
        assert sql(aged, waits)[0][0] == days
        assert len(looked_up(simulator)) == asked
        sql(aged, "UPDATE artists SET lookup_until = now() - lookup_attempts * interval '1 second'")
        sql(aged, LATER)
        # It is requested alone from the second attempt on, so let it be the same id.
        sql(aged, "UPDATE artists SET enriched_at = now() WHERE id <> :id", id=unlisted(aged))
    assert not sql(aged, "SELECT 1 FROM artists WHERE enrichment = 'stub'")


def test_a_field_missing_from_a_reply_keeps_its_value(aged: Context) -> None:
    before = sql(aged, "SELECT id, name, genres, popularity, followers, image_url FROM artists ORDER BY id")
    ask = aged.spotify.get

    def get(request: Any, token: str) -> Any:
        body = ask(request, token)
        for number, each in enumerate(body.get("artists", [])):
            for name in ("genres", "popularity", "followers", "images", "name"):
                if number % 2:
                    each[name] = None
                else:
                    each.pop(name)
        return body

    aged.spotify.get = get  # type: ignore[method-assign, assignment, unused-ignore]
    age(aged, 181)
    assert refresh_all(aged)
    assert before == sql(aged, "SELECT id, name, genres, popularity, followers, image_url FROM artists ORDER BY id")


def test_does_not_look_up_stale_rows_that_a_list_refreshed(aged: Context, simulator: Server, account: Account) -> None:
    age(aged, 181)
    full_sync(aged, account)
    for kind, listed in (("artists", "followed_artists f ON f.artist_id"), ("albums", "saved_albums f ON f.album_id")):
        rows = sql(
            aged,
            f"""SELECT enriched_at > now() - interval '1 day' AS new FROM {kind} e JOIN {listed} = e.id
            WHERE enrichment = 'full'""",
        )
        assert rows
        assert all(row.new for row in rows)


def test_makes_no_call_while_a_run_waits(aged: Context, simulator: Server) -> None:
    age(aged, 181)
    for status in ("pending", "rate_limited"):
        sql(aged, "UPDATE sync_history SET status = :status", status=status)
        assert not enrich(aged).looked_up
    assert looked_up(simulator) == []


def add_accounts(context: Context, number: int) -> None:
    sql(context, "INSERT INTO accounts (spotify_user_id) SELECT 'more' || n FROM generate_series(1, :n) n", n=number)


def test_needs_no_moment_without_a_run_of_many_accounts(aged: Context, simulator: Server) -> None:
    age(aged, 181)
    sql(aged, "UPDATE sync_history SET status = 'in_progress'")
    add_accounts(aged, 18)
    assert not enrich(aged).looked_up
    sql(aged, "INSERT INTO accounts (spotify_user_id) VALUES ('the twentieth')")
    assert enrich(aged).looked_up
    assert len(looked_up(simulator)) == 1


def test_runs_of_few_accounts_come_first_if_calls_are_scarce(aged: Context, simulator: Server) -> None:
    sql(aged, "UPDATE sync_history SET status = 'in_progress'")
    sql(aged, "INSERT INTO artists (id, uri) VALUES ('new', '')")
    add_accounts(aged, 19)
    ids = [row.id for row in sql(aged, "SELECT id FROM accounts")]

    def is_idle(rate: int) -> bool:
        with aged.database.begin() as connection:
            return apps.get_backlog(connection, aged.default_app.identity, ids, rate=rate).idle

    sql(aged, "DELETE FROM call_ledger")
    sql(
        aged,
        """INSERT INTO call_ledger (client_id, family, minute, account_id, calls)
        SELECT :client, 'library', date_trunc('minute', now()), min(id), 40 FROM accounts""",
        client=aged.default_app.client_id,
    )
    assert is_idle(rate=40)
    assert not is_idle(rate=39)
    assert is_idle(rate=0)
    sql(aged, "UPDATE call_ledger SET minute = minute - interval '2 minutes'")
    assert is_idle(rate=1)


def test_finds_stale_rows_by_an_index(context: Context, account: Account) -> None:
    from spotisync.store import catalogue

    sql(
        context,
        """INSERT INTO artists (id, uri, enrichment, enriched_at)
        SELECT g::text, '', 'full', now() FROM generate_series(1, 20000) g""",
    )
    with analyzed(context.database, "artists") as connection:
        plan = connection.execute(
            text(f"EXPLAIN SELECT EXISTS (SELECT 1 FROM artists WHERE {catalogue.STALE})"), {"days": 180}
        )
        assert "ix_artists_full" in "\n".join(row[0] for row in plan)
