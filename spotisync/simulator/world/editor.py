"""The edits by name, and random ones."""

from random import Random
from typing import Any

from spotisync.simulator.world import edits, playlist_edits
from spotisync.simulator.world.edits import EditContext
from spotisync.simulator.world.state import WorldState

# fmt: off
EDITS = {
    each.__name__: each
    for each in (
        edits.like, edits.unlike, edits.relike, edits.like_album, edits.insert_old, edits.relink, edits.duplicate,
        edits.save_album, edits.unsave_album, edits.save_show, edits.unsave_show, edits.save_episode,
        edits.unsave_episode, edits.save_audiobook, edits.unsave_audiobook, edits.follow, edits.unfollow, edits.play,
        edits.hide_track, edits.show_track, edits.withdraw, edits.drift,
        edits.grey_out, edits.make_playable, edits.hide_album, edits.show_album,
        playlist_edits.create_playlist, playlist_edits.delete_playlist, playlist_edits.follow_playlist,
        playlist_edits.rename_playlist, playlist_edits.move_playlist, playlist_edits.add_items,
        playlist_edits.remove_items, playlist_edits.reorder_items, playlist_edits.empty_item,
        playlist_edits.hide_playlist, playlist_edits.show_playlist, playlist_edits.withhold,
    )
}
# Edits that users make, by weight. An incremental sync can find all of them, unlike the others.
HABITS = {
    "like": 20, "unlike": 12, "relike": 6, "like_album": 3, "save_album": 3, "unsave_album": 2, "follow": 3,
    "unfollow": 2, "create_playlist": 2, "delete_playlist": 1, "rename_playlist": 2, "add_items": 8,
    "remove_items": 4, "reorder_items": 3, "move_playlist": 2, "play": 10,
}
# fmt: on
PATROL_EDITS = ("insert_old", "relink", "duplicate")
# An incremental sync finds them once a day.
DAILY_EDITS = ("save_show", "unsave_show", "save_episode", "unsave_episode", "save_audiobook", "unsave_audiobook")
# Made by Spotify, not by users: the library stays the same, but Spotify shows less of it.
VANISHINGS = ("grey_out", "make_playable", "empty_item", "hide_track", "show_track", "hide_album", "show_album")
ODDITIES = ("hide_track", "show_track", "withdraw", "drift", "hide_playlist", "show_playlist", "withhold")


def edit(
    world: WorldState,
    op: str,
    account: str | None = None,
    rng: Random | None = None,
    moment: float | None = None,
    **args: Any,
) -> dict[str, Any]:
    """Make one of `EDITS`, or a "random" one, and return what it changed. `moment`: when, by default now."""
    if op == "random":
        return random_edit(world, rng, account, **args)
    if op not in EDITS:
        raise LookupError(f"no edit {op!r}; the edits are {', '.join(EDITS)}")
    with world.lock:
        done = EDITS[op](EditContext(world, world.library(account), rng or world.rng, moment), **args)
    return {"op": op, **done}


def random_edit(
    world: WorldState, rng: Random | None = None, account: str | None = None, ops: list[str] | None = None
) -> dict[str, Any]:
    """Make one edit out of `ops` (default: `HABITS`, by weight) to an object chosen by `rng`."""
    rng = rng or world.rng
    names = ops or list(HABITS)
    for _ in range(100):
        op = rng.choices(names, [HABITS.get(name, 1) for name in names])[0]
        try:
            return edit(world, op, account, rng)
        except (LookupError, IndexError):
            continue  # the library has no object left for this edit
    raise LookupError(f"none of {', '.join(names)} is possible")
