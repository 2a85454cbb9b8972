"""Spotify's JSON to rows. Takes every oddity it is known to send; what has no readable shape at all is `Unreadable`."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from spotisync.core.plays import Play, RecentPage
from spotisync.core.regimes import Regime, regime_of_lookup, regime_of_playlists
from spotisync.core.rows import (
    AlbumRow,
    ArtistRow,
    CatalogueRows,
    ListingRow,
    NullRow,
    PlaylistItemRow,
    PlaylistRow,
    SavedTrackRow,
    TrackRow,
)
from spotisync.errors import Transient

T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_OF = {4: "-01-01", 7: "-01", 10: ""}
INT4_MAX = 2**31 - 1


class Unreadable(Transient):
    """A 200 whose body is not what it should be. Never taken for an empty page."""


# ---- values ---------------------------------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """A string that Postgres takes: it has no NUL, and UTF-8 has no lone surrogates."""
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def number(value: Any) -> int | None:
    """Spotify sends some whole numbers as floats (`followers.total: 33920.0`)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= INT4_MAX:
        return None
    return int(value)


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def moment(value: Any) -> datetime | None:
    """In UTC. What no calendar has, or is older than computers, is none."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EPOCH else None


def first_day(release_date: str | None) -> date | None:
    """The first day that `2007`, `2007-03` or `2007-03-14` can be. `0000` (it happens) and nonsense: none."""
    if release_date is None or not re.fullmatch(r"\d{4}(-\d\d){0,2}", release_date):
        return None
    try:
        return date.fromisoformat(release_date + FIRST_OF[len(release_date)])
    except ValueError:
        return None


def largest_image(images: Any) -> str | None:
    """Spotify lists the widest first, but playlist covers have no size at all: then the first one."""
    usable = [image for image in _objects(images) if text(image.get("url"))]
    return text(max(usable, key=lambda image: number(image.get("width")) or 0)["url"]) if usable else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is(kind: str, found: dict[str, Any]) -> bool:
    return found.get("type") in (None, kind)


# ---- catalogue objects ----------------------------------------------------------------------------------------------


def artist(found: dict[str, Any]) -> ArtistRow | None:
    id_ = text(found.get("id"))
    # An episode dressed as a track has its show where the artist belongs.
    if not id_ or not _is("artist", found):
        return None
    genres = found.get("genres")
    return ArtistRow(
        id=id_,
        name=text(found.get("name")),
        uri=text(found.get("uri")) or f"spotify:artist:{id_}",
        genres=tuple(g for g in map(text, genres) if g) if isinstance(genres, list) else None,
        popularity=number(found.get("popularity")),
        followers=number(_object(found.get("followers")).get("total")),
        image_url=largest_image(found.get("images")),
    )


def album(found: dict[str, Any], into: CatalogueRows) -> AlbumRow | None:
    """The album as a row, its artists put into the catalogue."""
    id_ = text(found.get("id"))
    if not id_ or not _is("album", found):
        return None
    release_date = text(found.get("release_date"))
    row = AlbumRow(
        id=id_,
        name=text(found.get("name")),
        uri=text(found.get("uri")) or f"spotify:album:{id_}",
        album_type=text(found.get("album_type")),
        release_date=release_date,
        release_date_precision=text(found.get("release_date_precision")),
        released_on=first_day(release_date),
        total_tracks=number(found.get("total_tracks")),
        label=text(found.get("label")) or None,
        popularity=number(found.get("popularity")),
        upc=text(_object(found.get("external_ids")).get("upc")),
        image_url=largest_image(found.get("images")),
        artist_ids=_artists(found, into),
    )
    into.add_album(row)
    return row


def track(found: dict[str, Any], into: CatalogueRows) -> TrackRow | None:
    """The track as a row, it, its album and all artists put into the catalogue."""
    id_ = text(found.get("id"))
    if not id_ or not _is("track", found):
        return None
    on = album(_object(found.get("album")), into)
    row = TrackRow(
        id=id_,
        name=text(found.get("name")),
        uri=text(found.get("uri")) or f"spotify:track:{id_}",
        album_id=on.id if on else None,
        duration_ms=number(found.get("duration_ms")),
        explicit=flag(found.get("explicit")),
        disc_number=number(found.get("disc_number")),
        track_number=number(found.get("track_number")),
        isrc=text(_object(found.get("external_ids")).get("isrc")),
        popularity=number(found.get("popularity")),
        artist_ids=_artists(found, into),
    )
    into.add_track(row)
    return row


def _artists(found: dict[str, Any], into: CatalogueRows) -> tuple[str, ...] | None:
    if not isinstance(found.get("artists"), list):
        return None
    rows = [row for row in map(artist, _objects(found["artists"])) if row]
    for row in rows:
        into.add_artist(row)
    return tuple(row.id for row in rows)


# ---- replies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListPage:
    """One page of a list: where it began, how many rows Spotify sent (null ones too), and how many there are in all."""

    offset: int
    length: int
    total: int
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)


@dataclass(frozen=True)
class SavedTracksPage(ListPage):
    """`dates`: of all rows, null ones too; EPOCH where there is none."""

    rows: tuple[SavedTrackRow | None, ...] = ()
    dates: tuple[datetime, ...] = ()
    nulls: tuple[NullRow, ...] = ()


@dataclass(frozen=True)
class PlaylistsPage(ListPage):
    rows: tuple[PlaylistRow | None, ...] = ()
    regime: Regime | None = None


@dataclass(frozen=True)
class SavedPage(ListPage):
    """Saved albums or followed artists. `full`: those that came with all that a look-up would tell.

    `after`: where a list without offsets goes on; None at its end.
    """

    rows: tuple[ListingRow | None, ...] = ()
    full: frozenset[str] = frozenset()
    after: str | None = None


@dataclass(frozen=True)
class PlaylistItemsPage(ListPage):
    rows: tuple[PlaylistItemRow, ...] = ()


def _page(body: Any) -> tuple[list[Any], int]:
    """The rows and the total of a page. A page without either is unreadable, not empty."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise Unreadable("Spotify sent a page without a list of items")
    total = number(body.get("total"))
    if total is None or total < 0:
        raise Unreadable("Spotify sent a page without a total")
    return body["items"], total


