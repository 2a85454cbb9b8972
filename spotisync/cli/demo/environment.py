"""The demo's data directory, and its environment, from which no real library can be reached."""

import shutil
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import Final

from spotisync.settings import Settings, override, settings

# The user's servers, app and keys, which the demo must not use.
PERSONAL_VARIABLES: Final = (
    "SPOTISYNC_DATABASE_URL",
    "SPOTISYNC_MIGRATION_DATABASE_URL",
    "SPOTISYNC_BROKER_URL",
    "SPOTISYNC_RESULT_BACKEND",
    "SPOTISYNC_SECRET_KEY",
    "SPOTIPY_CLIENT_SECRET",
)
# Deleted before the next demo: the library, messages and schedule, but not the copied programs and the logs.
LIBRARY_PATHS: Final = ("postgres", "valkey", "beat-schedule*")
STOP_SECONDS: Final = 15.0


def use_demo_data_dir() -> Settings:
    """Use the demo's data directory and embedded servers in this process and its children."""
    data_dir = settings().data_dir.absolute() / "demo"
    personal = dict.fromkeys(PERSONAL_VARIABLES, "")
    return override({"SPOTISYNC_DATA_DIR": str(data_dir), "SPOTIPY_CLIENT_ID": "demo", **personal})


def use_simulator(url: str) -> Settings:
    """Use the simulator at this URL instead of Spotify. It has no rate limit, so requests are not paced."""
    use_demo_data_dir()
    return override(
        {
            "SPOTISYNC_SPOTIFY_API_URL": f"{url}/v1",
            "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": url,
            "SPOTISYNC_API_RATE": "0",
            "SPOTISYNC_FLOWER_PORT": "0",  # the demo starts no Flower for the page to link to
        }
    )


def use_free_port() -> Settings:
    """Serve the web page on loopback only, on the usual port or, if that is in use, any free one."""
    from spotisync.cli import processes

    variables = {"SPOTISYNC_HOST": "127.0.0.1", "SPOTISYNC_API_TOKEN": "", "SPOTISYNC_ALLOWED_HOSTS": ""}
    chosen = processes.choose_port(override(variables), allow_other=True)
    return override({"SPOTIPY_REDIRECT_URI": f"{processes.page_url(chosen)}/accounts/callback"})


def reset_library(data_dir: Path) -> None:
    """Delete the library if the last demo finished; keep that of an interrupted one. The caller holds the lock."""
    from spotisync.stack import pidfiles

    if not _marker(data_dir).exists():
        return
    for pidfile in (data_dir / "run").glob("*.pid"):
        pidfiles.end_process(pidfile, (SIGINT, SIGKILL), STOP_SECONDS)
    for pattern in LIBRARY_PATHS:
        for path in data_dir.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _marker(data_dir).unlink()


def mark_finished(data_dir: Path) -> None:
    """Let the next demo start with an empty library."""
    _marker(data_dir).touch()


def _marker(data_dir: Path) -> Path:
    return data_dir / "finished"
