"""Thousands of synced accounts in minutes: some by real full syncs, the others by copies of their rows.

The simulator serves copies of a number of libraries. One account of each library is synced by the workers; the rows of
the other accounts are what the same sync would have written, copied within Postgres.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Table

from benchmarks.environment import connect, start_sync, wait_for_success
from spotisync.simulator import Control
from spotisync.store import schema
from spotisync.sync import Context, accounts, playback, runs
from tests.support import truth
from tests.support.driver import Account

TOKEN_LIFE = 3_600.0
VERIFIED = 5
# Of the table `accounts`; the other columns are copied.
_OWN = ("spotify_user_id", "refresh_token", "access_token", "access_token_expires_at")
_IGNORED = ("id", "spotify_account_id", "display_name", "refresh_claim", "refresh_claim_until")
_COPIES = """CREATE TEMP TABLE copies (original text, spotify_user_id text PRIMARY KEY, refresh_token text,
    access_token text, access_token_expires_at timestamptz)"""


def seed(context: Context, control: Control, url: str, libraries: int) -> None:
    """Sync one account of each library, and copy the rows of the others. Workers must be running."""
    served = control.info()["accounts"]
    _sync(context, served[:libraries])
    with connect(url) as connection:
        _copy(connection, list(_rows(context, control, served, libraries)))
        connection.execute("VACUUM (ANALYZE)")


def _sync(context: Context, served: Sequence[dict[str, str]]) -> None:
    names = [accounts.add(context, each["refresh_token"], None).spotify_user_id for each in served]
    for run in [start_sync(context, name) for name in names]:
        wait_for_success(context, run)
    for name in names:
        playback.track_plays(context, name)


def _rows(
    context: Context, control: Control, served: Sequence[dict[str, str]], libraries: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `copies`. Their access tokens end at different times within the life of a token."""
    # As the simulator assigns them: not the first library, which is larger.
    originals = [each["id"] for each in served[1:libraries]] or [served[0]["id"]]
    rng = random.Random(1)
    for number, account in enumerate(served[libraries:]):
        life = rng.uniform(0.05, 1) * TOKEN_LIFE
        issued = control.token(account["id"], life)
        ends = datetime.now(UTC) + timedelta(seconds=life)
        tokens = (context.vault.encrypt(each) for each in (account["refresh_token"], issued["access_token"]))
        yield originals[number % len(originals)], account["id"], *tokens, ends


def _copy(connection: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> None:
    connection.execute(_COPIES)
    with connection.cursor().copy("COPY copies FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute("ANALYZE copies")
    others = [c.name for c in schema.accounts.columns if c.name not in (*_OWN, *_IGNORED)]
    connection.execute(
        sql.SQL(
            """INSERT INTO accounts ({own}, {others}) SELECT {values}, {copied}
            FROM copies c JOIN accounts a ON a.spotify_user_id = c.original"""
        ).format(own=_names(_OWN), others=_names(others), values=_names(_OWN, "c"), copied=_names(others, "a"))
    )
    for table in schema.metadata.sorted_tables:
        if _belongs_to_accounts(table):
            connection.execute(_copy_statement(table))


def _names(columns: Sequence[str], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (table, each))) for each in columns)


def _belongs_to_accounts(table: Table) -> bool:
    """Whether it holds the state of accounts, but no history of runs, and no rows that a trigger adds."""
    parents = {key.column.table.name for key in table.foreign_keys}
    return "accounts" in parents and "sync_history" not in parents and "id" not in table.columns


def _copy_statement(table: Table) -> sql.Composed:
    columns = [each.name for each in table.columns if each.name != "account_id" and each.computed is None]
    return sql.SQL(
        """INSERT INTO {table} (account_id, {columns}) SELECT n.id, {copied} FROM copies c
        JOIN accounts o ON o.spotify_user_id = c.original JOIN accounts n ON n.spotify_user_id = c.spotify_user_id
        JOIN {table} t ON t.account_id = o.id"""
    ).format(table=sql.Identifier(table.name), columns=_names(columns), copied=_names(columns, "t"))


def verify(context: Context, control: Control, url: str) -> None:
    """Sync some copied accounts: nothing may change, and tables must equal the truth."""
    served = [each["id"] for each in control.info()["accounts"]]
    chosen = served[-VERIFIED:]
    started = [runs.trigger(context, name, "incremental", "cli").run for name in chosen]
    from spotisync import canvas  # it loads Celery's configuration, which needs the settings of the environment

    for run in started:
        canvas.publish(run)
    for run in started:
        wait_for_success(context, run)
    with connect(url) as connection:
        changed = connection.execute(
            "SELECT sum(items_added + items_updated + items_removed) FROM sync_history WHERE id = ANY(%s)",
            ([run.id for run in started],),
        ).fetchall()[0][0]
    if changed:
        raise ValueError(f"the syncs of {', '.join(chosen)} changed {changed} rows: the copied rows are wrong")
    for name in chosen:
        truth.assert_tables_equal_truth(context, Account(name), control.truth(name))
