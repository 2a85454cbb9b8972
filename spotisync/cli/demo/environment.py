"""Where the demo lives: a data dir of its own, and an environment in which no real library can be reached."""

import shutil
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import Final

from spotisync.settings import Settings, override, settings

# A person's own servers, app and keys, from the environment or from `.env`: none of them is for the demo.
PERSONAL: Final = (
    "SPOTISYNC_DATABASE_URL",
    "SPOTISYNC_BROKER_URL",
    "SPOTISYNC_RESULT_BACKEND",
    "SPOTISYNC_SECRET_KEY",
    "SPOTIPY_CLIENT_SECRET",
)
# What a finished demo leaves: its library, its messages, its schedule. The copied programs and the logs may stay.
LIBRARY: Final = ("postgres", "valkey", "beat-schedule*")
GRACE: Final = 15.0


def use_demo_data_dir() -> Settings:
    """Let the demo's data dir and servers hold for this process and all that it starts."""
    place = settings().data_dir.absolute() / "demo"
    return override({"SPOTISYNC_DATA_DIR": str(place), "SPOTIPY_CLIENT_ID": "demo", **dict.fromkeys(PERSONAL, "")})


def use_simulator(url: str) -> Settings:
    """The same, with the simulator at this address for Spotify. It sets no ceiling, so there is no pace to keep."""
    use_demo_data_dir()
    return override(
        {
            "SPOTISYNC_SPOTIFY_API_URL": f"{url}/v1",
            "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": url,
            "SPOTISYNC_API_RATE": "0",
            "SPOTISYNC_FLOWER_PORT": "0",  # the page links to Flower where there is one
        }
    )


def use_free_port() -> Settings:
    """The page on this machine alone, on the usual port, or on another one if that is taken."""
    from spotisync.cli import processes

    here = {"SPOTISYNC_HOST": "127.0.0.1", "SPOTISYNC_API_TOKEN": "", "SPOTISYNC_ALLOWED_HOSTS": ""}
    chosen = processes.choose_port(override(here), or_another=True)
    return override({"SPOTIPY_REDIRECT_URI": f"{processes.page_url(chosen)}/accounts/callback"})


def prepare_library(place: Path) -> None:
    """An empty library if the last demo's sync was over, else the one it was cut short at. Hold the lock."""
    from spotisync.stack import pidfiles

    if not _mark(place).exists():
        return
    for note in (place / "run").glob("*.pid"):
        pidfiles.end_process(note, (SIGINT, SIGKILL), GRACE)
    for pattern in LIBRARY:
        for path in place.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _mark(place).unlink()


def mark_finished(place: Path) -> None:
    """The next demo begins anew."""
    _mark(place).touch()


def _mark(place: Path) -> Path:
    return place / "finished"
