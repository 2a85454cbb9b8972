"""The yardstick: a sequential spotipy loop that stores the same rows as a full sync, as written in an evening.

It reads page by page, keeps nothing for a restart, and stores by COPY into temporary tables and one upsert per table.
Its tables have the keys of ours, and none of our triggers, search columns and secondary indexes. Restricted apps get no
look-ups, as with spotisync's defaults.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any

import psycopg
import spotipy

from benchmarks.tables import COLUMNS, DDL, KEYS, STAGES, UPSERTS
from spotisync.simulator import Control

Json = dict[str, Any]
logging.getLogger("spotipy.client").setLevel(logging.CRITICAL)  # the library contains playlists that are refused
PAGE = 50
FIRST_OF = {4: "-01-01", 7: "-01", 10: ""}


def read_and_store(control: Control, url: str, *, lookups: bool, rows_per_commit: int) -> float:
    """Sync all accounts of the simulator, one after the other, into an empty database. Returns the seconds."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute(DDL)
        connection.execute(STAGES)
        connection.commit()
        store = Store(connection, rows_per_commit)
        started = perf_counter()
        for number, account in enumerate(control.info()["accounts"], start=1):
            spotify = spotipy.Spotify(auth=control.token(account["id"])["access_token"], requests_timeout=30)
            spotify.prefix = f"{control.url}/v1/"
            _sync(Loop(spotify, store, number), lookups=lookups)
        return perf_counter() - started


@dataclass
class Store:
    """Rows that are not yet written, by table and key, and the ids of what is known in full or in part."""

    connection: psycopg.Connection[Any]
    rows_per_commit: int
    rows: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = field(default_factory=lambda: {each: {} for each in KEYS})
    stubs: dict[str, set[str]] = field(default_factory=lambda: {"artists": set(), "albums": set()})
    full: dict[str, set[str]] = field(default_factory=lambda: {"artists": set(), "albums": set()})
    tracks: set[str] = field(default_factory=set)
    pending: int = 0

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        self.rows[table][row[: KEYS[table]]] = row

    def count(self, rows: int) -> None:
        """Note that a page is complete; commit if enough rows of pages are pending."""
        self.pending += rows
        if self.pending >= self.rows_per_commit:
            self.commit()

    def commit(self) -> None:
        """Write all pending rows in one transaction, parents first."""
        with self.connection.cursor() as cursor:
            for table, rows in self.rows.items():
                if rows:
                    with cursor.copy(f"COPY stage_{table} ({', '.join(COLUMNS[table])}) FROM STDIN".encode()) as copy:
                        for row in rows.values():
                            copy.write_row(row)
                    cursor.execute(UPSERTS[table].encode())
                    rows.clear()
        self.connection.commit()
        self.pending = 0


@dataclass(frozen=True)
class Loop:
    spotify: Any
    store: Store
    account: int
    saved: set[str] = field(default_factory=set)


def _sync(loop: Loop, *, lookups: bool) -> None:
    spotify, store = loop.spotify, loop.store
    for page in _pages(spotify, spotify.current_user_saved_tracks):
        for row in page["items"]:
            _saved_track(loop, row)
        store.count(len(page["items"]))
    _followed_artists(loop)
    for page in _pages(spotify, spotify.current_user_saved_albums):
        for row in page["items"]:
            if album := row and row["album"]:
                _album(store, album, full=True)
                store.add("saved_albums", (loop.account, album["id"], row["added_at"]))
        store.count(len(page["items"]))
    _playlists(loop)
    if lookups:
        _look_up(store, "albums", spotify.albums, 20, partial(_album, store, full=True))
        _look_up(store, "artists", spotify.artists, 50, partial(_full_artist, store))
    store.commit()


def _pages(spotify: Any, first: Callable[..., Json], **options: Any) -> Iterator[Json]:
    """Yield pages as in spotipy's documentation. A refused list has none."""
    try:
        page: Json | None = first(limit=PAGE, **options)
    except spotipy.SpotifyException:
        return
    while page:
        yield page
        page = spotify.next(page)


def _saved_track(loop: Loop, row: Json) -> None:
    if track := row and row["track"]:
        _track(loop.store, track)
        if track["id"] not in loop.saved:  # the newest is listed first
            loop.saved.add(track["id"])
            loop.store.add("saved_tracks", (loop.account, track["id"], row["added_at"]))


def _followed_artists(loop: Loop) -> None:
    after = None
    while True:
        page = loop.spotify.current_user_followed_artists(limit=PAGE, after=after)["artists"]
        for artist in page["items"]:
            _full_artist(loop.store, artist)
            loop.store.add("followed_artists", (loop.account, artist["id"]))
        loop.store.count(len(page["items"]))
        after = page["cursors"]["after"]
        if not after:
            return


