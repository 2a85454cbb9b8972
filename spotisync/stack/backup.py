"""Backups by pg_dump: every later PostgreSQL version can read the file. `archive.py` reads them."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from spotisync.errors import Fatal, Misconfigured
from spotisync.settings import Settings
from spotisync.stack.binaries import postgres_binaries
from spotisync.stack.directories import lock_data_dir
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import stop_all
from spotisync.store.database import split_password
from spotisync.sync.output_files import exit_on_sigterm

TABLE = re.compile(r'table "(?:public\.)?(\w+)"')
# Called with the name of each table when its rows are processed.
OnTable = Callable[[str], None]
ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C"}
# The role that restores the tables owns them.
PLAIN: Final = ("--no-owner", "--no-privileges")


@contextmanager
def embedded_server(settings: Settings) -> Iterator[None]:
    """Run the embedded PostgreSQL alone. Raises `Fatal` while another process has locked the data dir."""
    with lock_data_dir(settings.data_dir):
        postgres = Postgres(settings.data_dir, settings.socket_dir)
        try:
            postgres.start().wait_ready()
            yield
        finally:
            stop_all([postgres])


def dump(settings: Settings, file: Path, on_table: OnTable) -> None:
    """Write all tables, from one snapshot; syncs may run. Replaces `file` only when the new one is complete."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with exit_on_sigterm():
            temporary.touch(0o600, exist_ok=False)  # before any data is in it
            _run(settings, ["pg_dump", "--format=custom", "--verbose", *PLAIN, f"--file={temporary}"], on_table)
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def dump_schema(settings: Settings, file: Path) -> None:
    """Write the tables without their rows."""
    _run(settings, ["pg_dump", "--format=custom", "--schema-only", *PLAIN, f"--file={file}"], lambda _: None)


def _run(settings: Settings, argv: list[str], on_table: OnTable) -> None:
    address, password = split_password(settings.database)
    # Every user of the machine can read a command line, but not the environment of another user's process.
    environment = {**ENVIRONMENT, **({"PGPASSWORD": password} if password else {})}
    command = [find_program(settings, argv[0]), *argv[1:], f"--dbname={address}"]
    output = []
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr  # noqa: S101 (it is a pipe)
        try:
            for line in process.stderr:
                output.append(line)
                if found := TABLE.search(line):
                    on_table(found[1])
        except BaseException:  # leaving the block waits for the program's end
            process.kill()
            raise
    if process.returncode != 0:
        raise Fatal(f"PostgreSQL's {argv[0]} failed:\n{''.join(output[-5:]).strip()}")


def find_program(settings: Settings, name: str) -> str:
    """Return the program of the embedded PostgreSQL, or else the system's."""
    try:
        return str(postgres_binaries(settings.data_dir, None) / name)
    except Misconfigured:
        found = shutil.which(name)
    if found is None:
        raise Misconfigured(f"{name} was not found: install PostgreSQL's client programs")
    return found
