"""Run exportify-cli. It has no option for the host, so spotipy's client is patched."""

import contextlib
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import spotipy

api_url, token, directory, _ = sys.argv[1:]
create = spotipy.Spotify.__init__


def create_with_token(self: Any, **options: Any) -> None:
    create(self, auth=token, retries=options.get("retries", 10))
    self.prefix = api_url


def main() -> None:
    spotipy.Spotify.__init__ = create_with_token
    from exportify_cli import cli  # type: ignore[import-not-found]

    cli.SpotifyPKCE.get_access_token = lambda *_, **__: token
    config = Path(directory, "config.toml")
    config.write_text('[spotify]\nclient_id = "bench"\nredirect_uri = "http://127.0.0.1:3000/callback"\n')
    started = perf_counter()
    with contextlib.suppress(SystemExit):  # 1 if a playlist can't be read
        cli.main(["-a", "--no-bar", "-c", str(config), "-o", directory], standalone_mode=False)
    result = {"seconds": perf_counter() - started, "peak_mb": peak_mb()}
    Path(directory, "result.json").write_text(json.dumps(result))


def peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


main()
