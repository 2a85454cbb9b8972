"""A part of a day of many accounts: schedules as beat and workers run them, with the intervals divided by a speed.

Only intervals and the life of access tokens are shortened. All other times are real, also those of the lateness: at
speed 10, two seconds late is two seconds, of an interval of three minutes instead of thirty.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.environment import Environment, connect, wait_for_idle_connections, wait_until
from benchmarks.report import Measurement
from benchmarks.scale_accounts import TOKEN_LIFE
from benchmarks.scale_meters import DatabaseCounts, Samples, count, read_tasks, sample
from spotisync.core import rhythm
from spotisync.settings import Settings, override
from spotisync.simulator import Control

DAY: Final = 86_400
WEEK: Final = 7
KINDS: Final = ("incremental", "full", "playback")
SHOWN_STATEMENTS: Final = 12
SHOWN_TABLES: Final = 10
CORES: Final = 2
TRACES: Final = {"due_trace", "read_trace"}
TRACE: Final = """
CREATE TABLE due_trace (account_id bigint, kind text, due_at timestamptz, taken_at timestamptz);
CREATE TABLE read_trace (account_id bigint, at timestamptz);
CREATE FUNCTION note_due() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO due_trace VALUES (OLD.account_id, OLD.kind, OLD.due_at, clock_timestamp()); RETURN NULL; END $$;
CREATE FUNCTION note_read() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO read_trace VALUES (NEW.account_id, clock_timestamp()); RETURN NULL; END $$;
CREATE TRIGGER note_due AFTER UPDATE ON schedules FOR EACH ROW
    WHEN (OLD.due_at <= now() AND NEW.due_at > now()) EXECUTE FUNCTION note_due();
CREATE TRIGGER note_read AFTER UPDATE ON playback FOR EACH ROW
    WHEN (NEW.read_at IS DISTINCT FROM OLD.read_at) EXECUTE FUNCTION note_read();
