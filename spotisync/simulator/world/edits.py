"""Edits of a library: saved tracks, albums, shows, artists, plays.

Each edit takes ids or chooses suitable objects at random, and returns the ids of what it changed.
"""

from bisect import insort
from collections.abc import Sequence
from random import Random
from typing import Any

from spotisync.simulator.world.catalogue import FIRST_AUDIOBOOK, TWIN
from spotisync.simulator.world.library import Library, PlayedTrack
from spotisync.simulator.world.state import WorldState
from spotisync.simulator.world.times import iso, iso_ms

EditResult = dict[str, Any]


class EditContext:
    """What an edit works on: the world, one library, the random generator for choices, and when (default: now)."""

    def __init__(self, world: WorldState, library: Library, rng: Random, moment: float | None = None) -> None:
        self.world, self.library, self.rng = world, library, rng
        self.catalogue = world.catalogue
        self.moment = world.now() if moment is None else moment

    @property
    def now(self) -> int:
        return int(self.moment)

    def find(self, kind: str, id_: str) -> int:
        number = self.catalogue.find(kind, id_)
        if number is None:
            raise LookupError(f"no {kind} {id_}")
        return number

    def id(self, kind: str, number: int) -> str:
        return self.catalogue.ids.of(kind, number)

    def saved_track(self, id_: str | None) -> int:
        """Find a saved track by id, or choose one."""
        saved = self.library.saved
        if id_ is not None:
            track = self.find("track", id_)
            if track not in saved:
                raise LookupError(f"{id_} is not saved")
            return track
        for _ in range(1_000):
            if saved and (track := saved[self.rng.randrange(len(saved))][1]) >= 0:
                return track
        raise LookupError("no track is saved")

    def new_track(self, id_: str | None) -> int:
        """Find a track by id that is not saved, or choose one."""
        if id_ is not None:
            track = self.find("track", id_)
            if track in self.library.saved:
                raise LookupError(f"{id_} is already saved")
            return track
        for _ in range(1_000):
            if (track := self.rng.randrange(self.catalogue.tracks)) not in self.library.saved:
                return track
        raise LookupError("every track is saved")


def like(context: EditContext, track: str | None = None, at: int | None = None) -> EditResult:
    return _save(context, context.new_track(track), context.now if at is None else at)


def _save(context: EditContext, track: int, at: int) -> EditResult:
    context.library.saved.add(at, track)
    return {"track_id": context.id("track", track), "added_at": iso(at)}


def unlike(context: EditContext, track: str | None = None) -> EditResult:
    number = context.saved_track(track)
    context.library.saved.remove(number)
    context.library.hidden.pop(number, None)
    return {"track_id": context.id("track", number)}


def relike(context: EditContext, track: str | None = None) -> EditResult:
    """Remove a track and save it again, which moves it to the top."""
    number = context.saved_track(track)
    context.library.saved.remove(number)
    context.library.hidden.pop(number, None)
    return _save(context, number, context.now)


def like_album(context: EditContext, album: str | None = None) -> EditResult:
    """Save all tracks of an album in the same second."""
    number = context.rng.randrange(context.catalogue.albums) if album is None else context.find("album", album)
    unsaved = [track for track in context.catalogue.tracks_of(number) if track not in context.library.saved]
    if not unsaved:
        raise LookupError("the whole album is already saved")
    at = context.now
    for track in unsaved:
        context.library.saved.add(at, track)
    tracks = [context.id("track", track) for track in unsaved]
    return {"album_id": context.id("album", number), "track_ids": tracks, "added_at": iso(at)}


def insert_old(context: EditContext, track: str | None = None, at: int | None = None) -> EditResult:
    """Insert a row deep in the list, with an old date."""
    number = context.new_track(track)
    if at is None:
        newest, oldest = context.library.saved[0][0], context.library.saved[-1][0]
        at = context.rng.randrange(oldest, newest + 1)
    return _save(context, number, at)


def relink(context: EditContext, track: str | None = None) -> EditResult:
    """Replace a saved track by its twin, in place: same recording, same date."""
    number = context.saved_track(track)
    twin = number - TWIN if number >= TWIN else number + TWIN
    for at in context.library.saved.remove(number):
        context.library.saved.add(at, twin)
    return {"track_id": context.id("track", number), "new_track_id": context.id("track", twin)}


