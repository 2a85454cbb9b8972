"""What an incremental sync saves: the calls that reading the same lists anew would take. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from spotisync.core.requests import PAGE


@dataclass(frozen=True)
class Lists:
    """How long the lists are that a run has checked, None where it put one off.

    `contents`: of each playlist whose contents it has read, or found to be as they are stored.
    """

    saved_tracks: int | None
    saved_albums: int | None
    followed_artists: int | None
    playlists: int | None
    contents: Sequence[int]


def whole_reading(lists: Lists) -> int:
    """Requests, not less: a full sync steps back and reads again where a list moves. Look-ups are needed both ways."""
    own = (lists.saved_tracks, lists.saved_albums, lists.followed_artists, lists.playlists)
    return sum(max(1, _pages(rows)) for rows in own if rows is not None) + sum(map(_pages, lists.contents))


def saved(lists: Lists, spent: int) -> int:
    """`spent` counts look-ups too, so this is rather too little than too much."""
    return max(0, whole_reading(lists) - spent)


def _pages(rows: int) -> int:
    return -(-rows // PAGE)