"""


@dataclass(frozen=True)
class Listeners:
    """How accounts are used, and so by which factors their intervals exceed the settings. `changes`: of rhythms."""

    incremental: float
    playback: float
    changes: str


LISTENERS: Final = {
    # Nothing was played or changed for two weeks.
    "idle": Listeners(rhythm.QUIET_SYNC, rhythm.IDLE_READ, "active_at = NULL, busy_hours = 0"),
    # Something was played today, and changes are likely at any hour.
    "busy": Listeners(1, rhythm.USUAL_READ, "active_at = now() - interval '3 hours', busy_hours = (1 << 24) - 1"),
}


@dataclass(frozen=True)
class Day:
    """One cell. `speed`: by how much intervals are divided."""

    listeners: str
    speed: float
    minutes: float
    workers: int

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def intervals(self) -> dict[str, float]:
        """Seconds between two syncs, and between two reads of plays, of one account."""
        listeners, fields = LISTENERS[self.listeners], Settings.model_fields
        return {
            "incremental": fields["incremental_interval"].default * listeners.incremental / self.speed,
            "playback": fields["playback_interval"].default * listeners.playback / self.speed,
        }

    @property
    def days(self) -> float:
        """The part of a day that the measured time stands for."""
        return self.seconds * self.speed / DAY


@dataclass(frozen=True)
class DayResult:
    """`lateness`: seconds by kind, until the work began and until it ended; `unfinished`: not begun at the end."""

    samples: Samples
    before: DatabaseCounts
    after: DatabaseCounts
    tasks: dict[str, list[float]]
    first_tick: float
    calls: dict[str, int]
    begun: dict[str, list[float]]
    ended: dict[str, list[float]]
    unfinished: dict[str, int]
    calls_per_run: dict[str, float]


def measure(environment: Environment, control: Control, url: str, section: str, day: Day) -> Iterator[Measurement]:
    with connect(url) as connection:
        ((accounts,),) = connection.execute("SELECT count(*) FROM accounts").fetchall()
        result = _run(environment, control, connection, day)
    yield from _report(f"{section}: {day.listeners} listeners, speed {day.speed:g}", day, result, accounts)


def _run(environment: Environment, control: Control, connection: psycopg.Connection[Any], day: Day) -> DayResult:
    _prepare(control, connection, day)
    offsets: dict[Path, int] = {}
    logs = environment.settings.data_dir / "logs"
    with ExitStack() as stack:
        stack.enter_context(environment.workers(day.workers, "spotisync"))
        stack.enter_context(environment.beat())
        _wait_for_schedules(connection)
        first_tick = max(wait_until(lambda: read_tasks(logs, offsets).get("tick"), "the first tick", 60, 0.5))
        _spread(connection, day)
        connection.execute("TRUNCATE due_trace, read_trace")
        control.reset_log()
        before, started = count(connection), _now(connection)
        samples = sample(connection, day.seconds)
        ended, tasks, calls = _now(connection), read_tasks(logs, offsets), control.counters()["families"]
        wait_for_idle_connections()
        after = count(connection)
        begun, done, unfinished = _read_lateness(connection, started, ended)
        costs = dict(connection.execute(_CALLS, (started,)).fetchall())
    return DayResult(samples, before, after, tasks, first_tick, calls, begun, done, unfinished, costs)


def _prepare(control: Control, connection: psycopg.Connection[Any], day: Day) -> None:
    fields = Settings.model_fields
    intervals = {each: fields[each].default / day.speed for each in ("incremental_interval", "playback_interval")}
    override({f"SPOTISYNC_{name.upper()}": str(round(seconds)) for name, seconds in intervals.items()})
    override({"SPOTISYNC_FULL_SYNC_SCHEDULE": fields["full_sync_schedule"].default})  # empty would mean off
    control.settings(token_life=TOKEN_LIFE / day.speed)
    changes = f"{LISTENERS[day.listeners].changes}, known_since = now() - interval '30 days'"
    connection.execute(f"UPDATE rhythms SET {changes}".encode())  # noqa: S608 (a constant)
    connection.execute("DELETE FROM schedules")
    connection.execute("VACUUM (ANALYZE) schedules, rhythms")


def _wait_for_schedules(connection: psycopg.Connection[Any]) -> None:
    missing = "SELECT (SELECT count(*) FROM accounts) * %s - (SELECT count(*) FROM schedules)"
    planned = lambda: connection.execute(missing, (len(KINDS),)).fetchall()[0][0] == 0  # noqa: E731 (one line)
    wait_until(planned, "the first due times", 120, 0.1)


def _spread(connection: psycopg.Connection[Any], day: Day) -> None:
    """Distribute due times as after some days, instead of all within the first interval.

    A day's share of the weekly full syncs is due, which by default all are within ten minutes of the week.
    """
    for kind, seconds in day.intervals.items():
        due_at = "now() + random() * make_interval(secs => %s)"
        connection.execute(f"UPDATE schedules SET due_at = {due_at} WHERE kind = %s".encode(), (seconds, kind))  # noqa: S608
    connection.execute(
        """UPDATE schedules s SET due_at = now() + random() * make_interval(secs => %s)
        FROM (SELECT account_id FROM schedules WHERE kind = 'full' ORDER BY random()
            LIMIT (SELECT round(count(*) * %s) FROM accounts)) c
        WHERE c.account_id = s.account_id AND s.kind = 'full'""",
        (day.seconds, day.days / WEEK),
    )


def _now(connection: psycopg.Connection[Any]) -> datetime:
    found: datetime = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
    return found


_CALLS = """SELECT sync_type, avg(api_calls)::float FROM sync_history
    WHERE completed_at > %s AND status = 'success' GROUP BY sync_type"""
# Seconds until the first batch began and until the run ended. The idempotency key of a scheduled run is its due time.
_RUNS = """SELECT h.sync_type, EXTRACT(epoch FROM b.at - d.at)::float, EXTRACT(epoch FROM h.completed_at - d.at)::float,
        EXTRACT(epoch FROM %(ended)s - d.at)::float
    FROM sync_history h, LATERAL (SELECT split_part(h.idempotency_key, ' ', 3)::timestamptz AS at) d,
        LATERAL (SELECT min(e.at - make_interval(secs => e.seconds)) AS at FROM run_events e
            WHERE e.sync_id = h.id AND e.kind = 'batch') b
    WHERE h.started_at >= %(started)s AND h.idempotency_key LIKE 'schedule %%'
        AND d.at BETWEEN %(started)s AND %(ended)s"""
_READS = """SELECT 'playback', EXTRACT(epoch FROM t.taken_at - t.due_at)::float,
        EXTRACT(epoch FROM r.at - t.due_at)::float, EXTRACT(epoch FROM %(ended)s - t.due_at)::float
    FROM due_trace t, LATERAL (SELECT min(at) AS at FROM read_trace r
        WHERE r.account_id = t.account_id AND r.at >= t.taken_at) r
    WHERE t.kind = 'playback' AND t.due_at BETWEEN %(started)s AND %(ended)s"""
_OVERDUE = """SELECT kind, NULL, NULL, EXTRACT(epoch FROM %(ended)s - due_at)::float FROM schedules
    WHERE due_at BETWEEN %(started)s AND %(ended)s"""


def _read_lateness(
    connection: psycopg.Connection[Any], started: datetime, ended: datetime
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, int]]:
    """What has not begun or ended yet counts with its lateness so far, so that a growing backlog shows."""
    begun: dict[str, list[float]] = {kind: [] for kind in KINDS}
    done: dict[str, list[float]] = {kind: [] for kind in KINDS}
    unfinished = dict.fromkeys(KINDS, 0)
    connection.execute("CREATE INDEX IF NOT EXISTS read_trace_account ON read_trace (account_id, at)")
    for statement in (_RUNS, _READS, _OVERDUE):
        for kind, to_begin, to_end, so_far in connection.execute(
            statement.encode(), {"started": started, "ended": ended}
        ):
            begun[kind].append(so_far if to_begin is None else to_begin)
            done[kind].append(so_far if to_end is None else to_end)
            unfinished[kind] += to_end is None
    connection.execute("DROP INDEX read_trace_account")
    return begun, done, unfinished


# ---- the report -----------------------------------------------------------------------------------------------------


def _report(section: str, day: Day, result: DayResult, accounts: int) -> Iterator[Measurement]:
    yield from _lateness(section, day, result)
    yield from _load(section, day, result)
    yield from _broker(f"Broker, {section}", day, result.samples)
    yield from _memory(f"Memory, {section}", result.samples)
    yield from _statements(f"CPU of Postgres by statement, {section}", result.samples)
    yield from _growth(f"Growth per account and day, {section}", day, result, accounts)
    yield from _calls(f"Calls a day, {section}", day, result, accounts)


def _lateness(section: str, day: Day, result: DayResult) -> Iterator[Measurement]:
    for kind in KINDS:
        if samples := result.begun[kind]:
            rate = f"{len(samples) / day.seconds:.2f} a second due"
            yield Measurement(section, f"{kind}: due to begun", "s", tuple(samples), rate)
            carried = (len(samples) - result.unfinished[kind]) / day.seconds
            remark = f"{carried:.2f} a second, {result.unfinished[kind]} unfinished"
            yield Measurement(section, f"{kind}: due to ended", "s", tuple(result.ended[kind]), remark)
    yield Measurement(section, "first tick", "s", (result.first_tick / 1000,), "plans all accounts")
    for task, durations in sorted(result.tasks.items()):
        yield Measurement(section, f"task {task}", "ms", tuple(durations), f"{sum(durations) / 1000:.1f} s in total")


def _load(section: str, day: Day, result: DayResult) -> Iterator[Measurement]:
    samples, title = result.samples, f"Load, {section}"
    product = 0.0
    for program, cpu in sorted(samples.cpu.items()):
        share = 100 * cpu / samples.seconds / CORES
        product += share * (program not in ("simulator", "benchmark", "other"))
        yield Measurement(title, f"CPU of {program}", "%", (share,), "of two cores")
    yield Measurement(title, "CPU without simulator", "%", (product,), "of two cores; without this program")
    foreign = 100 * samples.foreign_cpu / samples.seconds / CORES
    yield Measurement(title, "CPU of foreign programs", "%", (foreign,), "which distort the lateness")
    transactions = result.after.transactions - result.before.transactions - samples.lookups
    yield Measurement(title, "transactions", "a second", (transactions / samples.seconds,))
    yield Measurement(title, "sessions of Postgres", "sessions", tuple(samples.sessions))
    wal = (result.after.wal_mb - result.before.wal_mb) / day.days / 1000
    yield Measurement(title, "WAL", "GB a day", (wal,))


def _broker(section: str, day: Day, samples: Samples) -> Iterator[Measurement]:
    for name, depths in samples.queues.items():
        yield Measurement(section, name, "msgs", tuple(depths), _ends(depths, "queued"))
    mb = [each / 1e6 for each in samples.broker_bytes]
    growth = (mb[-1] - mb[0]) / day.days if len(mb) > 1 else 0
    yield Measurement(section, "memory", "MB", tuple(mb), f"{_ends(mb, 'MB')}, {growth:+.1f} MB a day")
    yield Measurement(section, "keys", "keys", tuple(samples.broker_keys), _ends(samples.broker_keys, "keys"))


def _memory(section: str, samples: Samples) -> Iterator[Measurement]:
    for name, mb in sorted(samples.memory.items()):
        yield Measurement(section, name, "MB", tuple(mb), _ends(mb, "MB"))


def _ends(values: list[float] | list[int], unit: str) -> str:
    return f"{values[0]:,.0f} → {values[-1]:,.0f} {unit}"


def _statements(section: str, samples: Samples) -> Iterator[Measurement]:
    total = sum(samples.running.values()) or 1
    for query, seen in samples.running.most_common(SHOWN_STATEMENTS):
        yield Measurement(section, _label(query), "%", (100 * seen / total,), query[:60])


def _label(query: str) -> str:
    """The kind of statement and the first table that it names."""
    table = re.search(r"(?:FROM|INTO|UPDATE|JOIN) (?!\()(\w+)", query)
    return " ".join(filter(None, (query.split(" ", maxsplit=1)[0], table and table[1])))[:29]


def _growth(section: str, day: Day, result: DayResult, accounts: int) -> Iterator[Measurement]:
    """The rows that stay, times the mean size of a row: in a short time, a table grows in steps."""
    before, after, share = result.before.tables, result.after.tables, accounts * day.days
    rows = {name: (after[name].rows - before[name].rows) / share for name in {*before} - TRACES}
    grown = {name: added * after[name].kb / max(1, after[name].live) for name, added in rows.items() if added > 0}
    for name in sorted(grown, key=lambda each: -grown[each])[:SHOWN_TABLES]:
        yield Measurement(section, name, "kB", (grown[name],), f"{rows[name]:.2f} rows")
    stored = sum(size.kb for size in after.values())
    yield Measurement(section, "all tables", "kB", (sum(grown.values()),), f"{stored / accounts:.0f} kB stored each")


def _calls(section: str, day: Day, result: DayResult, accounts: int) -> Iterator[Measurement]:
    for family, calls in sorted(result.calls.items()):
        a_day = calls / day.days
        remark = f"{a_day / accounts:.2f} an account, {a_day / DAY * 30:,.0f} in 30 s"
        yield Measurement(section, "tokens" if family == "accounts" else family, "calls", (a_day,), remark)
    for kind, calls_of_run in result.calls_per_run.items():
        yield Measurement(section, f"of one {kind} sync", "x", (calls_of_run,))
