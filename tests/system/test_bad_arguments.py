"""Any argument of a command: a message and exit code 2 (3 without a server), no traceback, no megabyte of output."""

import subprocess
from pathlib import Path

import pytest

from tests.system.command_line import SPOTISYNC, InProcess, bare_environment

LONGEST_OUTPUT = 3_000
CONTROLS = ("\0", "\x1b", "\u202e")
# NUL and a megabyte come from a caller in Python only: no shell passes them.
HOSTILE = [
    "a\0b", "\u202egnp", "\udcff", "x" * 1_000_000, "-1", "9" * 5_000, "9" * 30, "\x1b[31m", "e\u0301" * 5,
    "../" * 999 + "x", "--\u202e", "$(id)",
]  # fmt: skip
# They refuse any of the values, before they need a server.
REFUSED = [
    "web --port", "login --port", "demo --library", "limits clear", "limits block", "import",
    "export x --only", "export x --format", "restore", "sync", "up", "doctor", "db upgrade", "accounts", "web --host",
]  # fmt: skip
# They need a server, which does not run.
UNREACHABLE = [
    "status --account", "cancel", "resume", "budget --account", "sync full --account", "sync full --idempotency-key",
    "accounts remove", "accounts disable", "db downgrade", "psql -c", "history --before", "history --limit", "report",
]  # fmt: skip


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.chdir(tmp_path)
    return InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path / "data"), SPOTIPY_CLIENT_ID="some"))


@pytest.mark.parametrize("command", ["accounts add --refresh-token-stdin", "db reader --password-stdin"])
def test_a_closed_stdin_counts_as_empty(tmp_path: Path, command: str) -> None:
    env = bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path / "data"), SPOTIPY_CLIENT_ID="some")
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *SPOTISYNC, *command.split()]
    done = subprocess.run(shell, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "on stdin" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", REFUSED)
def test_a_hostile_argument_is_refused_in_words(cli: InProcess, command: str) -> None:
    for value in HOSTILE:
        if "\0" not in value or command != "web --host":  # an environment can't have it either
            assert check(cli, command, value) == 2, value[:20]


@pytest.mark.parametrize("command", UNREACHABLE)
def test_a_hostile_name_does_not_hide_that_no_server_runs(cli: InProcess, command: str) -> None:
    for value in HOSTILE:
        assert check(cli, command, value) in {2, 3}, value[:20]


def check(cli: InProcess, command: str, value: str) -> int:
    result = cli(*command.split(), value)
    said = result.out + result.err
    assert "Traceback" not in said
    assert "Unexpected error" not in said
    assert said
    assert len(said) < LONGEST_OUTPUT
    assert not [each for each in CONTROLS if each in said]
    return result.code
