"""Real workers and schedulers as processes, with an environment like that of an operator."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import celery
from celery import Celery
from sqlalchemy import text

from spotisync.core.states import OVER
from spotisync.settings import Settings
from spotisync.simulator import Server
from spotisync.stack.process import child_command
from spotisync.sync import Context, accounts, runs
from tests.support.driver import Account
from tests.support.waiting import wait_until

# Points at which a worker of `crashing.py` can be told to kill itself.
POINTS = ("before_fetch", "after_fetch", "before_publish", "after_publish")
ANSWERING = ("before_links", "after_links", "after_result")
VARIABLES = {"client_id": "SPOTIPY_CLIENT_ID", "client_secret": "SPOTIPY_CLIENT_SECRET"}


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that give a process these settings."""
    given = {
        VARIABLES.get(name, f"SPOTISYNC_{name.upper()}"): str(value)
        for name, value in settings.model_dump(exclude_unset=True).items()
        if value is not None
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPOTI")}
    return {**inherited, "SPOTISYNC_LOG_FORMAT": "text", **given}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass
class Program:
    """One process whose output is kept to investigate failed tests. It ends with them, even when they are killed."""

    argv: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                child_command(self.argv, None),
                env=self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def children(self) -> list[int]:
        return children(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill the process and its children. These tests are not about an orderly stop."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Deployment:
    """A database, a broker, a simulator, and the processes that use them."""

    settings: Settings
    simulator: Server
    context: Context
    directory: Path
    programs: list[Program] = field(default_factory=list)

    @cached_property
    def foreign(self) -> Celery:
        """The app of another service, which only knows the broker and the public names."""
        app = Celery("foreign", broker=self.settings.broker, backend=self.settings.backend)
        app.conf.update(task_default_queue="foreign", result_extended=True, broker_connection_retry_on_startup=True)
        return app

    def account(self, which: str | int = 0) -> Account:
        """Add an account of the simulator, by name or number, with its token."""
        name = which if isinstance(which, str) else list(self.simulator.world.accounts)[which]
        return Account(accounts.add(self.context, self.simulator.refresh_token(name), None).spotify_user_id)

    def worker(
        self,
        app: str = "spotisync",
        concurrency: int = 2,
        options: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
        **env: str,
    ) -> Program:
        """`inside`: the command that runs the worker's command line, such as `unshare`."""
        name = f"w{len(self.programs)}-{os.getpid()}"
        usual = ["-c", str(concurrency), "-n", f"{name}@test", "-l", "INFO", "--without-mingle", "--without-gossip"]
        worker = self._start(
            name, [*inside, sys.executable, "-m", "celery", "-A", app, "worker", *usual, *options], env
        )
        log = worker.log
        wait_until(lambda: " ready." in log.read_text(), f"a worker, see {log}")
        return worker

    def beat(self, **env: str) -> Program:
        return self._start(
            f"b{len(self.programs)}",
            [sys.executable, "-m", "celery", "-A", "spotisync", "beat", "--max-interval", "1"],
            {"SPOTISYNC_DATA_DIR": str(self.directory), **env},
        )

    def _start(self, name: str, argv: list[str], env: dict[str, str]) -> Program:
        program = Program(argv, {**environment(self.settings), **env}, self.directory / f"{name}.log")
        self.programs.append(program)
        return program

    def stop(self) -> None:
        for program in self.programs:
            program.end()
        if "foreign" in vars(self):
            self._close_foreign()
        self.context.close()
        self.simulator.stop()

    def _close_foreign(self) -> None:
        gc.collect()  # results unsubscribe when they are collected, so collect them while the broker runs
        backend: Any = self.foreign.backend
        backend.result_consumer.stop()
        backend.client.connection_pool.disconnect()
        # The results that a failed test keeps would reconnect to a broker that has gone.
        backend.remove_pending_result = lambda result: result
        self.foreign.close()

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.context.database.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    def scalar(self, statement: str, **values: Any) -> Any:
        return self.sql(statement, **values)[0][0]

    def forget(self) -> None:
        """Empty the library but keep the account."""
        library = "artists, albums, tracks, playlists, account_playlists, saved_tracks, saved_spans"
        tables = f"{library}, sync_history, rate_limits, waiters"
        # A sweep may lock the same tables in another order.
        self.context.database.transact(lambda connection: connection.execute(text(f"TRUNCATE {tables} CASCADE")))

    def reset(self) -> None:
        """Empty everything while the processes keep running: no account, no run, no fault, no recorded request."""
        control = self.simulator.control
        control.clear_faults()
        control.release()
        for sync_id, status in self.sql("SELECT id, status FROM sync_history"):
            if status not in OVER:
                runs.cancel(self.context, sync_id)
        unanswered = "SELECT 1 FROM waiters WHERE answered_at IS NULL"
        wait_until(lambda: not self.sql(unanswered), "the answers to all callers")
        self.forget()
        self.sql("DELETE FROM accounts")
        control.reset_log()

    def logs(self) -> str:
        return "\n".join(program.log.read_text() for program in self.programs)


class ForeignService:
    """Another service beside a deployment: its worker and the calls it received."""

    def __init__(self, deployment: Deployment, directory: Path, concurrency: int = 1) -> None:
        self.deployment, self.calls_file = deployment, directory / "calls"
        self.calls_file.touch()
        deployment.worker(
            "tests.system.foreign_tasks",
            concurrency=concurrency,
            options=("-Q", "foreign"),
            FOREIGN_BROKER=deployment.settings.broker,
            FOREIGN_CALLS=str(self.calls_file),
        )

    def reset(self) -> None:
        self.deployment.reset()
        self.calls_file.write_text("")

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    def called(self, tag: str) -> list[str]:
        return [line for line in self.calls() if line.split()[0] == tag]

    def signature(self, name: str, **kwargs: Any) -> "celery.Signature[Any]":
        queue = "foreign" if name.startswith("foreign.") else "spotisync.sync"
        return self.deployment.foreign.signature(name, kwargs=kwargs, queue=queue)

    def full_sync(self, account: Account, **kwargs: Any) -> "celery.Signature[Any]":
        return self.signature("spotisync.full_sync", account=account.name, **kwargs)

    def follow_up(self, tag: str) -> "celery.Signature[Any]":
        return self.signature("foreign.follow_up", tag=tag)

    def on_error(self, tag: str) -> "celery.Signature[Any]":
        return self.signature("foreign.on_error", tag=tag)
