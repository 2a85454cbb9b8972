"""What people do to their playlists. Every edit of one playlist gives it a new snapshot id."""

from collections.abc import Sequence

from spotisync.simulator.world import names
from spotisync.simulator.world.edits import Done, Hand
from spotisync.simulator.world.ids import Dice
from spotisync.simulator.world.library import Playlist, Row


def create_playlist(hand: Hand, name: str | None = None, tracks: Sequence[str] | None = None) -> Done:
    """Make a playlist at the top of the list."""
    number = 900_000_000 + len(hand.world.playlists)
    made = Playlist(
        id=hand.id("playlist", number),
        name=names.playlist(Dice(f"new:{number}")) if name is None else name,
        description="",
        owner_id=hand.library.id,
        owner_name=hand.library.display_name,
        pictures="null",
        rows=_rows(hand, tracks, 0),
    )
    hand.world.playlists[made.id] = made
    hand.library.playlists.insert(0, made.id)
    return _done(hand, made)


def delete_playlist(hand: Hand, playlist: str | None = None) -> Done:
    """Unfollow a playlist, which is all that deleting means; others keep it."""
    that = _pick(hand, playlist, own=False)
    hand.library.playlists.remove(that.id)
    hand.library.hidden_playlists.discard(that.id)
    return {"playlist_id": that.id}


def follow_playlist(hand: Hand, playlist: str) -> Done:
    that = hand.world.playlists[playlist]
    hand.library.playlists.insert(0, that.id)
    return {"playlist_id": that.id}


def rename_playlist(hand: Hand, playlist: str | None = None, name: str | None = None) -> Done:
    that = _pick(hand, playlist)
    that.name = f"{that.name[:40]} ({hand.rng.randrange(1_000)})" if name is None else name
    return _changed(hand, that)


def move_playlist(hand: Hand, playlist: str | None = None, to: int = 0) -> Done:
    """Move a playlist in the list (`to` counts null rows); the playlist itself stays as it is."""
    that = _pick(hand, playlist, own=False)
    hand.library.playlists.remove(that.id)
    hand.library.playlists.insert(to, that.id)
    return _done(hand, that)


def hide_playlist(hand: Hand, playlist: str | None = None) -> Done:
    """List a playlist as null, as Spotify does with some of its own. It is in the list all the same."""
    that = _pick(hand, playlist, own=False)
    hand.library.hidden_playlists.add(that.id)
    return {"playlist_id": that.id}


def show_playlist(hand: Hand, playlist: str | None = None) -> Done:
    """List a hidden playlist as it was."""
    id_ = hand.rng.choice(sorted(hand.library.hidden_playlists)) if playlist is None else playlist
    hand.library.hidden_playlists.remove(id_)
    return {"playlist_id": id_}


def withhold(hand: Hand, playlist: str | None = None, fields: Sequence[str] = ("snapshot_id",)) -> Done:
    """Let lists of playlists say null to these fields ("total" and "owner" too) from now on."""
    that = _pick(hand, playlist)
    that.withheld = tuple(fields)
    return {"playlist_id": that.id, "fields": list(fields)}


def add_items(
    hand: Hand,
    playlist: str | None = None,
    tracks: Sequence[str] | None = None,
    count: int = 3,
    position: int | None = None,
) -> Done:
    """Add tracks at the end or at a position, all in one second."""
    that = _pick(hand, playlist)
    place = len(that.rows) if position is None else position
    that.rows[place:place] = _rows(hand, tracks, count)
    return _changed(hand, that)


def remove_items(
    hand: Hand, playlist: str | None = None, positions: Sequence[int] | None = None, count: int = 1
) -> Done:
    that = _pick(hand, playlist)
    if positions is None:
        positions = hand.rng.sample(range(len(that.rows)), min(count, len(that.rows)))
    that.rows = [row for place, row in enumerate(that.rows) if place not in positions]
    return _changed(hand, that)


def reorder_items(
    hand: Hand, playlist: str | None = None, start: int = 0, length: int = 1, to: int | None = None
) -> Done:
    """Move `length` rows so that they stand before what is now at `to` (default: at the end)."""
    that = _pick(hand, playlist)
    part, rest = that.rows[start : start + length], that.rows[:start] + that.rows[start + length :]
    place = len(rest) if to is None else to - length if to > start else to
    that.rows = rest[:place] + part + rest[place:]
    return _changed(hand, that)


def _pick(hand: Hand, id_: str | None, *, own: bool = True) -> Playlist:
    """Find a playlist in the account's list, or pick one (with `own` one that it may edit)."""
    listed = [hand.world.playlists[each] for each in hand.library.playlists if each is not None]
    fitting = [each for each in listed if id_ == each.id or (id_ is None and (not own or _mine(hand, each)))]
    if not fitting:
        raise LookupError(f"no playlist {id_ or ''} in the list")
    return hand.rng.choice(fitting)


def _mine(hand: Hand, that: Playlist) -> bool:
    return that.owner_id == hand.library.id and that.id not in hand.library.refusals


def _rows(hand: Hand, tracks: Sequence[str] | None, count: int) -> list[Row]:
    if tracks is None:
        numbers = [hand.rng.randrange(hand.catalogue.tracks) for _ in range(count)]
    else:
        numbers = [hand.find("track", track) for track in tracks]
    return [Row("track", number, hand.now, hand.library.id) for number in numbers]


def _changed(hand: Hand, that: Playlist) -> Done:
    that.changed(hand.world.now(), hand.world.snapshot_lag)
    return _done(hand, that)


def _done(hand: Hand, that: Playlist) -> Done:
    snapshot = that.snapshot_id(hand.world.now() + hand.world.snapshot_lag)
    return {"playlist_id": that.id, "snapshot_id": snapshot, "total_items": len(that.rows)}
