"""What people do to their library between two requests: saved tracks, albums, artists, plays.

Each edit takes what it needs by id or picks something fitting, and says in ids what it did.
"""

from bisect import insort
from random import Random
from typing import TYPE_CHECKING, Any

from spotisync.simulator.world.catalogue import TWIN
from spotisync.simulator.world.library import Library, Play
from spotisync.simulator.world.times import iso, iso_ms

if TYPE_CHECKING:
    from spotisync.simulator.world.world import World

Done = dict[str, Any]


class Hand:
    """One edit under way: which world, whose library, and the dice for everything not said."""

    def __init__(self, world: "World", library: Library, rng: Random) -> None:
        self.world, self.library, self.rng = world, library, rng
        self.catalogue = world.catalogue

    @property
    def now(self) -> int:
        return int(self.world.now())

    def find(self, kind: str, id_: str) -> int:
        number = self.catalogue.find(kind, id_)
        if number is None:
            raise LookupError(f"no {kind} {id_}")
        return number

    def id(self, kind: str, number: int) -> str:
        return self.catalogue.ids.of(kind, number)

    def saved_track(self, id_: str | None) -> int:
        """Find a saved track, or pick one."""
        saved = self.library.saved
        if id_ is not None:
            track = self.find("track", id_)
            if track not in saved:
                raise LookupError(f"{id_} is not saved")
            return track
        for _ in range(1_000):
            if saved and (track := saved[self.rng.randrange(len(saved))][1]) >= 0:
                return track
        raise LookupError("nothing is saved")

    def new_track(self, id_: str | None) -> int:
        """Find a track that is not saved, or pick one."""
        if id_ is not None:
            track = self.find("track", id_)
            if track in self.library.saved:
                raise LookupError(f"{id_} is saved already")
            return track
        for _ in range(1_000):
            if (track := self.rng.randrange(self.catalogue.tracks)) not in self.library.saved:
                return track
        raise LookupError("everything is saved")


def like(hand: Hand, track: str | None = None, at: int | None = None) -> Done:
    return _save(hand, hand.new_track(track), hand.now if at is None else at)


def _save(hand: Hand, track: int, at: int) -> Done:
    hand.library.saved.add(at, track)
    return {"track_id": hand.id("track", track), "added_at": iso(at)}


def unlike(hand: Hand, track: str | None = None) -> Done:
    number = hand.saved_track(track)
    hand.library.saved.remove(number)
    hand.library.hidden.pop(number, None)
    return {"track_id": hand.id("track", number)}


def relike(hand: Hand, track: str | None = None) -> Done:
    """Remove a track and save it again: it moves to the top."""
    number = hand.saved_track(track)
    hand.library.saved.remove(number)
    hand.library.hidden.pop(number, None)
    return _save(hand, number, hand.now)


def like_album(hand: Hand, album: str | None = None) -> Done:
    """Save all tracks of an album in one second."""
    number = hand.rng.randrange(hand.catalogue.albums) if album is None else hand.find("album", album)
    fresh = [track for track in hand.catalogue.tracks_of(number) if track not in hand.library.saved]
    if not fresh:
        raise LookupError("all of that album is saved already")
    at = hand.now
    for track in fresh:
        hand.library.saved.add(at, track)
    tracks = [hand.id("track", track) for track in fresh]
    return {"album_id": hand.id("album", number), "track_ids": tracks, "added_at": iso(at)}


def insert_old(hand: Hand, track: str | None = None, at: int | None = None) -> Done:
    """Let a row appear deep in the list, with an old date."""
    number = hand.new_track(track)
    if at is None:
        newest, oldest = hand.library.saved[0][0], hand.library.saved[-1][0]
        at = hand.rng.randrange(oldest, newest + 1)
    return _save(hand, number, at)


def relink(hand: Hand, track: str | None = None) -> Done:
    """Change the id of a saved track to its twin's, in place: same recording, same date."""
    number = hand.saved_track(track)
    twin = number - TWIN if number >= TWIN else number + TWIN
    for at in hand.library.saved.remove(number):
        hand.library.saved.add(at, twin)
    return {"track_id": hand.id("track", number), "new_track_id": hand.id("track", twin)}


