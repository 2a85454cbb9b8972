"""The demo's data directory, and its environment, from which no real library can be reached."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import Final

from spotisync.core import hints
from spotisync.errors import Unavailable
from spotisync.settings import Settings, override, settings
from spotisync.stack.directories import find_lock_holder
from spotisync.sync.output_files import open_atomically

# The user's servers, app and keys, which the demo must not use.
PERSONAL_VARIABLES: Final = (
    "SPOTISYNC_DATABASE_URL",
    "SPOTISYNC_MIGRATION_DATABASE_URL",
    "SPOTISYNC_BROKER_URL",
    "SPOTISYNC_RESULT_BACKEND",
    "SPOTISYNC_SECRET_KEY",
    "SPOTIPY_CLIENT_SECRET",
)
# Deleted before the next demo: library, messages, schedule and history, but not the copied programs and the logs.
LIBRARY_PATHS: Final = ("postgres", "valkey", "beat-schedule*", "my_spotify_data.zip")
STOP_SECONDS: Final = 15.0
ENVIRONMENT: Final = "environment.json"


def use_demo_data_dir() -> Settings:
    """Use the demo's data directory and embedded servers in this process and its children."""
    data_dir = get_demo_data_dir(settings())
    personal = dict.fromkeys(PERSONAL_VARIABLES, "")
    return override({"SPOTISYNC_DATA_DIR": str(data_dir), "SPOTIPY_CLIENT_ID": "demo", **personal})


def get_demo_data_dir(chosen: Settings) -> Path:
    return chosen.data_dir.absolute() / "demo"


def join_running_demo() -> Settings:
    """Use the environment of the demo that is running. Raises `Unavailable` if none is."""
    data_dir = get_demo_data_dir(settings())
    if not find_lock_holder(data_dir):
        raise Unavailable("the demo is not running; start it: spotisync demo")
    chosen = use_demo_data_dir()
    with suppress(FileNotFoundError):  # it is still starting
        return override(json.loads((data_dir / ENVIRONMENT).read_text()))
    return chosen


def publish_environment(chosen: Settings) -> None:
    """Write the environment for `join_running_demo`. The caller holds the lock."""
    variables = {
        "SPOTISYNC_SPOTIFY_API_URL": chosen.spotify_api_url,
        "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": chosen.spotify_accounts_url,
        "SPOTISYNC_API_RATE": "0",
        "SPOTISYNC_FLOWER_PORT": "0",
        "SPOTISYNC_HOST": chosen.host,
        "SPOTISYNC_PORT": str(chosen.port),
        "SPOTIPY_REDIRECT_URI": chosen.redirect_uri,
    }
    with open_atomically(chosen.data_dir / ENVIRONMENT) as file:  # another command may read it at any time
        file.write(json.dumps(variables).encode())


def describe_database_outage(chosen: Settings) -> str:
    """How to fix it; if the demo is running, how to ask that one instead."""
    hint = hints.database_hint(embedded=chosen.embedded_postgres)
    if chosen.embedded_postgres and (holder := find_lock_holder(get_demo_data_dir(chosen))):
        return f"{hint}. The demo is running ({holder}); to use its library, add --demo: spotisync --demo status"
    return hint


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
