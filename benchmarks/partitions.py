"""Do partitions pay? Plays, events of runs and calls in one table and in partitions.

`python -m benchmarks.partitions [--accounts 500]` fills a temporary database, with a year of plays, ten days of runs
and, of 20 times the accounts, three days of calls, and prints one table for each kind of row. The tables have the
columns, checks and keys of the real ones, and neither foreign keys nor triggers, which cost the same in both forms.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, Final

import psycopg

from benchmarks.environment import connect, create_environment
from benchmarks.report import Measurement, describe_machine, show, timed

READS: Final = 300
WRITES: Final = 100
SECONDS: Final = 5.0  # of one statement's repetitions
Values = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """One way to store the rows. `parts`: a query for the bounds of the partitions."""

    name: str
    key: str
    clause: str = ""
    parts: str = ""
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A table, its forms, the rows, and statements in which `{t}` is the name of the table."""

    table: str
    forms: Sequence[Form]
    rows: str
    reads: dict[str, str]
    writes: dict[str, str]
    delete: str = ""
    drop: str = ""
    times: int = 1
    """So many times the accounts: rows that are kept for days only."""


PLAYS: Final = Case(
    "play_history",
    (
        Form("one table", "account_id, played_at, track_id"),
        Form(
            "by month",
            "account_id, played_at, track_id",
            "PARTITION BY RANGE (played_at)",
            """SELECT format('FROM (%L) TO (%L)', m, m + interval '1 month')
            FROM generate_series(timestamptz '2026-01-01', '2027-03-01', interval '1 month') m""",
        ),
        Form(
            "by account",
            "account_id, played_at, track_id",
            "PARTITION BY HASH (account_id)",
            "SELECT format('WITH (MODULUS 16, REMAINDER %s)', r) FROM generate_series(0, 15) r",
        ),
    ),
    """SELECT a, day + h * interval '3 hours' + (p * 4 + a % 4) * interval '1 minute' + random() * interval '1 minute',
        left(md5(floor(random() * 100000)::text), 22), 'spotify:playlist:' || left(md5((a * 50 + p)::text), 22), NULL,
        'recent' FROM generate_series(timestamptz '2026-01-01', '2026-12-31', interval '1 day') day,
        generate_series(0, 3) h, generate_series(1, {accounts}) a, generate_series(0, 4) p""",
    {
        "newest play": "SELECT max(played_at) FROM {t} WHERE account_id = %(account)s",
        "plays of 28 days": """SELECT played_at FROM {t} WHERE account_id = %(account)s
            AND played_at > timestamptz '2026-12-03'""",
        "compare 47 reported plays": """SELECT DISTINCT h.* FROM jsonb_to_recordset(%(reported)s::jsonb)
            AS r(track_id text, first timestamptz, last timestamptz) CROSS JOIN LATERAL (
                SELECT * FROM {t} h WHERE h.account_id = %(account)s AND h.played_at BETWEEN r.first AND r.last
                AND h.track_id = r.track_id OFFSET 0) h""",
        "export a year": "SELECT * FROM {t} WHERE account_id = %(account)s ORDER BY played_at, track_id",
    },
    {
        "store 20 plays": """INSERT INTO {t} (account_id, played_at, track_id, source)
            SELECT %(account)s, timestamptz '2027-01-01' + (i * 4 + random()) * interval '1 minute',
                left(md5(random()::text), 22), 'recent' FROM generate_series(1, 20) i
            ON CONFLICT (account_id, played_at, track_id) DO UPDATE SET source = excluded.source""",
        "remove an account": "DELETE FROM {t} WHERE account_id = %(account)s",
    },
)
EVENTS: Final = Case(
    "run_events",
    (
        Form("one table", "id", indexes=("sync_id, id",)),
        Form(
            "by run",
            "sync_id, id",
            "PARTITION BY RANGE (sync_id)",
            """SELECT format('FROM (%s) TO (%s)', d * {accounts}::bigint * 48, (d + 1) * {accounts}::bigint * 48)
            FROM generate_series(0, 10) d""",
        ),
        Form(
            "by id",
            "id",
            "PARTITION BY RANGE (id)",
            """SELECT format('FROM (%s) TO (%s)', d * {accounts}::bigint * 288, (d + 1) * {accounts}::bigint * 288)
            FROM generate_series(0, 10) d""",
            ("sync_id, id",),
        ),
    ),
    """SELECT tick * 6 * {accounts}::bigint + k * {accounts}::bigint + a, tick * {accounts}::bigint + a,
        timestamptz '2026-01-01' + tick * interval '30 minutes' + k * interval '0.4 s',
        (ARRAY['begun', 'batch', 'batch', 'batch', 'batch', 'success'])[k + 1],
        (ARRAY[NULL, 'tracks', 'artists', 'albums', 'playlists', NULL])[k + 1], 0, 1,
        (ARRAY[NULL, 'library', 'library', 'library', 'playlists', NULL])[k + 1], 0.3, 50, 1, NULL
        FROM generate_series(0, 479) tick, generate_series(0, 5) k, generate_series(1, {accounts}) a""",
    {
        "last event of a run": "SELECT * FROM {t} WHERE sync_id = %(run)s ORDER BY id DESC LIMIT 1",
        "costs of 10 runs": """SELECT family, sum(calls) FROM {t} WHERE sync_id = ANY(ARRAY(
            SELECT %(run)s::bigint - i * %(accounts)s::bigint FROM generate_series(0, 9) i)) GROUP BY 1""",
    },
    {
        "add calls to the last event": """UPDATE {t} SET calls = calls + 1 WHERE id = (
            SELECT id FROM {t} WHERE sync_id = %(run)s ORDER BY id DESC LIMIT 1)""",
    },
    # A day of ten.
    """DELETE FROM {t} WHERE id IN (SELECT e.id FROM (SELECT id, at FROM {t} ORDER BY id LIMIT 20000) e
        WHERE e.at < timestamptz '2026-01-02')""",
    "DROP TABLE {t}_0",
)
CALLS: Final = Case(
    "call_ledger",
    (
        Form("one table", "client_id, family, minute, account_id"),
        Form(
            "by day",
            "client_id, family, minute, account_id",
            "PARTITION BY RANGE (minute)",
            """SELECT format('FROM (%L) TO (%L)', d, d + interval '1 day')
            FROM generate_series(date_trunc('day', now()) - interval '4 days', now(), interval '1 day') d""",
        ),
        # What `call_ledger.compact` leaves of minutes that are over.
        Form("compacted", "client_id, family, minute, account_id"),
    ),
    """SELECT 'd0fa6a6e4d1f4b6f8c1e3e1a2b3c4d5e', f, date_trunc('minute', now()) - m * interval '1 minute', a, 1
        FROM generate_series(4320, 1, -1) m, LATERAL (
            SELECT 'player' f, a FROM generate_series(m % 10 + 1, {accounts}, 10) a
            UNION ALL SELECT f, a FROM generate_series(m % 30 + 1, {accounts}, 30) a,
                unnest(ARRAY['library', 'playlists']) f) x""",
    {
        "calls of a day by family": """SELECT family, sum(calls) FROM {t}
            WHERE client_id = 'd0fa6a6e4d1f4b6f8c1e3e1a2b3c4d5e' AND minute > now() - interval '1 day' GROUP BY 1""",
    },
    {},
    times=20,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: stop everything that was started
    with create_environment(options.directory) as environment:
        machine = describe_machine(options.directory)
        with connect(environment.create_database()) as connection:
            rows = [
                row
                for case in (PLAYS, EVENTS, CALLS)
                for row in _measure(connection, case, options.accounts * case.times)
            ]
    show(rows, machine, quick=options.accounts < 100)


def _measure(connection: psycopg.Connection[Any], case: Case, accounts: int) -> Iterator[Measurement]:
    section = f"{case.table}: {accounts:,} accounts"
    for number, form in enumerate(case.forms):
        table = f"{case.table}_{number}"

        def found(what: str, unit: str, *samples: float, column: str = form.name) -> Measurement:
            return Measurement(section, f"{what}, {unit}", unit, samples, column=column)

        yield found("fill", "s", _create(connection, case, form, table, accounts) / 1000)
        for what, kind in (("rows and index", "total_relation"), ("indexes", "indexes")):
            yield found(what, "MB", _sum_sizes(connection, table, kind))
        values = _values(accounts)
        for what, statement in case.reads.items():
            yield found(what, "ms", *_time(connection, statement.format(t=table), values, READS))
        for what, statement in case.writes.items():
            yield found(what, "ms", *_time(connection, statement.format(t=table), values, WRITES))
        if case.delete:
            statement = (case.drop if form.clause else case.delete).format(t=table)
            yield found("forget a day", "s", timed(partial(_exhaust, connection, statement))[0] / 1000)


def _create(connection: psycopg.Connection[Any], case: Case, form: Form, table: str, accounts: int) -> float:
    """Create and fill the table. Returns the milliseconds of the filling."""
    connection.execute(
        f"CREATE TABLE {table} (LIKE {case.table} INCLUDING CONSTRAINTS, PRIMARY KEY ({form.key})) {form.clause}"
    )
    for columns in form.indexes:
        connection.execute(f"CREATE INDEX ON {table} ({columns})")
    bounds = connection.execute(form.parts.format(accounts=accounts)).fetchall() if form.parts else []
    for number, (bound,) in enumerate(bounds):
        connection.execute(f"CREATE TABLE {table}_{number} PARTITION OF {table} FOR VALUES {bound}")
    rows = case.rows.format(accounts=accounts)
    if form.name == "compacted":
        rows = f"SELECT c, f, m, 0, sum(n) FROM ({rows}) AS x(c, f, m, a, n) GROUP BY 1, 2, 3 ORDER BY 3"  # noqa: S608 (constants)
    duration, _ = timed(lambda: connection.execute(f"INSERT INTO {table} {rows}"))
    connection.execute("VACUUM ANALYZE")
    return duration


def _sum_sizes(connection: psycopg.Connection[Any], table: str, kind: str) -> float:
    sizes = f"SELECT sum(pg_{kind}_size(relid)) / 1e6 FROM pg_partition_tree(%s::regclass)"  # noqa: S608 (a constant)
    plain = f"SELECT pg_{kind}_size(%s::regclass) / 1e6"
    partitioned = connection.execute("SELECT relkind = 'p' FROM pg_class WHERE relname = %s", [table]).fetchone()
    row = connection.execute(sizes if partitioned == (True,) else plain, [table]).fetchone()
    return float(row[0]) if row else 0.0


def _values(accounts: int) -> Callable[[], Values]:
    random = Random(1)
    window = [f"2026-12-29T{hour:02}:{minute:02}:00Z" for hour in range(24) for minute in (0, 20)]
    reported = json.dumps([{"track_id": "x", "first": window[i], "last": window[i + 1]} for i in range(47)])
    return lambda: {
        "account": random.randint(1, accounts),
        "run": random.randint(accounts * 96, accounts * 480),
        "accounts": accounts,
        "reported": reported,
    }


def _time(
    connection: psycopg.Connection[Any], statement: str, values: Callable[[], Values], times: int
) -> Iterator[float]:
    """Time a statement in transactions that are rolled back. Statements are prepared after some repetitions."""

    def once() -> None:
        cursor = connection.execute(statement, bound)
        if cursor.description:
            cursor.fetchall()

    deadline = monotonic() + SECONDS
    for number in range(times):
        if number and monotonic() > deadline:
            return
        bound = values()
        with connection.transaction(force_rollback=True):
            yield timed(once)[0]


def _exhaust(connection: psycopg.Connection[Any], statement: str) -> None:
    """Execute a statement until it changes no more rows."""
    while connection.execute(statement).rowcount > 0:
        pass


if __name__ == "__main__":
    main()