def saved_tracks(body: Any, offset: int) -> SavedTracksPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    rows = tuple(_saved_track(_object(item), catalogue) for item in items)
    nulls = tuple(
        NullRow(_added_at(_object(item)), total - position)
        for position, (item, row) in enumerate(zip(items, rows, strict=True), start=offset)
        if row is None
    )
    dates = tuple(_added_at(_object(item)) for item in items)
    return SavedTracksPage(offset, len(items), total, catalogue, rows, dates, nulls)


def _saved_track(item: dict[str, Any], into: CatalogueRows) -> SavedTrackRow | None:
    row = track(_object(item.get("track")), into)
    return SavedTrackRow(row.id, _added_at(item)) if row else None


def _added_at(item: dict[str, Any]) -> datetime:
    return moment(item.get("added_at")) or EPOCH


def saved_albums(body: Any, offset: int) -> SavedPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    found = [_object(_object(item).get("album")) for item in items]
    met = [album(each, catalogue) for each in found]
    rows = tuple(
        ListingRow(row.id, _added_at(_object(item))) if row else None for item, row in zip(items, met, strict=True)
    )
    return SavedPage(offset, len(items), total, catalogue, rows, _full(rows, found))


def followed_artists(body: Any, offset: int) -> SavedPage:
    """The list goes on after the last id. Whether it does is told by a cursor; without one, nothing says it is over."""
    body = _object(body).get("artists")
    items, total = _page(body)
    cursors = body.get("cursors")
    after = text(_object(cursors).get("after")) or None
    if after is None and offset + len(items) < total and "after" not in _object(cursors):
        raise Unreadable("Spotify sent a page of followed artists that does not say where the next one begins")
    catalogue = CatalogueRows()
    rows = tuple(_followed(_object(item), catalogue) for item in items)
    return SavedPage(offset, len(items), total, catalogue, rows, _full(rows, items), after)


def _followed(found: dict[str, Any], into: CatalogueRows) -> ListingRow | None:
    id_ = _artist_into(found, into)
    return ListingRow(id_) if id_ else None


def _full(rows: Sequence[ListingRow | None], found: Sequence[Any]) -> frozenset[str]:
    return frozenset(row.id for row, each in zip(rows, found, strict=True) if row and regime_of_lookup(each) == "full")


def playlists(body: Any, offset: int) -> PlaylistsPage:
    items, total = _page(body)
    rows = tuple(playlist(_object(item)) for item in items)
    return PlaylistsPage(offset, len(items), total, rows=rows, regime=regime_of_playlists(items))


def playlist(found: dict[str, Any]) -> PlaylistRow | None:
    id_ = text(found.get("id"))
    if not id_:
        return None
    owner = _object(found.get("owner"))
    contents = _object(found.get("items")) or _object(found.get("tracks"))
    return PlaylistRow(
        id=id_,
        name=text(found.get("name")),
        description=text(found.get("description")),
        owner_id=text(owner.get("id")),
        owner_name=text(owner.get("display_name")),
        public=flag(found.get("public")),
        collaborative=flag(found.get("collaborative")),
        snapshot_id=text(found.get("snapshot_id")) or None,
        total_items=number(contents.get("total")),
        image_url=largest_image(found.get("images")),
    )