def duplicate(context: EditContext, track: str | None = None, at: int | None = None) -> EditResult:
    """List a saved track a second time with another date, as happens when twins become one."""
    oldest = min(added for added, _ in context.library.saved)
    return _save(context, context.saved_track(track), oldest - 1 if at is None else at)


def hide_track(context: EditContext, track: str | None = None, *, whole: bool = False) -> EditResult:
    """List a saved track as a row without a track, or (`whole`) as null. It stays saved."""
    number = context.saved_track(track)
    context.library.hidden[number] = whole
    return {"track_id": context.id("track", number)}


def show_track(context: EditContext, track: str | None = None) -> EditResult:
    """List a hidden track normally again."""
    number = context.rng.choice(list(context.library.hidden)) if track is None else context.find("track", track)
    del context.library.hidden[number]
    return {"track_id": context.id("track", number)}


def grey_out(context: EditContext, track: str | None = None, reason: str = "market") -> EditResult:
    """Make a track unplayable, for all accounts; by default a saved one. `reason`: of the restriction."""
    number = context.saved_track(None) if track is None else context.find("track", track)
    context.catalogue.unplayable[number] = reason
    return {"track_id": context.id("track", number), "reason": reason}


def make_playable(context: EditContext, track: str | None = None) -> EditResult:
    """Make a track that is greyed out playable again."""
    greyed = sorted(context.catalogue.unplayable)
    number = context.rng.choice(greyed) if track is None else context.find("track", track)
    del context.catalogue.unplayable[number]
    return {"track_id": context.id("track", number)}


def hide_album(context: EditContext, album: str | None = None) -> EditResult:
    """List a saved album as null. It stays saved."""
    known = [each for _, each in context.library.albums if each is not None]
    number = context.rng.choice(known) if album is None else context.find("album", album)
    if number not in known:
        raise LookupError(f"{album} is not saved")
    context.library.hidden_albums.add(number)
    return {"album_id": context.id("album", number)}


def show_album(context: EditContext, album: str | None = None) -> EditResult:
    """List a hidden album normally again."""
    hidden = sorted(context.library.hidden_albums)
    number = context.rng.choice(hidden) if album is None else context.find("album", album)
    context.library.hidden_albums.remove(number)
    return {"album_id": context.id("album", number)}


def withdraw(context: EditContext, kind: str = "artist", id: str | None = None) -> EditResult:  # noqa: A002 (a key of the control API)
    """Make look-ups of an artist or album fail from now on; tracks still name it."""
    if kind not in {"artist", "album"}:
        raise LookupError(f"{kind}s are not looked up")
    number = _choose_new(context, kind) if id is None else context.find(kind, id)
    context.catalogue.withdrawn.add((kind, number))
    return {"kind": kind, "id": context.id(kind, number)}


def drift(context: EditContext) -> EditResult:
    """Make every artist and album a little more popular, and give some artists another genre."""
    context.catalogue.drift()
    return {}


def save_album(context: EditContext, album: str | None = None) -> EditResult:
    number = _choose_new(context, "album") if album is None else context.find("album", album)
    context.library.albums.insert(0, (context.now, number))
    return {"album_id": context.id("album", number)}


def unsave_album(context: EditContext, album: str | None = None) -> EditResult:
    known = [each for _, each in context.library.albums if each is not None]
    number = context.rng.choice(known) if album is None else context.find("album", album)
    if number not in known:
        raise LookupError(f"{album} is not saved")
    context.library.albums = [row for row in context.library.albums if row[1] != number]
    context.library.hidden_albums.discard(number)
    return {"album_id": context.id("album", number)}


def save_show(context: EditContext, show: str | None = None) -> EditResult:
    number = _choose_spoken(context, "show", show, context.library.shows)
    context.library.shows.insert(0, (context.now, number))
    return {"show_id": context.id("show", number)}


def unsave_show(context: EditContext, show: str | None = None) -> EditResult:
    number = _saved_spoken(context, "show", show, [row for row in context.library.shows if not _is_book(row[1])])
    context.library.shows = [row for row in context.library.shows if row[1] != number]
    return {"show_id": context.id("show", number)}


