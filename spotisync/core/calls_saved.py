"""Calls that an incremental sync saved: those a full read of the same lists needs, less those it sent. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from spotisync.core.requests import PAGE


@dataclass(frozen=True)
class ListLengths:
    """Lengths of the lists that a run checked, None for a deferred one.

    `contents`: of each playlist whose contents it read or found unchanged.
    """

    saved_tracks: int | None
    saved_albums: int | None
    followed_artists: int | None
    playlists: int | None
    contents: Sequence[int]


def full_read_calls(lists: ListLengths) -> int:
    """The least requests for a full read: a list that changes meanwhile needs more. Look-ups are not counted."""
    lengths = (lists.saved_tracks, lists.saved_albums, lists.followed_artists, lists.playlists)
    return sum(max(1, _pages(rows)) for rows in lengths if rows is not None) + sum(map(_pages, lists.contents))


def calls_saved(lists: ListLengths, spent: int) -> int:
    """A lower bound: `spent` includes look-ups, which a full sync needs as well."""
    return max(0, full_read_calls(lists) - spent)


def _pages(rows: int) -> int:
    return -(-rows // PAGE)
