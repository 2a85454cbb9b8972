"""Search of the library: words, filters, keyset pagination and facets.

A word matches anywhere in the name of a track, of its album or of one of its artists, regardless of case and accents
(SQL function `plain`, which computes the columns `search`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from spotisync.core.search import MAX_WORDS, Kind, PageCursor, Query
from spotisync.store.database import Connection, execute

PAGE = 50
FACET = 12
# Shorter words have no trigrams and thus no index. Most are so common that the next rows contain a page of matches.
TRIGRAM = 3
NEAR = 2_000


@dataclass(frozen=True)
class NamedId:
    id: str
    name: str | None


@dataclass(frozen=True)
class LibraryItem:
    """A saved track or album, a followed artist, a playlist. None: unknown, or not applicable to the kind."""

    kind: Kind
    account_id: int
    account: str
    id: str
    name: str | None
    uri: str
    image_url: str | None
    sorted_name: str | None
    added_at: datetime | None
    removed_at: datetime | None
    artists: tuple[NamedId, ...] = ()
    album: NamedId | None = None
    released_on: date | None = None
    label: str | None = None
    genres: tuple[str, ...] = ()
    total: int | None = None
    owner: str | None = None


@dataclass(frozen=True)
class ResultPage:
    items: list[LibraryItem]
    after: PageCursor | None


@dataclass(frozen=True)
class Facet:
    """One value to filter by, and how many rows match it."""

    value: str
    name: str
    count: int


@dataclass(frozen=True)
class Facets:
    total: int
    by: dict[str, list[Facet]]


_FROM: Final[dict[Kind, str]] = {
    "tracks": "saved_tracks s JOIN tracks e ON e.id = s.track_id",
    "albums": "saved_albums s JOIN albums e ON e.id = s.album_id",
    "artists": "followed_artists s JOIN artists e ON e.id = s.artist_id",
    "playlists": "account_playlists s JOIN playlists e ON e.id = s.playlist_id",
}
_ARTISTS_OF: Final[dict[Kind, str]] = {
    "tracks": "track_artists ta WHERE ta.track_id = e.id",
    "albums": "album_artists ta WHERE ta.album_id = e.id",
}
_BY_ARTIST = "EXISTS (SELECT FROM {} AND ta.artist_id = :artist)"
_BY_GENRE = """EXISTS (SELECT FROM {} AND ta.artist_id IN (
    SELECT id FROM artists WHERE genres @> ARRAY[CAST(:genre AS text)]))"""
_IN_DECADE = "released_on >= make_date(:decade, 1, 1) AND {}released_on < make_date(:decade + 10, 1, 1)"
_FILTERS: Final[dict[Kind, dict[str, str]]] = {
    "tracks": {
        "artist": _BY_ARTIST.format(_ARTISTS_OF["tracks"]),
        "genre": _BY_GENRE.format(_ARTISTS_OF["tracks"]),
        "label": "e.album_id IN (SELECT id FROM albums WHERE label = :label)",
        "decade": f"e.album_id IN (SELECT id FROM albums WHERE {_IN_DECADE.format('')})",
        "playlist": "EXISTS (SELECT FROM playlist_items i WHERE i.playlist_id = :playlist AND i.track_id = e.id)",
    },
    "albums": {
        "artist": _BY_ARTIST.format(_ARTISTS_OF["albums"]),
        "genre": _BY_GENRE.format(_ARTISTS_OF["albums"]),
        "label": "e.label = :label",
        "decade": f"e.{_IN_DECADE.format('e.')}",
    },
    "artists": {"genre": "e.genres @> ARRAY[CAST(:genre AS text)]"},
    "playlists": {},
}

# Conditions for a word. For tracks, the matching sets are computed first, each by its index. For a word too short for
# the index, each row is tested; its subqueries are evaluated only if a row needs them.
_IN_SETS = """e.id IN (SELECT id FROM tracks WHERE search LIKE {word}
    UNION ALL SELECT t.id FROM albums b JOIN tracks t ON t.album_id = b.id WHERE b.search LIKE {word}
    UNION ALL SELECT ta.track_id FROM artists a JOIN track_artists ta ON ta.artist_id = a.id
        WHERE a.search LIKE {word})"""
_IN_ROW = """(e.search LIKE {word} OR e.album_id IN (SELECT id FROM albums WHERE search LIKE {word})
    OR e.id IN (SELECT ta.track_id FROM artists a JOIN track_artists ta ON ta.artist_id = a.id
        WHERE a.search LIKE {word}))"""
_IN_NEXT_ROWS = """(e.search LIKE {word} OR (SELECT b.search LIKE {word} FROM albums b WHERE b.id = e.album_id)
    OR (SELECT bool_or(a.search LIKE {word}) FROM track_artists ta JOIN artists a ON a.id = ta.artist_id
        WHERE ta.track_id = e.id))"""
_HAS_WORD: Final[dict[Kind, str]] = {
    "albums": """(e.search LIKE {word} OR e.id IN (SELECT ta.album_id FROM artists a
        JOIN album_artists ta ON ta.artist_id = a.id WHERE a.search LIKE {word}))""",
    "artists": "e.search LIKE {word}",
    "playlists": "plain(e.name) LIKE {word}",
}


@dataclass(frozen=True)
class SqlFilter:
    """A query in SQL: conditions on `s` (the row of the account) and `e` (the track, album, artist or playlist)."""

    query: Query
    words: tuple[str, ...]

    @property
    def values(self) -> dict[str, Any]:
        words = {f"word{n}": f"%{_escape_like(word)}%" for n, word in enumerate(self.words)}
        return {**words, **self.query.active_filters, "account": self.query.account}

    @property
    def filters(self) -> list[str]:
        """All conditions except for the words."""
        of = [] if self.query.account is None else ["s.account_id = " + _ACCOUNT]
        live = [] if self.query.removed else ["s.removed_at IS NULL"]
        return [*of, *live, *(_FILTERS[self.query.kind][name] for name in self.query.active_filters)]

    @property
    def has_short_word(self) -> bool:
        return self.query.kind == "tracks" and any(len(word) < TRIGRAM for word in self.words)

    def word_conditions(self, form: str | None = None) -> list[str]:
        return [(form or self._form(word)).format(word=f"CAST(:word{n} AS text)") for n, word in enumerate(self.words)]

    def _form(self, word: str) -> str:
        if self.query.kind != "tracks":
            return _HAS_WORD[self.query.kind]
        return _IN_SETS if len(word) >= TRIGRAM else _IN_ROW


# A scalar subquery instead of a join, so that the index of the account's rows returns them in order.
_ACCOUNT = "(SELECT id FROM accounts WHERE spotify_user_id = :account)"


def _escape_like(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _to_filter(connection: Connection, query: Query) -> SqlFilter:
    # The best plan depends on how common a word is, so a generic plan would be bad for most words.
    execute(connection, "SET LOCAL plan_cache_mode = force_custom_plan")
    plain = execute(connection, "SELECT plain(CAST(:text AS text))", {"text": query.text}).scalar_one()
    return SqlFilter(query, tuple(dict.fromkeys(plain.split()))[:MAX_WORDS])


# ---- pages ----------------------------------------------------------------------------------------------------------

_ADDED: Final[dict[Kind, str]] = {"tracks": "s.added_at", "albums": "s.added_at"}
# The first 200 characters of a name; the id breaks ties.
_NAME = """left(COALESCE({}, ''), 200) COLLATE "C" """
_SEARCHED: Final[dict[Kind, str]] = {"playlists": "plain(e.name)"}


def search_page(connection: Connection, query: Query, size: int = PAGE) -> ResultPage:
    """The rows after the query's cursor, and the next cursor if there are more rows."""
    filter_ = _to_filter(connection, query)
    items = _items_nearby(connection, filter_, size) if filter_.has_short_word and query.sort == "added" else []
    if len(items) <= size:
        items = _items(connection, filter_, _FROM[query.kind], filter_.word_conditions(), size)
    more = len(items) > size
    return ResultPage(items[:size], _next_cursor(query, items[size - 1]) if more else None)


