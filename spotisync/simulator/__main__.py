"""`python -m spotisync.simulator`: the simulator in a process of its own."""

import argparse
import asyncio
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from spotisync.simulator.http.app import SimulatorApp
from spotisync.simulator.server import serve
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.state import PRESETS
from spotisync.simulator.world.world import World

EXAMPLES = """
When it is ready it prints one line of JSON: its URLs, and each account's id and refresh token.

  %(prog)s --library tiny --port 8080 &
  curl -s -d grant_type=refresh_token -d client_id=me -d refresh_token=TOKEN localhost:8080/api/token
  curl -s -H 'Authorization: Bearer ACCESS' localhost:8080/v1/me/tracks?limit=5

Steer it while it runs (spotisync.simulator.Control does the same from Python):

  curl -s localhost:8080/_sim/counters
  curl -s -d '{"kind": "status", "status": 429, "retry_after": 30, "family": "artists", "times": 2}' \\
       localhost:8080/_sim/faults
  curl -s -d '{"kind": "phantom_total", "path": "/v1/me/tracks", "times": null}' localhost:8080/_sim/faults
  curl -s -d '{"op": "like"}' localhost:8080/_sim/edit
  curl -s -d '{"kind": "regular", "account": "user01"}' localhost:8080/_sim/rhythm
  curl -s -d '{"clock_offset": 604800}' localhost:8080/_sim/settings
  curl -s -d '{"rate": 100, "quota": {"artists": 600}}' localhost:8080/_sim/settings
  curl -s localhost:8080/_sim/truth?account=user01
"""
HISTORY = "write four years of the first account's plays as Spotify's extended streaming history, a zip file, and exit"
DIE_WITH_PARENT = "Linux: exit when the parent thread ends; with the parent's PID, also if it ended before this start"


def main() -> None:
    options = _parser().parse_args()
    if options.die_with_parent is not None:
        _die_with_parent(options.die_with_parent or os.getppid())
    settings = SimulatorSettings()
    settings.change(
        {
            "regime": options.regime,
            "latency_ms": options.latency_ms,
            "rate": options.rate,
            "quota": {family: int(count) for family, count in options.quota},
            "token_life": options.token_life,
            "refresh_reply": "rotate" if options.rotate_tokens else "none",
            "client_id": options.client_id,
        }
    )
    library = options.tracks or options.library
    world = World(
        library,
        seed=options.seed,
        accounts=options.accounts,
        libraries=options.libraries,
        quirks=not options.no_quirks,
    )
    if options.history:
        _write(options.history, world.listening_history(zone=options.timezone))
        return
    asyncio.run(_run(SimulatorApp(world, settings, options.log), options.host, options.port, warm=options.warm))


async def _run(app: SimulatorApp, host: str, port: int, *, warm: bool) -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    try:
        runner = await serve(app, host, port)
    except OSError as error:
        sys.exit(f"can't listen on {host}:{port}: {error.strerror}")
    if warm:
        app.api.warm_up()
    print(json.dumps(app.info()), flush=True)  # noqa: T201 (the parent process reads this line)
    await end.wait()
    app.held_requests.release()
    await runner.cleanup()
    app.request_log.close()


def _write(path: Path, content: bytes) -> None:
    """Write a file, complete or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _die_with_parent(parent: int) -> None:
    """Make Linux end this process together with its parent, which may already have ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the parent process has ended")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spotisync.simulator",
        description="A simulated Spotify: Web API, accounts service, libraries generated from a seed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = ", ".join(f"{name} ({size.tracks:,})" for name, size in PRESETS.items())
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="default 0, any free port")
    add("--library", choices=PRESETS, default="small", help=f"size by saved tracks: {sizes}; default small")
    add("--tracks", type=int, metavar="N", help="size by an exact number of saved tracks")
    add("--seed", type=int, default=1, help="the same seed and size give the same library; default 1")
    add("--accounts", type=int, default=1, metavar="N", help="number of accounts, which share one catalogue; default 1")
    add(
        "--libraries",
        type=int,
        metavar="N",
        help="generate N libraries only; further accounts have copies of them, which start and memory hardly notice",
    )
    add("--no-quirks", action="store_true", help="leave out Spotify's oddities: null rows, local files, odd dates ...")
    add("--regime", choices=("full", "restricted"), default="full", help="API regime of Spotify; default full")
    add("--latency-ms", type=float, default=0, metavar="MEAN", help="mean latency of a reply; default 0")
    add("--rate", type=int, default=0, metavar="R", help="at most R requests per rolling 30 s; default 0, no limit")
    add("--quota", type=_quota, action="append", default=[], metavar="FAMILY=N", help="N calls per day; repeatable")
    add("--token-life", type=float, default=3600, metavar="SECONDS", help="lifetime of an access token; default 3600")
    add("--rotate-tokens", action="store_true", help="each refresh returns a new refresh token and revokes the old one")
    add("--warm", action="store_true", help="cache up to 30,000 tracks, so that first reads are fast")
    add("--client-id", default="", help="accept this client only; default any")
    add("--log", type=Path, metavar="FILE", help="append each request to this file, as a line of JSON")
    add("--history", type=Path, metavar="FILE", help=HISTORY)
    add("--timezone", type=ZoneInfo, default="UTC", help="where the listener of that history lives; default UTC")
    add("--die-with-parent", type=int, nargs="?", const=0, metavar="PID", help=DIE_WITH_PARENT)
    return parser


def _quota(text: str) -> tuple[str, str]:
    family, _, count = text.partition("=")
    if not count.isdigit():
        raise argparse.ArgumentTypeError("use the form artists=600")
    return family, count


if __name__ == "__main__":
    main()
