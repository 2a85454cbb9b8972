"""`spotisync demo` and `spotisync up`: the whole stack with one command, in an empty home directory."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from spotisync.cli.demo import environment as demo_place
from spotisync.cli.demo.history import HISTORY
from spotisync.simulator import Control, start
from tests.support.waiting import wait_until
from tests.system.command_line import SPOTISYNC, CommandResult, bare_environment
from tests.system.stack.processes import processes_of


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home directory; at the end no process may run in it."""
    path = Path(tempfile.mkdtemp(prefix="ss-", dir="/tmp"))  # short, because of socket paths
    path.chmod(0o711)  # as root, servers run as the user nobody
    yield path
    try:
        wait_until(lambda: not processes_of(path), "all processes to end")
    finally:
        for pid in processes_of(path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(path)


def environment(home: Path, **variables: str) -> dict[str, str]:
    # Personal servers and keys, which the demo must not use: with one of these it would fail.
    own = {
        "SPOTISYNC_FLOWER_PORT": "0",  # several demos may run at the same time
        "SPOTISYNC_DATABASE_URL": "postgresql://127.0.0.1:1/own",
        "SPOTISYNC_BROKER_URL": "redis://127.0.0.1:1",
        "SPOTIPY_CLIENT_ID": "own",
        "SPOTISYNC_PORT": "0",  # any port, since the default one may be in use
    }
    (home / ".env").write_text("SPOTISYNC_RESULT_BACKEND=redis://127.0.0.1:1\nSPOTISYNC_SECRET_KEY=not-a-key\n")
    return bare_environment(
        **{
            "HOME": str(home),
            "SPOTISYNC_DATA_DIR": str(home / "d"),
            "PYTHONUNBUFFERED": "1",
            "SPOTISYNC_FLOWER_PORT": "0",
            **own,
            **variables,
        }
    )


def launch(home: Path, env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SPOTISYNC, *words],
        env=env,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(home: Path, env: dict[str, str], *words: str, stdin: str = "") -> CommandResult:
    done = subprocess.run(
        [*SPOTISYNC, *words], env=env, cwd=home, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def read_until(program: subprocess.Popen[str], words: str) -> str:
    """Return the lines up to the first one that contains these words."""
    assert program.stdout
    read = ""
    for line in program.stdout:
        read += line
        if words in line:
            return read
    raise AssertionError(f"it ended without saying {words!r}:\n{read}")


def set_latency(home: Path, milliseconds: int) -> None:
    """Change how long the demo's simulator takes to answer."""
    log = home / "d" / "demo" / "logs" / "simulator.log"
    Control(json.loads(log.read_text().splitlines()[0])["url"]).settings(latency_ms=milliseconds)


def ask_each_command(home: Path, env: dict[str, str]) -> None:
    """Each command finds the library of the running demo, and its simulator instead of Spotify."""
    assert "run 1" in run(home, env, "status", "--demo").out
    assert [each["sync_id"] for each in run(home, env, "--demo", "history", "--json").json] == [1]
    assert len(run(home, env, "accounts", "list", "--json", "--demo").json) == 1
    for words in (["schedule"], ["limits", "list"], ["export", str(home / "out")]):
        asked = run(home, env, "--demo", *words)
        assert asked.code == 0, asked.err
    doctor = run(home, env, "doctor", "--demo", "--json")
    assert doctor.code == 0, doctor.out
    without = run(home, {**env, "SPOTISYNC_DATABASE_URL": ""}, "status")
    assert "spotisync --demo status" in without.err


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_a_killed_demo_leaves_no_process_and_the_next_one_resumes(home: Path) -> None:
    env = environment(home)
    with launch(home, env, "demo") as demo:
        read_until(demo, "Looking up artists")
        set_latency(home, 5_000)  # the run is still in progress when it is killed
        asked = run(home, env, "psql", "--demo", "-At", "-c", "SELECT id, status FROM sync_history")
        assert (asked.code, asked.out) == (0, "1|in_progress\n")
        ask_each_command(home, env)
        refused = run(home, env, "demo")
        assert refused.code == 1
        assert f"already running on {home}/d/demo, as pid {demo.pid}" in refused.err
        demo.kill()
    wait_until(lambda: not processes_of(home), "all processes to end")

    with launch(home, env, "demo", "--exit") as demo:
        result = read_until(demo, "run 1 continues")
        set_latency(home, 0)
        result += read_until(demo, "Stopped.")
        assert demo.wait(60) == 0, result
    assert "run 1 continues where it stopped" in result
    assert "All counts are equal" in result
    assert re.search(r"Imported \d\d,\d{3} plays .* http://\S+/stats", result)
    assert "spotisync login" in result
    assert not processes_of(home)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_ctrl_c_during_a_sync_stops_everything(home: Path) -> None:
    with launch(home, environment(home), "demo", "--exit") as demo:
        read_until(demo, "Reading saved tracks")
        demo.send_signal(signal.SIGINT)
        result = read_until(demo, "Stopped.")
        assert demo.wait(60) == 130
    assert "The next demo resumes run 1" in result
    assert not processes_of(home)


def test_empties_the_library_after_a_finished_demo(tmp_path: Path) -> None:
    for kept in ("postgresql-18", "logs"):
        (tmp_path / kept).mkdir()
    for dropped in ("postgres", "valkey"):
        (tmp_path / dropped).mkdir()
        (tmp_path / dropped / "file").touch()
    for dropped in ("beat-schedule.db", HISTORY):
        (tmp_path / dropped).touch()
    demo_place.reset_library(tmp_path)
    assert (tmp_path / "postgres" / "file").exists(), "the sync was interrupted"
    demo_place.mark_finished(tmp_path)
    demo_place.reset_library(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"postgresql-18", "logs"}


@pytest.mark.slow
def test_up_runs_with_a_real_account(home: Path) -> None:
    with start("tiny", seed=3) as spotify:
        env = environment(
            home,
            **{
                **dict.fromkeys(demo_place.PERSONAL_VARIABLES, ""),
                "SPOTISYNC_SPOTIFY_API_URL": spotify.api_url,
                "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": spotify.url,
            },
        )
        with launch(home, env, "up") as up:
            result = read_until(up, "No account yet")
            page = re.search(r"spotisync is up: (http://\S+)\.", result)
            assert page
            added = run(home, env, "accounts", "add", "--refresh-token-stdin", stdin=spotify.refresh_token())
            assert added.code == 0, added.err
            synced = run(home, env, "sync", "full", "--wait", "--json")
            assert synced.code == 0, synced.err
            assert synced.json["status"] == "success"
            shown = httpx.get(f"{page[1]}/api/sync/status", timeout=30).json()
            assert shown["sync_id"] == synced.json["sync_id"]
            up.send_signal(signal.SIGTERM)
            read_until(up, "Stopped.")
            assert up.wait(60) == 0
    assert not processes_of(home)


@pytest.mark.slow
def test_up_keeps_servers_and_page_while_only_the_worker_fails(home: Path) -> None:
    """Again and again, until the cause is gone."""
    broken = home / "broken"
    broken.touch()
    # Python imports it at each start.
    (home / "sitecustomize.py").write_text(
        f"import os, sys\nif 'worker' in sys.orig_argv and os.path.exists({str(broken)!r}):\n    os._exit(7)\n"
    )
    with start("tiny", seed=3) as spotify:
        env = environment(
            home,
            PYTHONPATH=str(home),
            **{
                **dict.fromkeys(demo_place.PERSONAL_VARIABLES, ""),
                "SPOTISYNC_SPOTIFY_API_URL": spotify.api_url,
                "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": spotify.url,
            },
        )
        with launch(home, env, "up") as up:
            page = re.search(r"spotisync is up: (http://\S+)\.", read_until(up, "No account yet"))
            assert page
            run(home, env, "accounts", "add", "--refresh-token-stdin", stdin=spotify.refresh_token())
            read_until(up, "worker ended 5 times in a row")
            postgres = set((home / "d" / "postgres").glob("postmaster.pid"))
            assert postgres
            assert "No sweep has run yet; no sync starts until beat and a worker run" in httpx.get(page[1]).text
            started = run(home, env, "sync", "full", "--json")
            assert started.code == 0, started.err
            wait_until(lambda: "Waiting for a worker: none has taken" in httpx.get(page[1]).text, "the page to say so")
            read_until(up, "worker ended")
            assert httpx.get(f"{page[1]}/healthz").status_code == 200
            broken.unlink()
            status = f"{page[1]}/api/sync/status"
            wait_until(lambda: httpx.get(status).json()["status"] == "success", "the run", 90)
            up.send_signal(signal.SIGTERM)
            read_until(up, "Stopped.")
            assert up.wait(60) == 0
            assert "web ended" not in (home / "d" / "logs" / "web.log").read_text()
    assert not processes_of(home)
