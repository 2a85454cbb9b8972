"""Run dlt's REST source into Postgres: saved tracks, saved albums, playlists and their items."""

import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

api_url, token, directory, database = sys.argv[1:]
# dlt wants a password and a host; the socket in the query takes precedence and needs no password.
database = database.replace("@/", ":unused@localhost/")
os.environ["DLT_DATA_DIR"] = directory  # noqa: TID251
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"  # noqa: TID251
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"  # noqa: TID251

import dlt  # type: ignore[import-not-found]  # noqa: E402 (its settings are read on import)
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]  # noqa: E402

PAGE = {"limit": 50}
REFUSED = [{"status_code": 403, "action": "ignore"}, {"status_code": 404, "action": "ignore"}]


def main() -> None:
    source = rest_api_source({"client": client(), "resources": [*lists(), items()]})
    pipeline = dlt.pipeline("spotify", destination=dlt.destinations.postgres(database), dataset_name="spotify")
    started = perf_counter()
    pipeline.run(source, write_disposition="replace")
    result = {"seconds": perf_counter() - started, "peak_mb": peak_mb()}
    Path(directory, "result.json").write_text(json.dumps(result))


def client() -> dict[str, Any]:
    paginator = {"type": "json_link", "next_url_path": "next"}
    return {"base_url": api_url, "auth": {"type": "bearer", "token": token}, "paginator": paginator}


def lists() -> list[dict[str, Any]]:
    paths = {"saved_tracks": "me/tracks", "saved_albums": "me/albums", "playlists": "me/playlists"}
    endpoints = {name: {"path": path, "params": PAGE, "data_selector": "items"} for name, path in paths.items()}
    found: list[dict[str, Any]] = [{"name": name, "endpoint": endpoint} for name, endpoint in endpoints.items()]
    found[2]["processing_steps"] = [{"filter": lambda row: row is not None}]  # Spotify sends null rows
    return found


def items() -> dict[str, Any]:
    path = "playlists/{resources.playlists.id}/items"
    endpoint = {"path": path, "params": PAGE, "data_selector": "items", "response_actions": REFUSED}
    return {"name": "items", "endpoint": endpoint, "include_from_parent": ["id"]}


def peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


main()
