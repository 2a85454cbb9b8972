"""The privacy export: an account's extended streaming history as the zip that Spotify sends."""

import json
from collections.abc import Iterator
from io import BytesIO
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.library import Library, Play
from spotisync.simulator.world.times import iso

FOLDER = "Spotify Extended Streaming History"
OFFLINE = 7  # every so many plays one was heard without a connection
COMES_BACK = 5_000  # seconds until the device tells it
Row = dict[str, Any]


def heard_for(catalogue: Catalogue, play: Play) -> int:
    return catalogue.track(play.track).duration_ms if play.ms_played is None else play.ms_played


def archive(catalogue: Catalogue, library: Library, rows_a_file: int, *, shuffled: bool) -> bytes:
    """Write its files in order of time, or all mixed up; with what else is in there."""
    rows = sorted(_rows(catalogue, library), key=lambda row: row["ts"])
    if shuffled:
        Random(catalogue.seed).shuffle(rows)
    parts = [rows[start : start + rows_a_file] for start in range(0, len(rows), rows_a_file)]
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as made:
        made.writestr(f"{FOLDER}/ReadMeFirst_ExtendedStreamingHistory.pdf", b"%PDF-1.4\n")
        made.writestr(f"{FOLDER}/Streaming_History_Video_2024.json", "[]")
        for number, part in enumerate(parts):
            years = "-".join(sorted({part[0]["ts"][:4], part[-1]["ts"][:4]}))
            name = f"endsong_{number}" if shuffled else f"Streaming_History_Audio_{years}_{number}"
            made.writestr(f"{FOLDER}/{name}.json", json.dumps(part, indent=2))
    return written.getvalue()


def _rows(catalogue: Catalogue, library: Library) -> Iterator[Row]:
    last = library.plays[-1].played_at // 1000 if library.plays else 0
    for number, play in enumerate(library.plays):
        offline = catalogue.quirks and number % OFFLINE == 3
        told = play.played_at // 1000
        yield _row(catalogue, library, play, min(told + COMES_BACK, last) if offline else told, offline=offline)
    if catalogue.quirks and last:
        yield from _others(library, last)


def _row(catalogue: Catalogue, library: Library, play: Play, told: int, *, offline: bool) -> Row:
    track, heard = catalogue.track(play.track), heard_for(catalogue, play)
    began = play.played_at - heard
    # The time without a connection has come in seconds and in milliseconds.
    noted = began if play.played_at % 2 else began // 1000
    return _blank(library, told, heard) | {
        "master_metadata_track_name": track.name,
        "master_metadata_album_artist_name": catalogue.artist(track.artists[0]).name,
        "master_metadata_album_album_name": catalogue.album(track.album).name,
        "spotify_track_uri": f"spotify:track:{track.id}",
        "offline": offline,
        "offline_timestamp": noted if offline else None,
    }


def _others(library: Library, ended: int) -> Iterator[Row]:
    """What is no play of a track: a podcast, a chapter of an audiobook, a local file, a device lost in time."""
    yield _blank(library, ended - 10, 600_000) | {
        "episode_name": "Two people talk",
        "episode_show_name": "Every week",
        "spotify_episode_uri": "spotify:episode:4rOoJ6Egrf8K2IrywzwOMk",
    }
    yield _blank(library, ended - 20, 600_000) | {
        "audiobook_title": "A book",
        "audiobook_uri": "spotify:show:2rOoJ6Egrf8K2IrywzwOMk",
        "audiobook_chapter_uri": "spotify:episode:1rOoJ6Egrf8K2IrywzwOMk",
        "audiobook_chapter_title": "Chapter 1",
    }
    yield _blank(library, ended - 30, 100_000)
    yield _blank(library, 0, 100_000) | {"spotify_track_uri": "spotify:track:4rOoJ6Egrf8K2IrywzwOMk"}


def _blank(library: Library, ended: int, heard: int) -> Row:
    return {
        "ts": iso(ended),
        "username": library.id,
        "platform": "ios",
        "ms_played": heard,
        "conn_country": "NL",
        "ip_addr_decrypted": "192.0.2.77",
        "user_agent_decrypted": "Secretive%2F1.0",
        "master_metadata_track_name": None,
        "master_metadata_album_artist_name": None,
        "master_metadata_album_album_name": None,
        "spotify_track_uri": None,
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "audiobook_title": None,
        "audiobook_uri": None,
        "audiobook_chapter_uri": None,
        "audiobook_chapter_title": None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": False,
        "offline": False,
        "offline_timestamp": None,
        "incognito_mode": False,
    }