def _items_nearby(connection: Connection, filter_: SqlFilter, size: int) -> list[LibraryItem]:
    """Search for words too short for the index among the next rows only."""
    conditions = _and(*filter_.filters, *_after_cursor(filter_.query))
    nearest = f"""(SELECT s.* FROM {_FROM["tracks"]} WHERE {conditions} ORDER BY {_order(filter_.query)}
        LIMIT {NEAR}) s JOIN tracks e ON e.id = s.track_id"""
    return _items(connection, filter_, nearest, filter_.word_conditions(_IN_NEXT_ROWS), size)


def _items(
    connection: Connection, filter_: SqlFilter, source: str, having: Sequence[str], size: int
) -> list[LibraryItem]:
    query = filter_.query
    searched = _SEARCHED.get(query.kind, "e.search")
    added = _ADDED.get(query.kind, "CAST(NULL AS timestamptz)")
    order = _order(query, "f.added_at", "f.sorted_name", "f.account_id, f.id")
    statement = f"""WITH found AS (
            SELECT s.account_id, e.id, {added} AS added_at, s.removed_at, left({searched}, 200) AS sorted_name
            FROM {source} WHERE {_and(*having, *filter_.filters, *_after_cursor(query))}
            ORDER BY {_order(query)} LIMIT :size)
        SELECT f.account_id, c.spotify_user_id AS account, f.id, f.added_at, f.removed_at, f.sorted_name,
            {_DETAILS[query.kind]} ORDER BY {order}"""
    bound = {**filter_.values, **_cursor_values(query), "size": size + 1}
    return [_item(query.kind, dict(row)) for row in execute(connection, statement, bound).mappings()]


