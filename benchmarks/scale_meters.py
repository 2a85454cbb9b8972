"""What a benchmark of many accounts reads while it runs: processes, the broker, sessions and tables of Postgres.

Processes are read from /proc, so CPU and memory are known on Linux only.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

SAMPLE_SECONDS = 0.1
# Of processes and the broker; reading the memory of a process takes a millisecond.
SLOW_SAMPLE_SECONDS = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")
_NODE = re.compile(r"(worker\d+)@")


@dataclass(frozen=True)
class ProcessReading:
    """CPU seconds include children that have ended."""

    pid: int
    parent: int
    command: str
    cpu: float

    def read_memory(self) -> float:
        """Return MB; of a shared page the share of this process (PSS)."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended, or belongs to another user
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def read_processes() -> dict[str, list[ProcessReading]]:
    """Return the running processes that this one has started, and itself, by program."""
    running = {each.pid: each for path in Path("/proc").glob("[0-9]*") if (each := _read_process(path))}
    ours = [each for each in running.values() if os.getpid() in _ancestors(each, running)]
    found: dict[str, list[ProcessReading]] = {}
    for each in sorted(ours, key=lambda each: each.pid):
        found.setdefault(_program(each), []).append(each)
    return found


def _read_process(path: Path) -> ProcessReading | None:
    with suppress(OSError, IndexError):  # it has ended
        fields = (path / "stat").read_text().rpartition(")")[2].split()
        command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        cpu = sum(map(int, fields[11:15])) / _TICKS
        return ProcessReading(int(path.name), int(fields[1]), command, cpu)
    return None


def _read_busy_cpu() -> float:
    """CPU seconds of all programs of this machine."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


def _ancestors(process: ProcessReading, running: Mapping[int, ProcessReading]) -> Iterator[int]:
    """Yield its pid and those of its ancestors."""
    each: ProcessReading | None = process
    while each:
        yield each.pid
        each = running.get(each.parent)


def _program(process: ProcessReading) -> str:
    command = process.command
    if process.pid == os.getpid():
        return "benchmark"
    if "postgres" in command.split(" ")[0]:
        return "Postgres"
    if "spotisync.simulator" in command:
        return "simulator"
    if " beat" in command:
        return "beat"
    if node := _NODE.search(command):
        return node[1]
    return "broker" if "valkey" in command or "redis" in command else "other"


@dataclass
class Samples:
    """Readings over time. `running`, `waiting`: how often a session was seen in this statement, on the CPU or not.

    `cpu`: seconds by program; `foreign_cpu`: of programs that have nothing to do with the benchmark.
    """

    seconds: float = 0.0
    running: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    lookups: int = 0
    queues: dict[str, list[int]] = field(default_factory=dict)
    broker_bytes: list[int] = field(default_factory=list)
    broker_keys: list[int] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    foreign_cpu: float = 0.0
    memory: dict[str, list[float]] = field(default_factory=dict)
    sessions: list[int] = field(default_factory=list)


_ACTIVE = """SELECT query, wait_event IS NOT NULL FROM pg_stat_activity WHERE state = 'active'
    AND datname = current_database() AND pid <> pg_backend_pid()"""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def sample(connection: psycopg.Connection[Any], seconds: float) -> Samples:
    """Read for this long. The connection must be of the benchmarked database."""
    samples, started, slow_at = Samples(), time.monotonic(), 0.0
    first, busy = _cpu(read_processes()), _read_busy_cpu()
    while (now := time.monotonic()) < started + seconds:
        _sample_statements(samples, connection)
        if now >= slow_at:
            _sample_slowly(samples, connection)
            slow_at = now + SLOW_SAMPLE_SECONDS
        time.sleep(SAMPLE_SECONDS)
    samples.seconds = time.monotonic() - started
    last = _cpu(read_processes())
    samples.cpu = {program: cpu - first.get(program, 0.0) for program, cpu in last.items()}
    samples.foreign_cpu = _read_busy_cpu() - busy - sum(samples.cpu.values())
    return samples


def _cpu(processes: Mapping[str, list[ProcessReading]]) -> dict[str, float]:
    return {program: sum(each.cpu for each in found) for program, found in processes.items()}


def _sample_statements(samples: Samples, connection: psycopg.Connection[Any]) -> None:
    samples.lookups += 1
    for query, waits in connection.execute(_ACTIVE):
        (samples.waiting if waits else samples.running)[" ".join(query.split())] += 1


def _sample_slowly(samples: Samples, connection: psycopg.Connection[Any]) -> None:
    from spotisync.celery import app  # it needs the settings of the environment

    for program, found in read_processes().items():
        for name, mb in _memory(program, found):
            samples.memory.setdefault(name, []).append(mb)
    with app.connection_for_read() as broker:
        for name, queue in app.amqp.queues.items():
            declared: Any = queue(broker.default_channel).queue_declare()
            samples.queues.setdefault(name, []).append(declared.message_count)
    client: Any = app.backend.client  # type: ignore[attr-defined]  # the same server
    samples.broker_bytes.append(client.info("memory")["used_memory"])
    samples.broker_keys.append(client.dbsize())
    samples.sessions.append(connection.execute(_SESSIONS).fetchall()[0][0])


def _memory(program: str, found: list[ProcessReading]) -> Iterator[tuple[str, float]]:
    """Yield the memory of each process of a worker, and of the others together."""
    if not program.startswith("worker"):
        yield program, sum(each.read_memory() for each in found)
        return
    pids = {each.pid for each in found}
    children = [each for each in found if each.parent in pids]
    yield f"{program}, main", sum(each.read_memory() for each in found if each.parent not in pids)
    for number, child in enumerate(children, start=1):
        yield f"{program}, child {number}", child.read_memory()


# ---- Postgres' own counts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableSize:
    """`rows`: inserted minus deleted since the statistics began. `live`: the rows now. `kb`: with indexes."""

    rows: int
    live: int
    kb: float


@dataclass(frozen=True)
class DatabaseCounts:
    transactions: int
    wal_mb: float
    tables: dict[str, TableSize]


_TABLES = """SELECT COALESCE(p.inhparent, c.oid)::regclass::text, sum(n_tup_ins - n_tup_del), sum(n_live_tup),
        sum(pg_total_relation_size(s.relid)) / 1024.0
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid LEFT JOIN pg_inherits p ON p.inhrelid = c.oid
    GROUP BY 1"""


def count(connection: psycopg.Connection[Any]) -> DatabaseCounts:
    """Idle sessions report their counts within a second; partitions count as their table."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    ((transactions, wal),) = connection.execute(
        """SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') / 1048576.0
        FROM pg_stat_database WHERE datname = current_database()"""
    ).fetchall()
    tables = {name: TableSize(int(rows), int(live), float(kb)) for name, rows, live, kb in connection.execute(_TABLES)}
    return DatabaseCounts(transactions, float(wal), tables)


# ---- tasks ----------------------------------------------------------------------------------------------------------

_SUCCEEDED = re.compile(rb"Task spotisync\.(\w+)\[[^\]]+\] succeeded in ([\d.e-]+)s")


def read_tasks(logs: Path, offsets: dict[Path, int]) -> dict[str, list[float]]:
    """Read how long each task took, in ms by name, from what the workers have logged since the last call."""
    found: dict[str, list[float]] = {}
    for path in sorted(logs.glob("worker*.log")):
        with path.open("rb") as file:
            file.seek(offsets.get(path, 0))
            for line in file:
                if match := _SUCCEEDED.search(line):
                    found.setdefault(match[1].decode(), []).append(float(match[2]) * 1000)
            offsets[path] = file.tell()
    return found
