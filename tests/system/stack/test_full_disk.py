"""A disk that is full, or that can't be written: one sentence with a cure, and nothing half done."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spotisync.cli.demo.environment import publish_environment
from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.sync.output_files import open_atomically
from tests.system.command_line import SPOTISYNC, CommandResult, InProcess, bare_environment

MOUNT = 'mount -t tmpfs -o size="$1",mode=755 none "$2" && if [ "$3" = ro ]; then mount -o remount,ro "$2"; fi'


def can_mount() -> bool:
    program = shutil.which("unshare")
    script = f"{MOUNT}; exit $?"
    return (
        program is not None
        and not subprocess.run(
            [program, "--mount", "sh", "-c", script, "sh", "1m", "/mnt", "rw"], capture_output=True, check=False
        ).returncode
    )


with_mounts = pytest.mark.skipif(
    sys.platform != "linux" or not can_mount(), reason="this system lets the tests mount no small file system"
)


def run(place: Path, size: str, mode: str, *words: str, directory: str = "data") -> CommandResult:
    """Run a command whose data dir is on a file system of its own, which ends with the command."""
    env = bare_environment(SPOTISYNC_DATA_DIR=str(place / directory), SPOTIPY_CLIENT_ID="some", SPOTISYNC_PORT="0")
    script = f'{MOUNT} || exit 77; shift 3; exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", size, str(place), mode, *SPOTISYNC, *words],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return CommandResult(done.returncode, done.stdout, done.stderr)


@with_mounts
@pytest.mark.slow
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_new_library_on_a_full_disk_is_refused(place: Path, command: str) -> None:
    result = run(place, "1m", "rw", command)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert "is full, and a new library needs" in line
    assert "free space on it, or set another SPOTISYNC_DATA_DIR" in line


@with_mounts
@pytest.mark.slow
@pytest.mark.parametrize("words", [["up"], ["demo"], ["login", "--no-browser"]], ids=" ".join)
@pytest.mark.parametrize("directory", ["data", ""])
def test_a_data_dir_that_cannot_be_written_is_refused(place: Path, words: list[str], directory: str) -> None:
    result = run(place, "1m", "ro", *words, directory=directory)
    assert (result.code, result.out.count("Traceback")) == (2, 0)
    (line,) = result.err.splitlines()[-1:]
    assert "SPOTISYNC_DATA_DIR" in line


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file of this process may grow beyond the limit: a write then fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_that_does_not_fit_keeps_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "plays.csv"
    path.write_text("old")

    def write() -> None:
        with open_atomically(path) as file:
            file.write(b"x" * 10_000)

    with small_files(1_000), pytest.raises(Fatal, match=r"plays\.csv can't be written: File too large"):
        write()
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("old", [path])


def test_a_terminated_command_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="143"), open_atomically(tmp_path / "plays.csv"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert not [*tmp_path.iterdir()]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_no_command_reads_half_of_the_demos_environment(tmp_path: Path) -> None:
    with small_files(100), pytest.raises(Fatal, match="can't be written: File too large"):
        publish_environment(Settings(_env_file=None, data_dir=tmp_path))
    assert not [*tmp_path.iterdir()]


def test_a_directory_or_a_fifo_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    for name in ("fifo", ".", "", ".."):
        with pytest.raises(Fatal, match="no regular file"), open_atomically(Path(name)):
            pass
        result = InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path / "data")))("backup", name)
        assert (result.code, "no regular file" in result.err) == (1, True)
    assert (Path("fifo").is_fifo(), [*Path().iterdir()]) == (True, [Path("fifo")])


def test_a_file_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="can't be written: File name too long"), open_atomically(tmp_path / ("a" * 255)):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["status", "--help"]], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_is_an_error(words: list[str], unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SPOTISYNC, *words], env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "the output can't be written (No space left on device): free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