def _order(query: Query, added: str = "s.added_at", name: str = "", keys: str = "s.account_id, e.id") -> str:
    """ORDER BY: newest first, or names in ascending order with unknown names last."""
    if query.sort == "added":
        first, second = keys.split(", ")
        return f"{added} DESC, {first} DESC, {second} DESC"
    name = name or _SEARCHED.get(query.kind, "e.search")
    return f"{name} IS NULL, {_NAME.format(name)}, {keys}"


def _after_cursor(query: Query) -> list[str]:
    """Conditions that select rows after the cursor."""
    if query.after is None:
        return []
    if query.sort == "added":
        # The first condition is for the index, the second is exact.
        return ["s.added_at <= :after", "(s.added_at, s.account_id, e.id) < (:after, :after_account, :after_id)"]
    name = _SEARCHED.get(query.kind, "e.search")
    return [
        f"""({name} IS NULL, {_NAME.format(name)}, s.account_id, e.id)
            > (CAST(:after AS text) IS NULL, COALESCE(CAST(:after AS text), ''), :after_account, :after_id)"""
    ]


def _cursor_values(query: Query) -> dict[str, Any]:
    after = query.after
    return {} if after is None else {"after": after.at, "after_account": after.account_id, "after_id": after.id}


def _next_cursor(query: Query, last: LibraryItem) -> PageCursor:
    return PageCursor(last.added_at if query.sort == "added" else last.sorted_name, last.account_id, last.id)


def _and(*conditions: str) -> str:
    return " AND ".join(conditions) or "true"


def _artists(of: str, id_: str) -> str:
    return f"""ARRAY(SELECT json_build_array(a.id, a.name) FROM {of}_artists ta JOIN artists a ON a.id = ta.artist_id
        WHERE ta.{of}_id = {id_} ORDER BY ta.position)"""


_OF_ACCOUNT = "FROM found f JOIN accounts c ON c.id = f.account_id"
_DETAILS: Final[dict[Kind, str]] = {
    "tracks": f"""e.name, e.uri, b.image_url, b.released_on, b.label, b.id AS album_id, b.name AS album_name,
        {_artists("track", "f.id")} AS artists
        {_OF_ACCOUNT} JOIN tracks e ON e.id = f.id LEFT JOIN albums b ON b.id = e.album_id""",
    "albums": f"""e.name, e.uri, e.image_url, e.released_on, e.label, e.total_tracks AS total,
        {_artists("album", "f.id")} AS artists {_OF_ACCOUNT} JOIN albums e ON e.id = f.id""",
    "artists": f"e.name, e.uri, e.image_url, e.genres {_OF_ACCOUNT} JOIN artists e ON e.id = f.id",
    "playlists": f"""e.name, 'spotify:playlist:' || e.id AS uri, e.image_url, e.total_items AS total,
        COALESCE(e.owner_name, e.owner_id) AS owner {_OF_ACCOUNT} JOIN playlists e ON e.id = f.id""",
}


def _item(kind: Kind, row: dict[str, Any]) -> LibraryItem:
    album_id, album_name = row.pop("album_id", None), row.pop("album_name", None)
    row["artists"] = tuple(NamedId(*each) for each in row.get("artists") or ())
    row["genres"] = tuple(row.get("genres") or ())
    return LibraryItem(kind, album=NamedId(album_id, album_name) if album_id else None, **row)


