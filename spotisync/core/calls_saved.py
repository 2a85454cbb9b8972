"""What an incremental sync saves: the calls that reading the same lists anew would take. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from spotisync.core.requests import PAGE


@dataclass(frozen=True)
class ListLengths:
    """How long the lists are that a run has checked, None where it put one off.

    `contents`: of each playlist whose contents it has read, or found to be as they are stored.
    """

    saved_tracks: int | None
    saved_albums: int | None
    followed_artists: int | None
    playlists: int | None
    contents: Sequence[int]


def full_read_calls(lists: ListLengths) -> int:
    """Requests, not less: a full sync steps back and reads again where a list moves. Look-ups are needed both ways."""
    own = (lists.saved_tracks, lists.saved_albums, lists.followed_artists, lists.playlists)
    return sum(max(1, _pages(rows)) for rows in own if rows is not None) + sum(map(_pages, lists.contents))


def calls_saved(lists: ListLengths, spent: int) -> int:
    """`spent` counts look-ups too, so this is rather too little than too much."""
    return max(0, full_read_calls(lists) - spent)


def _pages(rows: int) -> int:
    return -(-rows // PAGE)
