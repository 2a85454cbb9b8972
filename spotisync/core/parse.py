"""Parse Spotify's JSON into rows. Accepts every oddity it is known to send; raises `Unreadable` for other shapes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, TypeVar

from spotisync.core.plays import Play, RecentPage
from spotisync.core.regimes import Regime, regime_of_lookup, regime_of_playlists
from spotisync.core.rows import (
    AlbumRow,
    ArtistRow,
    AudiobookRow,
    CatalogueRows,
    EpisodeRow,
    ItemKind,
    ListingRow,
    NullRow,
    PlaylistItemRow,
    PlaylistRow,
    SavedTrackRow,
    ShowRow,
    TrackRow,
)
from spotisync.errors import Transient

T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_OF = {4: "-01-01", 7: "-01", 10: ""}
INT4_MAX = 2**31 - 1
LONGEST_ID = 255  # ids have 22 characters
# Restrictions of a listener, by the settings or the subscription of the account, and not of the music.
PERSONAL = frozenset({"explicit", "product"})
# The fields of an artist that contain numbers.
NUMBERS_OF_ARTIST = frozenset({"popularity", "followers", "images"})


class Unreadable(Transient):
    """A 200 response with an unexpected body; never treated as an empty page."""


# ---- values ---------------------------------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """A string that Postgres accepts, without NUL and lone surrogates."""
    if not isinstance(value, str):
        return None
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _id(found: dict[str, Any]) -> str | None:
    """The id of an item. One that no index of Postgres takes counts as absent: it would fail the whole page."""
    id_ = text(found.get("id"))
    return id_ if id_ and len(id_) <= LONGEST_ID else None


def number(value: Any) -> int | None:
    """A whole number; Spotify sends some as floats (`followers.total: 33920.0`)."""
    if type(value) is int and -INT4_MAX <= value <= INT4_MAX:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= INT4_MAX:
        return None
    return int(value)


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def moment(value: Any) -> datetime | None:
    """A time in UTC; None if it is invalid or before 1970."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EPOCH else None


@lru_cache(1024)
def first_day(release_date: str | None) -> date | None:
    """The first day of `2007`, `2007-03` or `2007-03-14`; None for other values (Spotify does send `0000`)."""
    if release_date is None or not re.fullmatch(r"\d{4}(-\d\d){0,2}", release_date):
        return None
    try:
        return date.fromisoformat(release_date + FIRST_OF[len(release_date)])
    except ValueError:
        return None


def largest_image(images: Any) -> str | None:
    """The URL of the widest image. Playlist covers have no sizes; then the first one."""
    largest, widest = None, 0
    for image in _objects(images):
        url, width = text(image.get("url")), number(image.get("width")) or 0
        if url and (largest is None or width > widest):
            largest, widest = url, width
    return largest


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is(kind: str, found: dict[str, Any]) -> bool:
    return found.get("type") in (None, kind)


# ---- catalogue objects ----------------------------------------------------------------------------------------------


def artist(found: dict[str, Any]) -> ArtistRow | None:
    id_ = _id(found)
    # An episode sent as a track has its show in place of an artist.
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
    """Parse an album; add it and its artists to the catalogue."""
    id_ = _id(found)
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
    """Parse a track; add it, its album and all artists to the catalogue."""
    id_ = _id(found)
    if not id_ or not _is("track", found):
        return None
    on = album(_object(found.get("album")), into)
    is_playable, restriction = _availability(found)
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
        is_playable=is_playable,
        linked_from=text(_object(found.get("linked_from")).get("id")),
        restriction=restriction,
        artist_ids=_artists(found, into),
    )
    into.add_track(row)
    return row


def _availability(found: dict[str, Any]) -> tuple[bool | None, str | None]:
    """Whether a track can be played, and the reason why not. A reply that does not say so means that it is unknown."""
    is_playable = flag(found.get("is_playable"))
    reason = text(_object(found.get("restrictions")).get("reason"))
    if is_playable or (is_playable is None and reason is None) or reason in PERSONAL:
        return is_playable or None, None
    return False, reason


def show(found: dict[str, Any], into: CatalogueRows) -> str | None:
    """Add a podcast to the catalogue, or an audiobook in the form of one. Returns its id."""
    id_ = _id(found)
    if not id_ or not _is("show", found):
        return None
    into.add_show(
        ShowRow(
            id=id_,
            name=text(found.get("name")),
            uri=text(found.get("uri")) or f"spotify:show:{id_}",
            publisher=text(found.get("publisher")),
            total_episodes=number(found.get("total_episodes")),
            explicit=flag(found.get("explicit")),
            languages=_texts(found.get("languages")),
            media_type=text(found.get("media_type")),
            image_url=largest_image(found.get("images")),
            is_audiobook=_is_described_as_audiobook(text(found.get("description")) or "") or None,
        )
    )
    return id_