# ---- facets ---------------------------------------------------------------------------------------------------------

_GENRES = """SELECT 'genre', genre, genre, count(*) FROM (
        SELECT DISTINCT f.account_id, f.id, genre FROM found f JOIN {of}_artists ta ON ta.{of}_id = f.id
            JOIN artists a ON a.id = ta.artist_id, unnest(a.genres) AS genre) AS g GROUP BY genre"""
_ARTISTS = """SELECT 'artist', a.id, COALESCE(a.name, a.id), c.n FROM (
        SELECT ta.artist_id, count(*) AS n FROM found f JOIN {of}_artists ta ON ta.{of}_id = f.id
        GROUP BY ta.artist_id ORDER BY n DESC, ta.artist_id LIMIT {limit}) AS c JOIN artists a ON a.id = c.artist_id"""
_OF_ALBUMS = """of_albums AS MATERIALIZED (
        SELECT label, extract(decade FROM released_on) * 10 AS decade, n
        FROM (SELECT album_id, count(*) AS n FROM found GROUP BY album_id) c JOIN albums b ON b.id = c.album_id)"""
_LABELS = "SELECT 'label', label, label, sum(n) FROM of_albums WHERE label IS NOT NULL GROUP BY label"
_DECADES = """SELECT 'decade', trunc(decade)\\:\\:text, trunc(decade)\\:\\:text || 's', sum(n) FROM of_albums
    WHERE decade >= 1000 GROUP BY decade"""
_OF_ARTISTS = """SELECT 'genre', genre, genre, count(*) FROM found f JOIN artists a ON a.id = f.id,
    unnest(a.genres) AS genre GROUP BY genre"""
_FACETS: Final[dict[Kind, tuple[str, ...]]] = {
    "tracks": (_GENRES.format(of="track"), _ARTISTS.format(of="track", limit=FACET), _LABELS, _DECADES),
    "albums": (_GENRES.format(of="album"), _ARTISTS.format(of="album", limit=FACET), _LABELS, _DECADES),
    "artists": (_OF_ARTISTS,),
    "playlists": (),
}


def count_facets(connection: Connection, query: Query) -> Facets:
    """Count the rows found, and the most common values among them."""
    filter_ = _to_filter(connection, query)
    album = {"tracks": "e.album_id", "albums": "e.id"}.get(query.kind, "NULL")
    lists = "".join(f" UNION ALL ({each} ORDER BY 4 DESC, 3, 2 LIMIT {FACET})" for each in _FACETS[query.kind])
    statement = f"""WITH found AS MATERIALIZED (
            SELECT s.account_id, e.id, {album} AS album_id FROM {_FROM[query.kind]}
            WHERE {_and(*filter_.word_conditions(), *filter_.filters)}), {_OF_ALBUMS}
        SELECT 'total', NULL, NULL, count(*) FROM found{lists}"""
    (_, _, _, total), *rows = execute(connection, statement, filter_.values)
    by: dict[str, list[Facet]] = {}
    for facet, value, name, count in rows:
        by.setdefault(facet, []).append(Facet(value, name, int(count)))
    return Facets(total, by)


# ---- filter choices -------------------------------------------------------------------------------------------------


def find_playlist_by_name(connection: Connection, account: str | None, name: str) -> str | None:
    """Return the id of a playlist of an account, or of all accounts, regardless of case and accents of its name."""
    return execute(
        connection,
        f"""SELECT id FROM playlists WHERE plain(btrim(name)) = plain(CAST(:name AS text))
            AND id IN (SELECT playlist_id FROM account_playlists WHERE removed_at IS NULL
                AND (CAST(:account AS text) IS NULL OR account_id = {_ACCOUNT}))
        ORDER BY btrim(name) = :name DESC, id LIMIT 1""",
        {"account": account, "name": name},
    ).scalar_one_or_none()


def find_playlist(connection: Connection, id_: str) -> NamedId:
    """Find the name of a playlist to filter by."""
    name = execute(connection, "SELECT name FROM playlists WHERE id = :id", {"id": id_}).scalar_one_or_none()
    return NamedId(id_, name)


def find_artist(connection: Connection, id_: str) -> NamedId:
    """Find the name of an artist to filter by."""
    name = execute(connection, "SELECT name FROM artists WHERE id = :id", {"id": id_}).scalar_one_or_none()
    return NamedId(id_, name)