def playlist_items(body: Any, offset: int) -> PlaylistItemsPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    rows = tuple(
        _playlist_item(_object(item), position, catalogue) for position, item in enumerate(items, start=offset)
    )
    return PlaylistItemsPage(offset, len(items), total, catalogue, rows)


def _playlist_item(item: dict[str, Any], position: int, into: CatalogueRows) -> PlaylistItemRow:
    # New replies say `item`, older ones `track`; the full regime sends both. (The object within has an own
    # boolean called `track`: only an object counts.)
    found = _object(item.get("item")) or _object(item.get("track"))
    uri = text(found.get("uri"))
    row = PlaylistItemRow(
        position=position,
        kind="unavailable",
        uri=uri,
        name=text(found.get("name")),
        added_at=moment(item.get("added_at")),
        added_by=text(_object(item.get("added_by")).get("id")) or None,
    )
    if item.get("is_local") is True or found.get("is_local") is True:
        return _of_kind(row, "local")
    if _is_episode(found, uri):
        return _of_kind(row, "episode")
    met = track(found, into) if found else None
    return _of_kind(row, "track", met.id) if met else row


def _is_episode(found: dict[str, Any], uri: str | None) -> bool:
    return found.get("type") == "episode" or found.get("episode") is True or (uri or "").startswith("spotify:episode:")


def _of_kind(row: PlaylistItemRow, kind: Any, track_id: str | None = None) -> PlaylistItemRow:
    return PlaylistItemRow(**{**vars(row), "kind": kind, "track_id": track_id})


def recently_played(body: Any) -> RecentPage:
    """It has no total, and no cursors when it is empty."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise Unreadable("Spotify sent plays without rows")
    items, catalogue = body["items"], CatalogueRows()
    plays = tuple(play for play in (_play(_object(item), catalogue) for item in items) if play)
    return RecentPage(len(items), catalogue, plays)


def _play(item: dict[str, Any], into: CatalogueRows) -> Play | None:
    played_at = moment(item.get("played_at"))
    row = track(_object(item.get("track")), into) if played_at else None
    context_uri = text(_object(item.get("context")).get("uri")) or None
    return Play(row.id, played_at, "recent", context_uri=context_uri) if row and played_at else None


@dataclass(frozen=True)
class LookupResult:
    """What a look-up by ids brought: rows, and the ids that Spotify no longer knows."""

    catalogue: CatalogueRows
    known: frozenset[str]
    gone: frozenset[str]


def artists_by_id(body: Any, asked: Sequence[str]) -> LookupResult:
    return _by_id(body, "artists", asked, _artist_into)


def albums_by_id(body: Any, asked: Sequence[str]) -> LookupResult:
    return _by_id(body, "albums", asked, _album_into)


def artist_by_id(body: Any, asked: Sequence[str]) -> LookupResult:
    return _one_by_id(body, asked, _artist_into)


def album_by_id(body: Any, asked: Sequence[str]) -> LookupResult:
    return _one_by_id(body, asked, _album_into)


def _artist_into(found: dict[str, Any], catalogue: CatalogueRows) -> str | None:
    row = artist(found)
    if row:
        catalogue.add_artist(row)
    return row.id if row else None


def _album_into(found: dict[str, Any], catalogue: CatalogueRows) -> str | None:
    row = album(found, catalogue)
    return row.id if row else None


def _one_by_id(
    body: Any, asked: Sequence[str], into: Callable[[dict[str, Any], CatalogueRows], str | None]
) -> LookupResult:
    """An object without an id answers nothing, and proves nothing either; what is gone is refused (404)."""
    if not isinstance(body, dict):
        raise Unreadable("Spotify answered a look-up with something else than an object")
    catalogue = CatalogueRows()
    return LookupResult(catalogue, frozenset(asked) if into(body, catalogue) else frozenset(), frozenset())


def _by_id(
    body: Any, key: str, asked: Sequence[str], into: Callable[[dict[str, Any], CatalogueRows], str | None]
) -> LookupResult:
    """Entries answer the ids in order; null says that the id is gone. A list of another length proves nothing."""
    entries: Iterable[Any] | None = _object(body).get(key)
    if not isinstance(entries, list) or len(entries) != len(asked):
        raise Unreadable(f"Spotify answered {len(asked)} {key} with something else")
    catalogue = CatalogueRows()
    known: set[str] = set()
    for id_, entry in zip(asked, entries, strict=True):
        if isinstance(entry, dict) and into(entry, catalogue):
            known.add(id_)
    gone = {id_ for id_, entry in zip(asked, entries, strict=True) if entry is None}
    return LookupResult(catalogue, frozenset(known), frozenset(gone))
