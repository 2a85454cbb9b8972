"""Both embedded servers in a `with` block."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from spotisync.stack import postgres as embedded
from spotisync.stack.directories import lock_data_dir
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import stop_all
from spotisync.stack.valkey import Valkey
from spotisync.store.owner_role import OWNER, SUPERUSER

INSTALLED = "TEST_POSTGRES"
"""The variable with the directory of another PostgreSQL's programs: the tests run on that one instead."""


@contextmanager
def start_servers(
    data_dir: Path, socket_dir: Path, options: Mapping[str, str] | None = None
) -> Iterator[tuple[Postgres, Valkey]]:
    """Lock the data dir and yield both servers when they are ready. Call it in the main thread: they end with it."""
    installed = os.environ.get(INSTALLED)
    with lock_data_dir(data_dir), _use_programs(Path(installed)) if installed else nullcontext():
        postgres, valkey = Postgres(data_dir, socket_dir, options), Valkey(data_dir, socket_dir)
        try:
            valkey.start()
            postgres.start().wait_ready()
            valkey.wait_ready()
            yield postgres, valkey
        finally:
            stop_all([postgres, valkey])


@contextmanager
def _use_programs(directory: Path) -> Iterator[None]:
    # The locale provider "builtin" came with PostgreSQL 17.
    initdb = ("--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth-local", "trust")
    with (
        patch.object(embedded, "postgres_binaries", lambda *_: directory),
        patch.object(embedded, "INITDB", initdb),
    ):
        yield


def trust_every_role(directory: Path) -> dict[str, str]:
    """Options of a server whose roles, also the superuser, need no password: tests play hosted databases on it."""
    rules = directory / "trust.conf"
    rules.write_text("local all all trust\n")
    rules.chmod(0o644)
    return {"hba_file": str(rules)}


def as_superuser(url: str) -> str:
    """The URL for the superuser of that server."""
    return url.replace(f"//{OWNER}@", f"//{SUPERUSER}@")
