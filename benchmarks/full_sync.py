"""Full syncs on a real worker against a plain spotipy loop, and the time between batches."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import spotipy

from benchmarks import tracing
from benchmarks.environment import Environment, connect, open_context, start_sync, wait_for_success
from benchmarks.report import Measurement, median, ratios
from spotisync.core.requests import IDS_PER_CALL, PAGE
from spotisync.simulator import Control
from spotisync.sync import Context

LATENCY_MS = 50
PLAIN_HOPS = 300
DURATION = "SELECT EXTRACT(epoch FROM completed_at - started_at) FROM sync_history WHERE id = %s"
Json = dict[str, Any]
logging.getLogger("spotipy.client").setLevel(logging.CRITICAL)  # the library contains playlists that are refused


@dataclass(frozen=True)
class SyncCost:
    """One full sync: seconds from trigger to end, Spotify calls, rows written in the library and the bookkeeping."""

    seconds: float
    calls: int
    rows: int
    bookkeeping: int


@dataclass(frozen=True)
class Repetition:
    """The spotipy loop, a first sync and a second one, run one after the other under the same noise."""

    loop_seconds: float
    loop_calls: int
    first: SyncCost
    second: SyncCost
    hops: list[float]


def measure(
    environment: Environment, control: Control, repetitions: int, slow_repetitions: int
) -> Iterator[Measurement]:
    tracks = len(control.truth()["saved_tracks"])
    read_with_spotipy(control)  # not measured: the simulator fills its caches
    fast = [_repeat(environment, control) for _ in range(repetitions)]
    plain = _measure_plain_hops()
    control.settings(latency_ms=LATENCY_MS)
    slow = [_repeat(environment, control) for _ in range(slow_repetitions)]
    control.settings(latency_ms=0)
    yield from _first_syncs(f"Full sync of {tracks:,} tracks, Spotify without latency", fast)
    yield from _first_syncs(f"The same, Spotify with {LATENCY_MS} ms per call", slow)
    yield from _second_syncs(fast)
    yield from _hops(fast, plain)


def _repeat(environment: Environment, control: Control) -> Repetition:
    control.reset_log()
    seconds = read_with_spotipy(control)
    calls = _count_calls(control)
    url = environment.create_database()
    with open_context(control) as (context, account):
        first, second = (_sync(context, account, control, url) for _ in range(2))
    with connect(url) as connection:
        return Repetition(seconds, calls, first, second, tracing.hops(connection))


def _sync(context: Context, account: str, control: Control, url: str) -> SyncCost:
    with connect(url) as connection:
        before = tracing.count_written(connection)
        control.reset_log()
        run = start_sync(context, account)
        wait_for_success(context, run)
        time.sleep(0.2)  # the worker notifies the waiters
        after = tracing.count_written(connection)
        (seconds,) = connection.execute(DURATION, (run.id,)).fetchall()[0]
    return SyncCost(float(seconds), _count_calls(control), after[0] - before[0], after[1] - before[1])


def _count_calls(control: Control) -> int:
    families = control.counters()["families"]
    return sum(count for family, count in families.items() if family != "accounts")


def _measure_plain_hops() -> list[float]:
    from benchmarks import hops  # it loads Celery's configuration, which needs the settings of the environment

    return hops.measure_hops(PLAIN_HOPS)


# ---- the lower bound: a spotipy loop over the same library, which stores nothing -------------------------------------


def read_with_spotipy(control: Control) -> float:
    """Read what a full sync reads: saved tracks, playlists with items, all artists and albums. Returns the seconds."""
    spotify = spotipy.Spotify(auth=control.token()["access_token"], requests_timeout=30)
    spotify.prefix = f"{control.url}/v1/"
    started = perf_counter()
    tracks = [*_tracks(spotify, spotify.current_user_saved_tracks), *_playlist_tracks(spotify)]
    known = [track for track in tracks if track and track.get("type") == "track" and track["id"]]
    albums = {track["album"]["id"] for track in known}
    artists = {artist["id"] for track in known for artist in (*track["artists"], *track["album"]["artists"])}
    for ids in _chunks(artists, IDS_PER_CALL["artists"]):
        spotify.artists(ids)
    for ids in _chunks(albums, IDS_PER_CALL["albums"]):
        spotify.albums(ids)
    return perf_counter() - started


def _playlist_tracks(spotify: Any) -> Iterator[Json | None]:
    for playlist in _pages(spotify, spotify.current_user_playlists):
        if playlist:
            yield from _tracks(spotify, partial(spotify.playlist_items, playlist["id"]))


def _tracks(spotify: Any, first: Callable[..., Json]) -> Iterator[Json | None]:
    for row in _pages(spotify, first):
        yield row and row.get("track")


def _pages(spotify: Any, first: Callable[..., Json]) -> Iterator[Json | None]:
    """Yield the rows of a list, page by page as in spotipy's documentation. A refused list has no rows."""
    try:
        page: Json | None = first(limit=PAGE)
    except spotipy.SpotifyException:
        page = None
    while page:
        yield from page["items"]
        page = spotify.next(page)


def _chunks(ids: set[str], size: int) -> Iterator[list[str]]:
    ordered = sorted(ids)
    return (ordered[at : at + size] for at in range(0, len(ordered), size))


# ---- measurements ----------------------------------------------------------------------------------------------------


def _first_syncs(section: str, found: Sequence[Repetition]) -> Iterator[Measurement]:
    ours, theirs = [each.first.seconds for each in found], [each.loop_seconds for each in found]
    loop_calls = f"loop: {median([each.loop_calls for each in found]):,.0f}"
    yield Measurement(section, "spotisync, a worker of two", "s", tuple(ours))
    yield Measurement(section, "a plain spotipy loop", "s", tuple(theirs), "nothing stored")
    yield Measurement(section, "spotisync / loop", "x", ratios(ours, theirs), "pair by pair")
    yield Measurement(section, "Spotify calls", "calls", tuple(each.first.calls for each in found), loop_calls)
    yield _rows_written(section, [each.first for each in found])


def _second_syncs(found: Sequence[Repetition]) -> Iterator[Measurement]:
    section, seconds = "A second full sync, nothing changed", [each.second.seconds for each in found]
    yield Measurement(section, "spotisync, a worker of two", "s", tuple(seconds))
    yield Measurement(
        section, "second / first", "x", ratios(seconds, [each.first.seconds for each in found]), "pair by pair"
    )
    yield Measurement(section, "Spotify calls", "calls", tuple(each.second.calls for each in found))
    yield _rows_written(section, [each.second for each in found])


def _rows_written(section: str, syncs: Sequence[SyncCost]) -> Measurement:
    rows = tuple(each.rows for each in syncs)
    return Measurement(section, "rows written", "rows", rows, f"bookkeeping: {syncs[0].bookkeeping:,}")


def _hops(found: Sequence[Repetition], plain: list[float]) -> Iterator[Measurement]:
    section, ours = "From the end of a batch to the next claim", [hop for each in found for hop in each.hops]
    yield Measurement(section, "spotisync", "ms", tuple(ours), "includes COMMIT")
    yield Measurement(section, "a plain task sending itself", "ms", tuple(plain), "without a database")
    yield Measurement(section, "spotisync / plain", "x", (median(ours) / median(plain),), "medians")