def _is_described_as_audiobook(description: str) -> bool:
    """The one difference between an audiobook and a podcast in a list of shows (music-assistant/server#2392)."""
    return description.startswith("Author(s):") and "Narrator(s):" in description


def episode(found: dict[str, Any], into: CatalogueRows) -> str | None:
    """Add an episode and its show to the catalogue. Returns its id."""
    id_ = _id(found)
    if not id_ or not _is("episode", found):
        return None
    release_date = text(found.get("release_date"))
    into.add_episode(
        EpisodeRow(
            id=id_,
            name=text(found.get("name")),
            uri=text(found.get("uri")) or f"spotify:episode:{id_}",
            show_id=show(_object(found.get("show")), into),
            duration_ms=number(found.get("duration_ms")),
            explicit=flag(found.get("explicit")),
            language=next(iter(_texts(found.get("languages")) or ()), text(found.get("language"))),
            release_date=release_date,
            release_date_precision=text(found.get("release_date_precision")),
            released_on=first_day(release_date),
            image_url=largest_image(found.get("images")),
        )
    )
    return id_


def audiobook(found: dict[str, Any], into: CatalogueRows) -> str | None:
    """Add an audiobook to the catalogue. Returns its id, which is also that of the show in lists of shows."""
    id_ = _id(found)
    # Some replies call an audiobook a show.
    if not id_ or not (_is("audiobook", found) or _is("show", found)):
        return None
    into.add_audiobook(
        AudiobookRow(
            id=id_,
            name=text(found.get("name")),
            uri=text(found.get("uri")) or f"spotify:audiobook:{id_}",
            authors=_names(found.get("authors")),
            narrators=_names(found.get("narrators")),
            publisher=text(found.get("publisher")),
            edition=text(found.get("edition")),
            total_chapters=number(found.get("total_chapters")),
            explicit=flag(found.get("explicit")),
            languages=_texts(found.get("languages")),
            image_url=largest_image(found.get("images")),
        )
    )
    return id_


def _texts(values: Any) -> tuple[str, ...] | None:
    return tuple(each for each in map(text, values) if each) if isinstance(values, list) else None


def _names(people: Any) -> tuple[str, ...] | None:
    return _texts([each.get("name") for each in _objects(people)]) if isinstance(people, list) else None


def _artists(found: dict[str, Any], into: CatalogueRows) -> tuple[str, ...] | None:
    if not isinstance(found.get("artists"), list):
        return None
    rows = [row for each in _objects(found["artists"]) if (row := _embedded_artist(each, into))]
    for row in rows:
        into.add_artist(row)
    return tuple([row.id for row in rows])


def _embedded_artist(found: dict[str, Any], into: CatalogueRows) -> ArtistRow | None:
    """Parse an artist of an album or track, once for all equal objects of a page."""
    id_ = found.get("id")
    sent, row = into.embedded_artists.get(id_, (None, None)) if isinstance(id_, str) else (None, None)
    if sent == found:
        return row
    row = artist(found)
    # In Python, True equals 1, which would be read differently.
    if row and NUMBERS_OF_ARTIST.isdisjoint(found):
        into.embedded_artists[found["id"]] = (found, row)
    return row


# ---- replies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListPage:
    """One page of a list. `length`: rows that Spotify sent, null ones included; `total`: rows of the whole list."""

    offset: int
    length: int
    total: int
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)
    has_next: bool = False

    @property
    def ends_early(self) -> bool:
        """Whether the page is empty although the total says that rows follow."""
        return self.length == 0 and self.offset < self.total

    @property
    def is_plausible(self) -> bool:
        """Whether the rows fit into the total. A page that ignores the offset does not, at the end of a list.

        Nor does one that has a next page although the total says that it is the last one.
        """
        end = self.offset + self.length
        fits = self.length == 0 or end < self.total or (end == self.total and not self.has_next)
        return fits and not self.ends_early

    def check_plausible(self) -> None:
        """Raise `Unreadable` for a page that contradicts itself: it must not pass for the end of the list."""
        if not self.is_plausible:
            raise Unreadable(f"Spotify sent {self.length} rows at {self.offset} of {self.total}")


@dataclass(frozen=True)
class SavedTracksPage(ListPage):
    """`dates`: of all rows, null ones included; EPOCH where Spotify sent none."""

    rows: tuple[SavedTrackRow | None, ...] = ()
    dates: tuple[datetime, ...] = ()
    nulls: tuple[NullRow, ...] = ()

    @property
    def repeated_places(self) -> list[int]:
        """Where a row stands again: twins that were saved in the same second, or a row in the place of another one."""
        seen: set[SavedTrackRow] = set()
        found = []
        for place, row in enumerate(self.rows, start=self.offset):
            if row in seen:
                found.append(place)
            elif row:
                seen.add(row)
        return found


