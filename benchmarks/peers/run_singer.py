"""Run a stream of the Singer SDK over the saved tracks, with the page size of tap-spotify, which is not on PyPI."""

import contextlib
import json
import logging
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from singer_sdk import Tap  # type: ignore[import-not-found]
from singer_sdk import typing as th
from singer_sdk.pagination import BaseHATEOASPaginator  # type: ignore[import-not-found]
from singer_sdk.streams import RESTStream  # type: ignore[import-not-found]

api_url, token, directory, _ = sys.argv[1:]
TEXT, NUMBER = th.StringType, th.IntegerType
NAMED = th.ObjectType(th.Property("id", TEXT), th.Property("name", TEXT), th.Property("uri", TEXT))
TRACK = th.ObjectType(
    *(th.Property(name, TEXT) for name in ("id", "name", "uri")),
    *(th.Property(name, NUMBER) for name in ("duration_ms", "disc_number", "track_number", "popularity")),
    th.Property("explicit", th.BooleanType),
    th.Property("album", NAMED),
    th.Property("artists", th.ArrayType(NAMED)),
)


class Links(BaseHATEOASPaginator):  # type: ignore[misc]
    def get_next_url(self, response: Any) -> Any:
        return response.json().get("next")


class SavedTracks(RESTStream):  # type: ignore[misc]
    name = "saved_tracks"
    path = "me/tracks"
    url_base = api_url
    records_jsonpath = "$.items[*]"
    http_headers: ClassVar = {"Authorization": f"Bearer {token}"}
    schema = th.PropertiesList(th.Property("added_at", TEXT), th.Property("track", TRACK)).to_dict()

    def get_new_paginator(self) -> Any:
        return Links()

    def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, Any]:  # noqa: ARG002
        return dict(parse_qsl(next_page_token.query)) if next_page_token else {}


class Spotify(Tap):  # type: ignore[misc]
    name = "spotify"

    def discover_streams(self) -> list[Any]:
        return [SavedTracks(self)]


def main() -> None:
    logging.disable(logging.INFO)
    tap = Spotify()
    started = perf_counter()
    with Path(directory, "records.jsonl").open("w") as file, contextlib.redirect_stdout(file):
        tap.sync_all()
    result = {"seconds": perf_counter() - started, "peak_mb": peak_mb()}
    Path(directory, "result.json").write_text(json.dumps(result))


def peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


main()
