"""The privacy export: an account's extended streaming history, as the zip file that Spotify sends."""

import json
from collections.abc import Iterator
from io import BytesIO
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.library import MIN_RECENT_MS, Library, PlayedTrack
from spotisync.simulator.world.state import milliseconds_played
from spotisync.simulator.world.times import iso

FOLDER = "Spotify Extended Streaming History"
ACCOUNT_FOLDER = "Spotify Account Data"
ROWS_PER_FILE = 15_000  # of Spotify's, about 12 MB
OFFLINE_EVERY = 7  # one in this many plays was heard offline
OFFLINE_DELAY = 5_000  # seconds until the device reports it
Row = dict[str, Any]


def archive(catalogue: Catalogue, library: Library, rows_per_file: int, *, shuffled: bool) -> bytes:
    """Return the zip file, its rows in order of time or shuffled, with the unrelated files that Spotify adds."""
    rows = sorted(_rows(catalogue, library), key=lambda row: row["ts"])
    if shuffled:
        Random(catalogue.seed).shuffle(rows)
    parts = [rows[start : start + rows_per_file] for start in range(0, len(rows), rows_per_file)]
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        file.writestr(f"{FOLDER}/ReadMeFirst_ExtendedStreamingHistory.pdf", b"%PDF-1.4\n")
        file.writestr(f"{FOLDER}/Streaming_History_Video_2024.json", "[]")
        for number, part in enumerate(parts):
            years = "-".join(sorted({part[0]["ts"][:4], part[-1]["ts"][:4]}))
            name = f"endsong_{number}" if shuffled else f"Streaming_History_Audio_{years}_{number}"
            file.writestr(f"{FOLDER}/{name}.json", json.dumps(part, indent=2))
    return buffer.getvalue()


def account_data(catalogue: Catalogue, library: Library) -> bytes:
    """Return the zip file of the account data, which Spotify sends first."""
    rows = [_short_row(catalogue, play) for play in library.plays]
    unknown = {"endTime": "2024-01-01 00:00", "artistName": "Nobody", "trackName": "Never saved", "msPlayed": 61_000}
    podcast = {"endTime": "2024-01-01 00:00", "podcastName": "Every week", "episodeName": "Pod", "msPlayed": 600_000}
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        file.writestr(f"{ACCOUNT_FOLDER}/Playlist1.json", '{"playlists": []}')
        file.writestr(f"{ACCOUNT_FOLDER}/StreamingHistory_music_0.json", json.dumps([*rows, unknown], indent=2))
        file.writestr(f"{ACCOUNT_FOLDER}/StreamingHistory_podcast_0.json", json.dumps([podcast], indent=2))
    return buffer.getvalue()


def _short_row(catalogue: Catalogue, play: PlayedTrack) -> Row:
    track = catalogue.track(play.track)
    return {
        "endTime": iso(play.played_at // 1000)[:16].replace("T", " "),
        "artistName": catalogue.artist(track.artists[0]).name,
        "trackName": track.name,
        "msPlayed": milliseconds_played(catalogue, play),
    }


def _rows(catalogue: Catalogue, library: Library) -> Iterator[Row]:
    last = library.plays[-1].played_at // 1000 if library.plays else 0
    for number, play in enumerate(library.plays):
        offline = catalogue.quirks and number % OFFLINE_EVERY == 3
        ended = play.played_at // 1000
        yield _row(catalogue, library, play, min(ended + OFFLINE_DELAY, last) if offline else ended, offline=offline)
    if catalogue.quirks and last:
        yield from _other_rows(library, last)


def _row(catalogue: Catalogue, library: Library, play: PlayedTrack, reported: int, *, offline: bool) -> Row:
    track, heard = catalogue.track(play.track), milliseconds_played(catalogue, play)
    started = play.played_at - heard
    # Real exports hold this time in seconds or in milliseconds.
    offline_since = started if play.played_at % 2 else started // 1000
    return _blank(library, reported, heard) | {
        "master_metadata_track_name": track.name,
        "master_metadata_album_artist_name": catalogue.artist(track.artists[0]).name,
        "master_metadata_album_album_name": catalogue.album(track.album).name,
        "spotify_track_uri": f"spotify:track:{track.id}",
        "offline": offline,
        "offline_timestamp": offline_since if offline else None,
        **({"reason_end": "fwdbtn", "skipped": True} if heard < MIN_RECENT_MS else {}),
    }


def _other_rows(library: Library, ended: int) -> Iterator[Row]:
    """Rows that are no play of a track: a podcast, an audiobook, a local file, a device with a wrong clock."""
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
