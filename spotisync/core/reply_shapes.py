"""The shape of Spotify's replies: which keys a reply has, and which of those that the parser needs it lacks. Pure.

Spotify renames and removes keys without notice (the changes of November 2024 and February 2026). A parser that reads an
absent key as unknown must not conclude from it that the rows of a list are gone.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from spotisync.core.requests import Kind

# A page, its rows, and an object in a row.
DEPTH = 3
# Keys of one endpoint; Spotify's longest reply has about eighty in this depth.
MOST_KEYS = 300
# Names of fields, and not ids that an object could be keyed by.
FIELD = re.compile(r"[a-z][a-z_]{0,39}")
# The statuses that have a defined reaction; of the 5xx all have.
KNOWN_STATUSES = frozenset({200, 400, 401, 403, 404, 429})

# The keys without which a reply is misread. Of alternatives one suffices.
NEEDED: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "saved_tracks": (("items",), ("total",), ("items[].added_at",), ("items[].track",), ("items[].track.id",)),
    "saved_albums": (("items",), ("total",), ("items[].added_at",), ("items[].album",), ("items[].album.id",)),
    # Documentation and replies differ.
    "saved_audiobooks": (("items",), ("total",), ("items[].id", "items[].audiobook")),
    "saved_shows": (("items",), ("total",), ("items[].added_at",), ("items[].show",), ("items[].show.id",)),
    "saved_episodes": (("items",), ("total",), ("items[].added_at",), ("items[].episode",), ("items[].episode.id",)),
    "followed_artists": (("artists",), ("artists.items",), ("artists.total",), ("artists.items[].id",)),
    "playlists": (
        ("items",),
        ("total",),
        ("items[].id",),
        ("items[].snapshot_id",),
        # `items` in the restricted regime, both in the full one (changes of February 2026).
        ("items[].items", "items[].tracks"),
        ("items[].items.total", "items[].tracks.total"),
    ),
    "playlist_items": (("items",), ("total",), ("items[].item", "items[].track")),
    "recently_played": (("items",), ("items[].played_at",), ("items[].track",), ("items[].track.id",)),
    "top_artists": (("items",), ("items[].id",)),
    "top_tracks": (("items",), ("items[].id",)),
    "artists": (("artists",), ("artists[].id",)),
    "albums": (("albums",), ("albums[].id",)),
    "artist": (("id",),),
    "album": (("id",),),
    "profile": (("id",),),
}


@dataclass(frozen=True)
class ReplyShape:
    """`present` and `missing`: names of needed keys. A key whose place is null or has no rows is neither."""

    keys: frozenset[str]
    present: frozenset[str]
    missing: frozenset[str]


def read_shape(kind: Kind, body: Any) -> ReplyShape:
    keys, places = _read_keys(body)
    needed = NEEDED[kind]
    present = {name_of(each) for each in needed if not keys.isdisjoint(each)}
    missing = {name_of(each) for each in needed if any(_place(key) in places for key in each)} - present
    if len(keys) > MOST_KEYS:
        keys &= {key for each in needed for key in each}
    return ReplyShape(frozenset(keys), frozenset(present), frozenset(missing))


def name_of(alternatives: tuple[str, ...]) -> str:
    return " or ".join(alternatives)


def alternatives_of(name: str) -> list[str]:
    return name.split(" or ")


def _place(key: str) -> str:
    """Where the key is looked for: `items[]` for `items[].id`, the reply itself for `items`."""
    return key.rpartition(".")[0]


def _read_keys(body: Any) -> tuple[set[str], set[str]]:
    """The paths of all keys, and the places at which there was an object."""
    keys: set[str] = set()
    places: set[str] = set()
    # A 200 with an error in its body says nothing about the shape of replies.
    level = {"": [body]} if isinstance(body, dict) and "error" not in body else {}
    for depth in range(1, DEPTH + 1):
        places |= level.keys()
        below: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for place, objects in level.items():
            for name in set[str]().union(*objects):
                if FIELD.fullmatch(name):
                    key = f"{place}.{name}" if place else name
                    keys.add(key)
                    if depth < DEPTH:
                        _descend(key, [each[name] for each in objects if name in each], below)
        level = dict(below)
    return keys, places


def _descend(key: str, values: list[Any], below: dict[str, list[dict[str, Any]]]) -> None:
    for value in values:
        if isinstance(value, dict):
            below[key].append(value)
        elif isinstance(value, list) and (objects := [each for each in value if isinstance(each, dict)]):
            below[f"{key}[]"] += objects


def is_known_status(status: int) -> bool:
    return status in KNOWN_STATUSES or status >= 500