def duplicate(hand: Hand, track: str | None = None, at: int | None = None) -> Done:
    """Let a saved track stand in the list a second time, as twins do that became one."""
    return _save(hand, hand.saved_track(track), hand.library.saved[-1][0] if at is None else at)


def hide_track(hand: Hand, track: str | None = None, *, whole: bool = False) -> Done:
    """List a saved track as a row without a track, or (`whole`) as null. It is saved all the same."""
    number = hand.saved_track(track)
    hand.library.hidden[number] = whole
    return {"track_id": hand.id("track", number)}


def show_track(hand: Hand, track: str | None = None) -> Done:
    """List a hidden track as it was."""
    number = hand.rng.choice(list(hand.library.hidden)) if track is None else hand.find("track", track)
    del hand.library.hidden[number]
    return {"track_id": hand.id("track", number)}


def withdraw(hand: Hand, kind: str = "artist", id: str | None = None) -> Done:  # noqa: A002 (it is one)
    """Let an artist or album be gone for look-ups from now on; tracks still name it."""
    if kind not in {"artist", "album"}:
        raise LookupError(f"{kind}s are not looked up")
    number = _known(hand, kind) if id is None else hand.find(kind, id)
    hand.catalogue.withdrawn.add((kind, number))
    return {"kind": kind, "id": hand.id(kind, number)}


def drift(hand: Hand) -> Done:
    """Every artist and album becomes a little more popular, as time does it; some artists are of a genre more."""
    hand.catalogue.drift()
    return {}


def save_album(hand: Hand, album: str | None = None) -> Done:
    number = _known(hand, "album") if album is None else hand.find("album", album)
    hand.library.albums.insert(0, (hand.now, number))
    return {"album_id": hand.id("album", number)}


def unsave_album(hand: Hand, album: str | None = None) -> Done:
    known = [each for _, each in hand.library.albums if each is not None]
    number = hand.rng.choice(known) if album is None else hand.find("album", album)
    if number not in known:
        raise LookupError(f"{album} is not saved")
    hand.library.albums = [row for row in hand.library.albums if row[1] != number]
    return {"album_id": hand.id("album", number)}


def follow(hand: Hand, artist: str | None = None) -> Done:
    number = _known(hand, "artist") if artist is None else hand.find("artist", artist)
    entry = (hand.id("artist", number), number)
    if entry not in hand.library.followed:
        insort(hand.library.followed, entry)
    return {"artist_id": entry[0]}


def unfollow(hand: Hand, artist: str | None = None) -> Done:
    known = dict(hand.library.followed)
    id_ = hand.rng.choice(list(known)) if artist is None else artist
    hand.library.followed.remove((id_, known[id_]))
    return {"artist_id": id_}


def _known(hand: Hand, kind: str) -> int:
    """Pick an artist or album that can be looked up and that the account does not have yet."""
    albums = {album for _, album in hand.library.albums}
    have = albums if kind == "album" else {artist for _, artist in hand.library.followed}
    most = hand.catalogue.albums if kind == "album" else hand.catalogue.main_artists
    for _ in range(1_000):
        number = hand.rng.randrange(most) * (1 if kind == "album" else 2)
        if number not in have and not hand.catalogue.gone(kind, number):
            return number
    raise LookupError(f"no {kind} is left")


def play(hand: Hand, track: str | None = None, at_ms: int | None = None, ms_played: int | None = None) -> Done:
    """End a play now, or at `at_ms`: a late arrival is sorted in. `ms_played`: not all of the track was heard."""
    number = hand.saved_track(None) if track is None else hand.find("track", track)
    at = int(hand.world.now() * 1000) if at_ms is None else at_ms
    insort(hand.library.plays, Play(at, number, None, ms_played), key=lambda each: each.played_at)
    return {"track_id": hand.id("track", number), "played_at": iso_ms(at)}
