"""Edits of playlists. Each edit of a playlist gives it a new snapshot id."""

from collections.abc import Sequence

from spotisync.simulator.world import names
from spotisync.simulator.world.edits import EditContext, EditResult
from spotisync.simulator.world.ids import SeededRandom
from spotisync.simulator.world.library import Playlist, PlaylistItem


def create_playlist(context: EditContext, name: str | None = None, tracks: Sequence[str] | None = None) -> EditResult:
    """Create a playlist at the top of the list."""
    number = 900_000_000 + len(context.world.playlists)
    playlist = Playlist(
        id=context.id("playlist", number),
        name=names.playlist(SeededRandom(f"new:{number}")) if name is None else name,
        description="",
        owner_id=context.library.id,
        owner_name=context.library.display_name,
        pictures="null",
        rows=_rows(context, tracks, 0),
    )
    context.world.playlists[playlist.id] = playlist
    context.library.playlists.insert(0, playlist.id)
    return _result(context, playlist)


def delete_playlist(context: EditContext, playlist: str | None = None) -> EditResult:
    """Unfollow a playlist: at Spotify that is what deleting means. Other accounts keep it."""
    target = _choose(context, playlist, own=False)
    context.library.playlists.remove(target.id)
    context.library.hidden_playlists.discard(target.id)
    return {"playlist_id": target.id}


def follow_playlist(context: EditContext, playlist: str) -> EditResult:
    target = context.world.playlists[playlist]
    context.library.playlists.insert(0, target.id)
    return {"playlist_id": target.id}


def rename_playlist(context: EditContext, playlist: str | None = None, name: str | None = None) -> EditResult:
    target = _choose(context, playlist)
    target.name = f"{target.name[:40]} ({context.rng.randrange(1_000)})" if name is None else name
    return _mark_changed(context, target)


def move_playlist(context: EditContext, playlist: str | None = None, to: int = 0) -> EditResult:
    """Move a playlist in the list (`to` counts null rows); the playlist itself does not change."""
    target = _choose(context, playlist, own=False)
    context.library.playlists.remove(target.id)
    context.library.playlists.insert(to, target.id)
    return _result(context, target)


def hide_playlist(context: EditContext, playlist: str | None = None) -> EditResult:
    """List a playlist as null, as Spotify does with some of its own. It stays in the list."""
    target = _choose(context, playlist, own=False)
    context.library.hidden_playlists.add(target.id)
    return {"playlist_id": target.id}


def show_playlist(context: EditContext, playlist: str | None = None) -> EditResult:
    """List a hidden playlist normally again."""
    id_ = context.rng.choice(sorted(context.library.hidden_playlists)) if playlist is None else playlist
    context.library.hidden_playlists.remove(id_)
    return {"playlist_id": id_}


def withhold(context: EditContext, playlist: str | None = None, fields: Sequence[str] = ("snapshot_id",)) -> EditResult:
    """Make these fields null in lists of playlists; "total" and "owner" are possible too."""
    target = _choose(context, playlist)
    target.withheld = tuple(fields)
    return {"playlist_id": target.id, "fields": list(fields)}


def add_items(
    context: EditContext,
    playlist: str | None = None,
    tracks: Sequence[str] | None = None,
    count: int = 3,
    position: int | None = None,
) -> EditResult:
    """Add tracks at the end or at a position, all in the same second."""
    target = _choose(context, playlist)
    place = len(target.rows) if position is None else position
    target.rows[place:place] = _rows(context, tracks, count)
    return _mark_changed(context, target)


def remove_items(
    context: EditContext, playlist: str | None = None, positions: Sequence[int] | None = None, count: int = 1
) -> EditResult:
    target = _choose(context, playlist)
    if positions is None:
        positions = context.rng.sample(range(len(target.rows)), min(count, len(target.rows)))
    target.rows = [row for place, row in enumerate(target.rows) if place not in positions]
    return _mark_changed(context, target)


def reorder_items(
    context: EditContext, playlist: str | None = None, start: int = 0, length: int = 1, to: int | None = None
) -> EditResult:
    """Move `length` rows before the row at `to` (default: to the end)."""
    target = _choose(context, playlist)
    part, rest = target.rows[start : start + length], target.rows[:start] + target.rows[start + length :]
    place = len(rest) if to is None else to - length if to > start else to
    target.rows = rest[:place] + part + rest[place:]
    return _mark_changed(context, target)


def empty_item(
    context: EditContext, playlist: str | None = None, position: int | None = None, *, snapshot: bool = True
) -> EditResult:
    """Withdraw a track of a playlist: its row stays, without it. `snapshot`: the playlist reports a new one."""
    target = _choose(context, playlist)
    places = [place for place, row in enumerate(target.rows) if row.kind == "track"]
    place = context.rng.choice(places) if position is None else position
    target.rows[place] = target.rows[place]._replace(kind="unavailable", added_by="")
    result = _mark_changed(context, target) if snapshot else _result(context, target)
    return result | {"position": place}


def _choose(context: EditContext, id_: str | None, *, own: bool = True) -> Playlist:
    """Find a playlist in the account's list by id, or choose one (with `own`, one that it may edit)."""
    listed = [context.world.playlists[each] for each in context.library.playlists if each is not None]
    candidates = [each for each in listed if id_ == each.id or (id_ is None and (not own or _is_own(context, each)))]
    if not candidates:
        raise LookupError(f"no playlist {id_ or ''} in the list")
    return context.rng.choice(candidates)


def _is_own(context: EditContext, target: Playlist) -> bool:
    return target.owner_id == context.library.id and target.id not in context.library.refusals


def _rows(context: EditContext, tracks: Sequence[str] | None, count: int) -> list[PlaylistItem]:
    if tracks is None:
        numbers = [context.rng.randrange(context.catalogue.tracks) for _ in range(count)]
    else:
        numbers = [context.find("track", track) for track in tracks]
    return [PlaylistItem("track", number, context.now, context.library.id) for number in numbers]


def _mark_changed(context: EditContext, target: Playlist) -> EditResult:
    target.mark_changed(context.moment, context.world.snapshot_lag)
    return _result(context, target)


def _result(context: EditContext, target: Playlist) -> EditResult:
    snapshot = target.snapshot_id(context.moment + context.world.snapshot_lag)
    return {"playlist_id": target.id, "snapshot_id": snapshot, "total_items": len(target.rows)}
