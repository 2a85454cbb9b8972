"""A backup restored into a new data directory has the same rows, with and without a running server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from spotisync.settings import Settings
from spotisync.simulator import start
from spotisync.stack import backup
from spotisync.store import migrate
from spotisync.store.schema import metadata
from spotisync.sync import Context, accounts
from tests.support.driver import Account, full_sync
from tests.support.servers import start_servers

pytestmark = pytest.mark.slow
CONTENTS = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"


def spotisync(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SPOTI")}
    return subprocess.run(
        [sys.executable, "-m", "spotisync", *words],
        env={**ours, "SPOTISYNC_DATA_DIR": str(data_dir), "SPOTIPY_CLIENT_ID": "simulated"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def served(data_dir: Path) -> Iterator[Settings]:
    settings = Settings(_env_file=None, data_dir=data_dir, client_id="simulated", api_rate=0)
    with start_servers(data_dir, settings.socket_dir, {"fsync": "off"}):
        yield settings


def contents(settings: Settings) -> dict[str, Any]:
    engine = create_engine(settings.database)
    with engine.begin() as connection:
        found = {name: tuple(connection.execute(text(CONTENTS.format(table=name))).one()) for name in metadata.tables}
    engine.dispose()
    return found


def fill(settings: Settings) -> None:
    migrate.upgrade(settings.database)
    with start("tiny", seed=3) as simulator:
        there = settings.model_copy(
            update={"spotify_api_url": f"{simulator.url}/v1", "spotify_accounts_url": simulator.url}
        )
        context = Context.from_settings(there)
        try:
            account = accounts.add(context, simulator.refresh_token(), None)
            full_sync(context, Account(account.spotify_user_id))
        finally:
            context.close()


def test_a_backup_can_be_restored(place: Path) -> None:
    old, new, file = place / "old", place / "new", place / "library.backup"
    with served(old) as settings:
        fill(settings)
        before = contents(settings)
        assert before["saved_tracks"][0]
        done = spotisync(old, "backup", str(file))
        assert done.returncode == 0, done.stderr
        assert "secret.key" in done.stdout
        assert file.stat().st_mode & 0o777 == 0o600
    running = file.read_bytes()
    assert spotisync(old, "backup", str(file)).returncode == 0
    assert abs(len(file.read_bytes()) - len(running)) < len(running) / 20
    assert not [path for path in place.iterdir() if path.name.startswith(".")]

    restored = spotisync(new, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert "Restored accounts: " in restored.stdout
    assert "encrypted with another key" in restored.stdout
    with served(new) as settings:
        assert contents(settings) == before
        migrate.check(settings.database)

    again = spotisync(new, "restore", str(file))
    assert again.returncode == 1
    assert "already contains the library of" in again.stderr


def test_a_terminated_backup_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, pid = place / "pg_dump", place / "pid"
    program.write_text(f"#!/bin/sh\necho $$ >{pid}; sleep 0.5; kill -TERM $PPID; exec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr(backup, "find_program", lambda *_: str(program))
    with pytest.raises(SystemExit, match="143"):
        backup.dump(Settings(_env_file=None, data_dir=place), place / "library", lambda _: None)
    assert {path.name for path in place.iterdir()} == {"pg_dump", "pid"}
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_file_that_is_no_backup_changes_nothing(place: Path) -> None:
    half = place / "half"
    half.write_bytes(b"PGDMP but no more")
    done = spotisync(place / "new", "restore", str(half))
    assert done.returncode == 1
    assert "is not a complete backup" in done.stderr
    os.mkfifo(place / "fifo")
    waits = spotisync(place / "new", "restore", str(place / "fifo"))
    assert "it is no regular file" in waits.stderr
    assert not (place / "new").exists()
    nothing = spotisync(place / "none", "backup", str(place / "file"))
    assert nothing.returncode == 1
    assert "no library" in nothing.stderr
    assert not (place / "file").exists()