@dataclass(frozen=True)
class ListingPage(ListPage):
    """A page of a list that is read whole. `full`: ids of rows as complete as a look-up's result.

    `after`: the id that the next page of a list without offsets follows, None at its end.
    """

    rows: tuple[ListingRow | None, ...] = ()
    full: frozenset[str] = frozenset()
    playlists: tuple[PlaylistRow, ...] = ()
    after: str | None = None
    regime: Regime | None = None


@dataclass(frozen=True)
class PlaylistItemsPage(ListPage):
    rows: tuple[PlaylistItemRow, ...] = ()


def _has_next(body: Any) -> bool:
    return isinstance(body.get("next"), str)


def _page(body: Any) -> tuple[list[Any], int]:
    """The rows and the total of a page. Raises `Unreadable` if one is missing, since the page need not be empty."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise Unreadable("Spotify sent a page without a list of items")
    total = number(body.get("total"))
    if total is None or total < 0:
        raise Unreadable("Spotify sent a page without a total")
    return body["items"], total


def saved_tracks(body: Any, offset: int) -> SavedTracksPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    dates = tuple(moment(_object(item).get("added_at")) or EPOCH for item in items)
    rows = tuple(_saved_track(_object(item), at, catalogue) for item, at in zip(items, dates, strict=True))
    nulls = tuple(
        NullRow(at, total - position)
        for position, (at, row) in enumerate(zip(dates, rows, strict=True), start=offset)
        if row is None
    )
    return SavedTracksPage(offset, len(items), total, catalogue, _has_next(body), rows, dates, nulls)


def _saved_track(item: dict[str, Any], at: datetime, into: CatalogueRows) -> SavedTrackRow | None:
    row = track(_object(item.get("track")), into)
    return SavedTrackRow(row.id, at) if row else None


def _added_at(item: dict[str, Any]) -> datetime:
    return moment(item.get("added_at")) or EPOCH


def saved_albums(body: Any, offset: int) -> ListingPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    found = [_object(_object(item).get("album")) for item in items]
    met = [album(each, catalogue) for each in found]
    rows = tuple(
        ListingRow(row.id, _added_at(_object(item))) if row else None for item, row in zip(items, met, strict=True)
    )
    return ListingPage(offset, len(items), total, catalogue, _has_next(body), rows, _full(rows, found))


def saved_shows(body: Any, offset: int) -> ListingPage:
    """Parse a page of saved shows, among which Spotify lists audiobooks too."""
    return _saved(body, offset, "show", show)


def saved_episodes(body: Any, offset: int) -> ListingPage:
    return _saved(body, offset, "episode", episode)


def saved_audiobooks(body: Any, offset: int) -> ListingPage:
    """Parse a page of saved audiobooks.

    Documentation wraps each one in a row with a date; replies have the audiobook itself (Peter-Schorn/SpotifyAPI#67).
    """
    return _saved(body, offset, "audiobook", audiobook)


def _saved(
    body: Any, offset: int, key: str, read: Callable[[dict[str, Any], CatalogueRows], str | None]
) -> ListingPage:
    items, total = _page(body)
    catalogue = CatalogueRows()
    found = [_object(item) for item in items]
    ids = [read(_object(item.get(key)) if key in item else item, catalogue) for item in found]
    rows = tuple(
        ListingRow(id_, moment(item.get("added_at"))) if id_ else None for id_, item in zip(ids, found, strict=True)
    )
    return ListingPage(offset, len(items), total, catalogue, _has_next(body), rows)


def followed_artists(body: Any, offset: int) -> ListingPage:
    """Parse a page of followed artists. The next page follows the cursor `after`; null means the end of the list."""
    body = _object(body).get("artists")
    items, total = _page(body)
    cursors = _object(body.get("cursors"))
    after = text(cursors.get("after")) or None
    says_end = "after" in cursors and cursors["after"] in (None, "")
    if after is None and offset + len(items) < total and not says_end:
        raise Unreadable("Spotify sent a page of followed artists without a cursor to the next one")
    catalogue = CatalogueRows()
    rows = tuple(_followed(_object(item), catalogue) for item in items)
    return ListingPage(offset, len(items), total, catalogue, rows=rows, full=_full(rows, items), after=after)


def _followed(found: dict[str, Any], into: CatalogueRows) -> ListingRow | None:
    id_ = _artist_into(found, into)
    return ListingRow(id_) if id_ else None


def _full(rows: Sequence[ListingRow | None], found: Sequence[Any]) -> frozenset[str]:
    return frozenset(row.id for row, each in zip(rows, found, strict=True) if row and regime_of_lookup(each) == "full")


def playlists(body: Any, offset: int) -> ListingPage:
    items, total = _page(body)
    found = [playlist(_object(item)) for item in items]
    rows = tuple(
        ListingRow(row.id, position=position, snapshot_known=row.snapshot_id is not None) if row else None
        for position, row in enumerate(found, start=offset)
    )
    playlists = tuple(row for row in found if row)
    regime = regime_of_playlists(items)
    return ListingPage(
        offset, len(items), total, has_next=_has_next(body), rows=rows, playlists=playlists, regime=regime
    )


def playlist(found: dict[str, Any]) -> PlaylistRow | None:
    id_ = _id(found)
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
    return PlaylistItemsPage(offset, len(items), total, catalogue, _has_next(body), rows)


def _playlist_item(item: dict[str, Any], position: int, into: CatalogueRows) -> PlaylistItemRow:
    # New replies have `item`, older ones `track`, the full regime both. The item itself has a boolean `track`, so only
    # an object counts.
    found = _object(item.get("item")) or _object(item.get("track"))
    uri = text(found.get("uri"))
    kind, track_id = _kind_of(item, found, uri, into)
    return PlaylistItemRow(
        position=position,
        kind=kind,
        track_id=track_id,
        uri=uri,
        name=text(found.get("name")),
        added_at=moment(item.get("added_at")),
        added_by=text(_object(item.get("added_by")).get("id")) or None,
    )


def _kind_of(
    item: dict[str, Any], found: dict[str, Any], uri: str | None, into: CatalogueRows
) -> tuple[ItemKind, str | None]:
    """The kind of an item, and the id of a track, which is added to the catalogue."""
    if item.get("is_local") is True or found.get("is_local") is True:
        return "local", None
    if _is_episode(found, uri):
        return "episode", None
    met = track(found, into) if found else None
    return ("track", met.id) if met else ("unavailable", None)


def _is_episode(found: dict[str, Any], uri: str | None) -> bool:
    return found.get("type") == "episode" or found.get("episode") is True or (uri or "").startswith("spotify:episode:")


def recently_played(body: Any) -> RecentPage:
    """Parse recently played. It has no total, and no cursors when it is empty."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise Unreadable("Spotify sent recently played without a list of items")
    items, catalogue = body["items"], CatalogueRows()
    plays = tuple(play for play in (_play(_object(item), catalogue) for item in items) if play)
    return RecentPage(len(items), catalogue, plays)


def _play(item: dict[str, Any], into: CatalogueRows) -> Play | None:
    played_at = moment(item.get("played_at"))
    row = track(_object(item.get("track")), into) if played_at else None
    context_uri = text(_object(item.get("context")).get("uri")) or None
    return Play(row.id, played_at, "recent", context_uri=context_uri) if row and played_at else None


@dataclass(frozen=True)
class TopItems:
    """The first page of a ranking. `ids`: best first; `full`: artists as complete as a look-up's result."""

    catalogue: CatalogueRows
    ids: tuple[str, ...]
    full: frozenset[str] = frozenset()


def top_artists(body: Any, _: int) -> TopItems:
    items, catalogue = _ranking(body), CatalogueRows()
    rows = [_followed(item, catalogue) for item in items]
    return TopItems(catalogue, tuple(row.id for row in rows if row), _full(rows, items))


def top_tracks(body: Any, _: int) -> TopItems:
    catalogue = CatalogueRows()
    rows = [track(item, catalogue) for item in _ranking(body)]
    return TopItems(catalogue, tuple(row.id for row in rows if row))


def _ranking(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise Unreadable("Spotify sent a ranking without a list of items")
    return [_object(item) for item in body["items"]]


@dataclass(frozen=True)
class LookupResult:
    """The result of a look-up by ids. `gone`: ids that Spotify no longer knows."""

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
    """Parse one object. Without an id it proves nothing: Spotify answers 404 for an id that is gone."""
    if not isinstance(body, dict):
        raise Unreadable("Spotify sent no object in reply to a look-up")
    catalogue = CatalogueRows()
    return LookupResult(catalogue, frozenset(asked) if into(body, catalogue) else frozenset(), frozenset())


def _by_id(
    body: Any, key: str, asked: Sequence[str], into: Callable[[dict[str, Any], CatalogueRows], str | None]
) -> LookupResult:
    """Parse a list of objects, in the order of the ids; null means that the id is gone."""
    entries: Iterable[Any] | None = _object(body).get(key)
    if not isinstance(entries, list) or len(entries) != len(asked):
        raise Unreadable(f"Spotify did not send the {len(asked)} {key} of a look-up")
    catalogue = CatalogueRows()
    known: set[str] = set()
    for id_, entry in zip(asked, entries, strict=True):
        if isinstance(entry, dict) and into(entry, catalogue):
            known.add(id_)
    gone = {id_ for id_, entry in zip(asked, entries, strict=True) if entry is None}
    return LookupResult(catalogue, frozenset(known), frozenset(gone))
