"""Backups, by PostgreSQL's own programs: what one version has written, each later one can read."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spotisync.errors import Fatal, Misconfigured
from spotisync.settings import Settings
from spotisync.stack.binaries import postgres_binaries
from spotisync.stack.lock import lock_data_dir
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import stop_all
from spotisync.store.database import address_and_password

TABLE = re.compile(r'table "(?:public\.)?(\w+)"')
# Told of each table, as its rows come by.
Tell = Callable[[str], None]


@contextmanager
def embedded_server(settings: Settings) -> Iterator[None]:
    """The embedded PostgreSQL alone, for as long as this lasts. Raises `Fatal` while `up` has the data dir."""
    with lock_data_dir(settings.data_dir):
        postgres = Postgres(settings.data_dir, settings.socket_dir)
        try:
            postgres.start().wait_ready()
            yield
        finally:
            stop_all([postgres])


def dump(settings: Settings, file: Path, tell: Tell) -> None:
    """All tables, of one moment, while syncs go on. `file` is replaced when the new one is whole, not before."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.touch(0o600)  # before there is anything in it
        _run(settings, ["pg_dump", "--format=custom", "--verbose", *PLAIN, f"--file={aside}"], tell)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def check_backup(settings: Settings, file: Path) -> None:
    """Raises `Fatal` unless this is a whole backup of ours."""
    listed = subprocess.run(
        [_program(settings, "pg_restore"), "--list", str(file)], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0 or " public alembic_version " not in listed.stdout:
        raise Fatal(f"{file} is no backup that `spotisync backup` has made, or not the whole of one")


def restore(settings: Settings, file: Path, tell: Tell) -> None:
    """In one transaction: all of it, or nothing. What of ours is in the database is replaced."""
    _run(
        settings,
        ["pg_restore", "--clean", "--if-exists", "--single-transaction", "--verbose", *PLAIN],
        tell,
        file,
    )


# Whoever restores it owns it.
PLAIN = ("--no-owner", "--no-privileges")


def _run(settings: Settings, argv: list[str], tell: Tell, *files: Path) -> None:
    address, password = address_and_password(settings.database)
    # A command line can be read by everybody on the machine, the environment of a process can't.
    environment = {"PATH": os.defpath, "LC_ALL": "C", **({"PGPASSWORD": password} if password else {})}
    command = [_program(settings, argv[0]), *argv[1:], f"--dbname={address}", *map(str, files)]
    said = []
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr  # noqa: S101 (it is a pipe)
        for line in process.stderr:
            said.append(line)
            if found := TABLE.search(line):
                tell(found[1])
    if process.returncode != 0:
        raise Fatal(f"PostgreSQL's {argv[0]} failed:\n{''.join(said[-5:]).strip()}")


def _program(settings: Settings, name: str) -> str:
    """The one beside the embedded server, which is the newest that we know; else the system's."""
    try:
        return str(postgres_binaries(settings.data_dir, None) / name)
    except Misconfigured:
        found = shutil.which(name)
    if found is None:
        raise Misconfigured(f"{name} is not on this machine: install PostgreSQL's client programs")
    return found
