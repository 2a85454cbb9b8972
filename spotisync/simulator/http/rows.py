"""Playlists and their rows as JSON: tracks, episodes in both forms, local files, null rows."""

from typing import Any

from spotisync.simulator.http.shapes import MARKETS, Shapes
from spotisync.simulator.http.text import dumps, join
from spotisync.simulator.world.catalogue import Episode, LocalFile, Show, pick
from spotisync.simulator.world.library import Playlist, PlaylistItem
from spotisync.simulator.world.pictures import images
from spotisync.simulator.world.times import iso, iso_or_none


def playlist_members(shapes: Shapes, playlist: Playlist, now: float) -> dict[str, Any]:
    """Return the members that a list of playlists and the playlist itself have in common."""
    return {
        **shapes.link("playlist", playlist.id),
        **pick(playlist, "name", "description", "public", "collaborative"),
        "images": images("playlist", playlist.id, playlist.pictures),
        "owner": {**shapes.link("user", playlist.owner_id), "display_name": playlist.owner_name},
        "primary_color": None,
        "snapshot_id": playlist.snapshot_id(now),
    }


def playlist_row(shapes: Shapes, row: PlaylistItem, *, episodes: bool) -> str:
    """Write a row as JSON; without `episodes`, an episode has the form of a track."""
    members = {
        "added_at": iso_or_none(row.added_at),
        "added_by": None if row.added_by is None else shapes.link("user", row.added_by),
        "is_local": row.kind == "local",
        "primary_color": None,
        "video_thumbnail": {"url": None},
    }
    item = _item(shapes, row, episodes=episodes)
    return join(members, item=item) if shapes.restricted else join(members, track=item, item=item)


def _item(shapes: Shapes, row: PlaylistItem, *, episodes: bool) -> str:
    match row.kind:
        case "track":
            return shapes.playlist_track(row.number)
        case "local":
            return dumps(shapes.allowed("track", _local(shapes.catalogue.local(row.number))))
        case "episode":
            episode = shapes.catalogue.episode(row.number)
            return dumps(_episode(shapes, episode) if episodes else _episode_as_track(shapes, episode))
    return "null"


def _local(local: LocalFile) -> dict[str, Any]:
    no_link: dict[str, Any] = {"external_urls": {}, "href": None, "id": None, "uri": None}
    return {
        "album": {
            **no_link,
            "album_type": None,
            "artists": [],
            "available_markets": [],
            "images": [],
            "name": local.album,
            "release_date": None,
            "release_date_precision": None,
            "type": "album",
        },
        "artists": [{**no_link, "name": local.artist, "type": "artist"}],
        "available_markets": [],
        "disc_number": 0,
        "duration_ms": local.seconds * 1000,
        "explicit": False,
        "external_ids": {},
        **no_link,
        "is_local": True,
        "name": local.title,
        "popularity": 0,
        "preview_url": None,
        "track_number": 0,
        "type": "track",
        "uri": local.uri,
    }


def saved_show(shapes: Shapes, added: int, number: int | None) -> str:
    if number is None:
        return "null"
    return dumps({"added_at": iso(added), "show": _show(shapes, shapes.catalogue.show(number))})


def saved_episode(shapes: Shapes, added: int, number: int | None) -> str:
    if number is None:
        return "null"
    return dumps({"added_at": iso(added), "episode": _episode(shapes, shapes.catalogue.episode(number))})


def saved_audiobook(shapes: Shapes, number: int | None) -> str:
    if number is None:
        return "null"
    book = shapes.catalogue.show(number)
    members = {
        **_show(shapes, book),
        **shapes.link("audiobook", book.id),
        "authors": [{"name": name} for name in book.authors],
        "edition": "Unabridged",
        "narrators": [{"name": name} for name in book.narrators],
        "total_chapters": 5,
    }
    del members["total_episodes"]
    return dumps(members)


def _episode(shapes: Shapes, episode: Episode) -> dict[str, Any]:
    return {
        **shapes.link("episode", episode.id),
        "audio_preview_url": None,
        "available_markets": MARKETS,
        "description": "Two people talk.",
        "duration_ms": episode.duration_ms,
        "episode": True,
        "explicit": False,
        "html_description": "<p>Two people talk.</p>",
        "images": images("show", episode.id, "full"),
        "is_externally_hosted": False,
        "is_playable": True,
        "language": "en-US",
        "languages": ["en-US"],
        "name": episode.name,
        "release_date": "2024-05-18",
        "release_date_precision": "day",
        "resume_point": {"fully_played": False, "resume_position_ms": 0},
        "show": _show(shapes, shapes.catalogue.show(episode.show)),
        "track": False,
    }


def _show(shapes: Shapes, show: Show) -> dict[str, Any]:
    """Return a podcast or an audiobook: no key tells one from the other (Peter-Schorn/SpotifyAPI#67)."""
    members = {
        **shapes.link("show", show.id),
        "available_markets": MARKETS,
        "copyrights": [],
        "description": _describe(show),
        "explicit": False,
        "html_description": None,
        "images": images("show", show.id, "full"),
        "is_externally_hosted": False,
        "languages": ["en"],
        "media_type": "audio",
        "name": show.name,
        "publisher": "Nobody",
        "total_episodes": 5,
    }
    return shapes.allowed("show", members)


def _describe(show: Show) -> str:
    """Return a description; that of an audiobook begins in a fixed form (music-assistant/server#2392)."""
    if not show.authors:
        return "They talk every week."
    return f"Author(s): {', '.join(show.authors)}\nNarrator(s): {', '.join(show.narrators)}\nA book."


def _episode_as_track(shapes: Shapes, episode: Episode) -> dict[str, Any]:
    """Return an episode in the form of a track: its album and artist carry the id of the show."""
    show = {**shapes.link("show", episode.show_id), "name": episode.show_name}
    album = {
        "album_type": "show",
        "artists": [show],
        "available_markets": MARKETS,
        "images": images("show", episode.show_id, "full"),
        "release_date": "2024-05-18",
        "release_date_precision": "day",
        "total_tracks": 5,
    }
    members = {
        **shapes.link("episode", episode.id),
        "album": {**show, **shapes.allowed("album", album), "type": "album"},
        "artists": [show],
        "available_markets": MARKETS,
        "disc_number": 0,
        "duration_ms": episode.duration_ms,
        "episode": True,
        "explicit": False,
        "external_ids": {},
        "is_local": False,
        "name": episode.name,
        "popularity": 0,
        "preview_url": None,
        "track": False,
        "track_number": 0,
    }
    return shapes.allowed("track", members)