def _playlists(loop: Loop) -> None:
    position = 0
    listed = []
    for page in _pages(loop.spotify, loop.spotify.current_user_playlists):
        for playlist in page["items"]:
            if playlist:
                loop.store.add("playlists", _playlist_row(playlist))
                loop.store.add("account_playlists", (loop.account, playlist["id"], position))
                listed.append(playlist["id"])
            position += 1
        loop.store.count(len(page["items"]))
    for id_ in listed:
        for page in _pages(loop.spotify, partial(loop.spotify.playlist_items, id_)):
            for place, item in enumerate(page["items"], start=page["offset"]):
                _playlist_item(loop.store, id_, place, item)
            loop.store.count(len(page["items"]))


def _playlist_row(found: Json) -> tuple[Any, ...]:
    owner, contents = found["owner"], found.get("items") or found.get("tracks") or {}
    facts = (found["name"], found["description"], owner["id"], owner.get("display_name"), found["public"])
    image = _image(found)
    return (found["id"], *facts, found["collaborative"], found["snapshot_id"], contents.get("total"), image)


def _playlist_item(store: Store, playlist: str, position: int, item: Json) -> None:
    found = item.get("item") or item.get("track") or {}
    kind, track = "unavailable", None
    if item.get("is_local") or found.get("is_local"):
        kind = "local"
    elif found.get("type") == "episode":
        kind = "episode"
    elif found.get("id"):
        kind, track = "track", found["id"]
        _track(store, found)
    by = (item.get("added_by") or {}).get("id") or None
    row = (playlist, position, kind, track, found.get("uri"), found.get("name"), item.get("added_at"), by)
    store.add("playlist_items", row)


def _track(store: Store, found: Json) -> None:
    if found["id"] in store.tracks:
        return
    store.tracks.add(found["id"])
    _album(store, found["album"], full=False)
    facts = [found.get(name) for name in ("name", "uri")]
    numbers = [found.get(name) for name in ("duration_ms", "explicit", "disc_number", "track_number")]
    isrc = (found.get("external_ids") or {}).get("isrc")
    store.add("tracks", (found["id"], *facts, found["album"]["id"], *numbers, isrc, _whole(found.get("popularity"))))
    _artists_of(store, "track_artists", found)


def _album(store: Store, found: Json, *, full: bool) -> None:
    id_ = found["id"]
    if id_ in store.full["albums"] or (not full and id_ in store.stubs["albums"]):
        return
    (store.full if full else store.stubs)["albums"].add(id_)
    names = ("id", "name", "uri", "album_type", "release_date", "release_date_precision")
    facts = [found.get(name) for name in names]
    upc = (found.get("external_ids") or {}).get("upc")
    more = (found.get("total_tracks"), found.get("label") or None, _whole(found.get("popularity")), upc, _image(found))
    store.add("albums", (*facts, _first_day(found.get("release_date")), *more))
    _artists_of(store, "album_artists", found)


def _artists_of(store: Store, table: str, found: Json) -> None:
    for position, artist in enumerate(found["artists"]):
        id_ = artist["id"]
        if id_ not in store.full["artists"] and id_ not in store.stubs["artists"]:
            store.stubs["artists"].add(id_)
            store.add("artists", (id_, artist["name"], artist["uri"], None, None, None, None))
        store.add(table, (found["id"], position, id_))


def _full_artist(store: Store, found: Json) -> None:
    store.full["artists"].add(found["id"])
    followers = (found.get("followers") or {}).get("total")
    facts = (found["name"], found["uri"], found.get("genres"), _whole(found.get("popularity")), _whole(followers))
    store.add("artists", (found["id"], *facts, _image(found)))


def _whole(number: float | None) -> int | None:
    """Spotify sends some whole numbers as floats."""
    return None if number is None else int(number)


def _image(found: Json) -> str | None:
    """The widest image; the first one of those without sizes."""
    images = found.get("images") or []
    return max(images, key=lambda image: image.get("width") or 0)["url"] if images else None


def _first_day(release_date: str | None) -> date | None:
    try:
        return date.fromisoformat(f"{release_date}{FIRST_OF[len(release_date)]}") if release_date else None
    except (KeyError, ValueError):
        return None


def _look_up(
    store: Store, kind: str, endpoint: Callable[[Sequence[str]], Json], size: int, add: Callable[[Json], None]
) -> None:
    for ids in _chunks(sorted(store.stubs[kind] - store.full[kind]), size):
        found = [each for each in endpoint(ids)[kind] if each]
        for each in found:
            add(each)
        store.full[kind].update(ids)
        store.count(len(found))


def _chunks(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