def save_episode(context: EditContext, episode: str | None = None) -> EditResult:
    number = _choose_spoken(context, "episode", episode, context.library.episodes)
    context.library.episodes.insert(0, (context.now, number))
    return {"episode_id": context.id("episode", number)}


def unsave_episode(context: EditContext, episode: str | None = None) -> EditResult:
    number = _saved_spoken(context, "episode", episode, context.library.episodes)
    context.library.episodes = [row for row in context.library.episodes if row[1] != number]
    return {"episode_id": context.id("episode", number)}


def save_audiobook(context: EditContext, audiobook: str | None = None) -> EditResult:
    """Save an audiobook, which Spotify lists among the shows too."""
    number = _choose_spoken(context, "show", audiobook, context.library.shows, FIRST_AUDIOBOOK)
    context.library.shows.insert(0, (context.now, number))
    context.library.books.insert(0, number)
    return {"audiobook_id": context.id("show", number)}


def unsave_audiobook(context: EditContext, audiobook: str | None = None) -> EditResult:
    number = _saved_spoken(context, "show", audiobook, [row for row in context.library.shows if _is_book(row[1])])
    context.library.shows = [row for row in context.library.shows if row[1] != number]
    context.library.books = [book for book in context.library.books if book != number]
    return {"audiobook_id": context.id("show", number)}


def _is_book(show: int | None) -> bool:
    return show is not None and show >= FIRST_AUDIOBOOK


def _choose_spoken(
    context: EditContext, kind: str, id_: str | None, saved: Sequence[tuple[int, int | None]], first: int = 0
) -> int:
    """Find a show or episode by id that is not saved, or choose one from number `first` on."""
    known = {number for _, number in saved}
    number = _parse_spoken(context, kind, id_) if id_ else first + context.rng.randrange(10_000)
    if number in known:
        raise LookupError(f"{kind} {id_ or number} is already saved")
    return number


def _saved_spoken(context: EditContext, kind: str, id_: str | None, saved: Sequence[tuple[int, int | None]]) -> int:
    known = [number for _, number in saved if number is not None]
    number = _parse_spoken(context, kind, id_) if id_ else context.rng.choice(known)
    if number not in known:
        raise LookupError(f"{kind} {id_} is not saved")
    return number


def _parse_spoken(context: EditContext, kind: str, id_: str) -> int:
    number = context.catalogue.ids.number(kind, id_)
    if number is None:
        raise LookupError(f"no {kind} {id_}")
    return number


def follow(context: EditContext, artist: str | None = None) -> EditResult:
    number = _choose_new(context, "artist") if artist is None else context.find("artist", artist)
    artist_row = (context.id("artist", number), number)
    if artist_row not in context.library.followed:
        insort(context.library.followed, artist_row)
    return {"artist_id": artist_row[0]}


def unfollow(context: EditContext, artist: str | None = None) -> EditResult:
    known = dict(context.library.followed)
    id_ = context.rng.choice(list(known)) if artist is None else artist
    context.library.followed.remove((id_, known[id_]))
    return {"artist_id": id_}


def _choose_new(context: EditContext, kind: str) -> int:
    """Choose an artist or album that can be looked up and that the account does not have yet."""
    albums = {album for _, album in context.library.albums}
    known = albums if kind == "album" else {artist for _, artist in context.library.followed}
    count = context.catalogue.albums if kind == "album" else context.catalogue.main_artists
    for _ in range(1_000):
        number = context.rng.randrange(count) * (1 if kind == "album" else 2)
        if number not in known and not context.catalogue.is_gone(kind, number):
            return number
    raise LookupError(f"the account has every {kind}")


def play(
    context: EditContext, track: str | None = None, at_ms: int | None = None, ms_played: int | None = None
) -> EditResult:
    """Add a play that ended now, or at `at_ms`. `ms_played`: how much of the track was heard, by default all of it."""
    number = context.saved_track(None) if track is None else context.find("track", track)
    at = int(context.moment * 1000) if at_ms is None else at_ms
    insort(context.library.plays, PlayedTrack(at, number, None, ms_played), key=lambda each: each.played_at)
    return {"track_id": context.id("track", number), "played_at": iso_ms(at)}
