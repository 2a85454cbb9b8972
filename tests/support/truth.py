"""tables == truth: the rows of an account in the form in which the simulator returns the truth."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from spotisync.sync import Context
from tests.support.driver import Account

MET = {"saved", "playlist", "saved_album", "followed"}
ACCESS = {"ok": "synced", "forbidden": "forbidden", "not_found": "not_found"}
# Contents forbidden to this account may have been read by another one.
READ = "a.items_status NOT IN ('forbidden', 'not_found')"
Tables = dict[str, dict[Any, Any]]


def assert_tables_equal_truth(
    context: Context, account: Account, truth: dict[str, Any], *, looked_up: bool = True
) -> None:
    """`looked_up`: artists and albums were looked up one by one in the restricted regime."""
    with context.database.begin() as connection:
        found = tables(connection, account)
    assert_equal(found, expected(truth, looked_up=looked_up))


def assert_equal(found: Tables, wanted: Tables) -> None:
    differences = [
        f"{table}: {key}: is {found[table].get(key)!r}, should be {wanted[table].get(key)!r}"
        for table in wanted
        for key in {**wanted[table], **found[table]}
        if found[table].get(key) != wanted[table].get(key)
    ]
    assert not differences, f"{len(differences)} differences:\n" + "\n".join(differences[:20])


def tables(connection: Connection, account: Account, *, closed: bool = False) -> Tables:
    """`closed` includes contents that this account can no longer read, or that only another one can read."""
    mine = "(SELECT id FROM accounts WHERE spotify_user_id = :account)"
    read = "true" if closed else READ
    met = _met(mine, read)

    def rows(sql: str) -> list[Any]:
        return list(connection.execute(text(sql), {"account": account.name}))

    return {
        "saved_tracks": {
            row.track_id: row.added_at
            for row in rows(f"SELECT * FROM saved_tracks WHERE account_id = {mine} AND removed_at IS NULL")
        },
        "saved_albums": {
            row.album_id: row.added_at
            for row in rows(f"SELECT * FROM saved_albums WHERE account_id = {mine} AND removed_at IS NULL")
        },
        "followed_artists": {
            row.artist_id: True
            for row in rows(f"SELECT * FROM followed_artists WHERE account_id = {mine} AND removed_at IS NULL")
        },
        **_spoken(rows, mine),
        "tracks": {
            row.id: (
                row.name,
                row.uri,
                row.album_id,
                row.duration_ms,
                row.explicit,
                row.disc_number,
                row.track_number,
                row.isrc,
                row.popularity,
            )
            for row in rows(f"SELECT * FROM tracks t WHERE id IN {met}")
        },
        "track_artists": _lists(
            rows(f"SELECT track_id, artist_id FROM track_artists WHERE track_id IN {met} ORDER BY 1, position")
        ),
        "artists": {
            row.id: (row.name, row.uri, row.genres, row.popularity, row.followers, row.image_url, row.enrichment)
            for row in rows(f"SELECT * FROM artists WHERE id IN {_artists_met(mine, met)}")
        },
        "albums": {
            row.id: (
                row.name,
                row.uri,
                row.album_type,
                row.release_date,
                row.release_date_precision,
                row.total_tracks,
                row.label,
                row.popularity,
                row.upc,
                row.image_url,
                row.enrichment,
            )
            for row in rows(f"SELECT * FROM albums WHERE id IN {_albums_met(mine, met)}")
        },
        "album_artists": _lists(
            rows(
                f"""SELECT album_id, artist_id FROM album_artists
                WHERE album_id IN {_albums_met(mine, met)} ORDER BY 1, position"""
            )
        ),
        "playlists": {
            row.playlist_id: (
                row.position,
                row.name,
                row.description,
                row.owner_id,
                row.owner_name,
                row.public,
                row.collaborative,
                row.total_items,
                row.image_url,
                row.items_status,
            )
            for row in rows(
                f"""SELECT * FROM account_playlists JOIN playlists ON id = playlist_id
                WHERE account_id = {mine} AND removed_at IS NULL"""
            )
        },
        "playlist_items": {
            (row.playlist_id, row.position): (row.kind, row.track_id, row.uri, row.name, row.added_at, row.added_by)
            for row in rows(
                f"""SELECT i.* FROM playlist_items i JOIN account_playlists a USING (playlist_id)
                WHERE a.account_id = {mine} AND a.removed_at IS NULL AND {read}"""
            )
        },
    }


def _spoken(rows: Callable[[str], list[Any]], mine: str) -> Tables:
    def saved(table: str) -> str:
        return f"SELECT * FROM {table} WHERE account_id = {mine} AND removed_at IS NULL"

    episodes = f"SELECT e.* FROM ({saved('saved_episodes')}) s JOIN episodes e ON e.id = s.episode_id"
    shows = f"SELECT show_id FROM ({saved('saved_shows')}) s UNION SELECT show_id FROM ({episodes}) e"
    books = f"SELECT b.* FROM ({saved('saved_audiobooks')}) s JOIN audiobooks b ON b.id = s.audiobook_id"
    return {
        "saved_shows": {row.show_id: row.added_at for row in rows(saved("saved_shows"))},
        "saved_episodes": {row.episode_id: row.added_at for row in rows(saved("saved_episodes"))},
        "saved_audiobooks": {row.audiobook_id: row.added_at for row in rows(saved("saved_audiobooks"))},
        "shows": {row.id: (row.name, row.is_audiobook) for row in rows(f"SELECT * FROM shows WHERE id IN ({shows})")},
        "episodes": {row.id: (row.name, row.show_id, row.duration_ms) for row in rows(episodes)},
        "audiobooks": {row.id: (row.name, row.authors, row.narrators) for row in rows(books)},
    }


def _met(mine: str, read: str) -> str:
    return f"""(SELECT track_id FROM saved_tracks WHERE account_id = {mine} AND removed_at IS NULL UNION
        SELECT i.track_id FROM playlist_items i JOIN account_playlists a USING (playlist_id)
        WHERE a.account_id = {mine} AND a.removed_at IS NULL AND i.track_id IS NOT NULL AND {read})"""


def _albums_met(mine: str, met: str) -> str:
    return f"""(SELECT album_id FROM tracks WHERE id IN {met} UNION
        SELECT album_id FROM saved_albums WHERE account_id = {mine} AND removed_at IS NULL)"""


def _artists_met(mine: str, met: str) -> str:
    return f"""(SELECT artist_id FROM track_artists WHERE track_id IN {met} UNION
        SELECT artist_id FROM album_artists WHERE album_id IN {_albums_met(mine, met)} UNION
        SELECT artist_id FROM followed_artists WHERE account_id = {mine} AND removed_at IS NULL)"""


def _lists(rows: list[Any]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for parent, child in rows:
        lists.setdefault(parent, []).append(child)
    return lists


def expected(truth: dict[str, Any], *, looked_up: bool = True) -> Tables:
    """Return the truth without rows that occur only where a sync of the library does not look (plays)."""
    met = {
        kind: {id_: row for id_, row in truth[kind].items() if MET & set(row["seen_in"])}
        for kind in ("tracks", "artists", "albums")
    }
    if truth["regime"] == "restricted" and not looked_up:
        listed = {*truth["followed_artists"], *(row["album_id"] for row in truth["saved_albums"])}
        met |= {kind: _from_pages(met[kind], listed) for kind in ("artists", "albums")}
    known = "partial" if truth["regime"] == "restricted" else "full"
    return {
        "saved_tracks": {row["track_id"]: _time(row["added_at"]) for row in truth["saved_tracks"]},
        "saved_albums": {row["album_id"]: _time(row["added_at"]) for row in truth["saved_albums"]},
        "followed_artists": dict.fromkeys(truth["followed_artists"], True),
        "saved_shows": {row["show_id"]: _time(row["added_at"]) for row in truth["saved_shows"]},
        "saved_episodes": {row["episode_id"]: _time(row["added_at"]) for row in truth["saved_episodes"]},
        "saved_audiobooks": {row["audiobook_id"]: _time(row["added_at"]) for row in truth["saved_audiobooks"]},
        "shows": {id_: (row["name"], row["is_audiobook"]) for id_, row in truth["shows"].items()},
        "episodes": {id_: (row["name"], row["show_id"], row["duration_ms"]) for id_, row in truth["episodes"].items()},
        "audiobooks": {
            id_: (row["name"], row["authors"], row["narrators"]) for id_, row in truth["audiobooks"].items()
        },
        "tracks": {
            id_: (
                row["name"],
                row["uri"],
                row["album_id"],
                row["duration_ms"],
                row["explicit"],
                row["disc_number"],
                row["track_number"],
                row["isrc"],
                row["popularity"],
            )
            for id_, row in met["tracks"].items()
        },
        "track_artists": {id_: artists for id_, artists in truth["track_artists"].items() if id_ in met["tracks"]},
        "artists": {
            id_: (
                row["name"],
                row["uri"],
                row["genres"],
                _whole(row["popularity"]),
                _whole(row["followers"]),
                row["image_url"],
                _enrichment(row, known),
            )
            for id_, row in met["artists"].items()
        },
        "albums": {
            id_: (
                row["name"],
                row["uri"],
                row["album_type"],
                row["release_date"],
                row["release_date_precision"],
                row["total_tracks"],
                row["label"],
                _whole(row["popularity"]),
                row["upc"],
                row["image_url"],
                _enrichment(row, known),
            )
            for id_, row in met["albums"].items()
        },
        "album_artists": {id_: row["artists"] for id_, row in met["albums"].items()},
        "playlists": {
            row["id"]: (
                row["offset"],
                row["name"],
                row["description"],
                row["owner_id"],
                row["owner_name"],
                row["public"],
                row["collaborative"],
                row["total_items"],
                row["image_url"],
                ACCESS[row["access"]],
            )
            for row in truth["playlists"]
        },
        "playlist_items": {
            (id_, row["position"]): (
                row["kind"],
                row["track_id"],
                row["uri"],
                row["name"],
                _time(row["added_at"]),
                row["added_by"],
            )
            for id_, rows in truth["playlist_items"].items()
            for row in rows
        },
    }


def _from_pages(rows: dict[str, Any], listed: set[str]) -> dict[str, Any]:
    """Remove what pages omit: an artist's images (an album's are included), a barcode, that an id is gone.

    Rows that are `listed` themselves, as saved albums or followed artists, are complete.
    """
    return {
        id_: row
        if id_ in listed
        else {**row, "gone": False, "upc": None, "image_url": row["image_url"] if "album_type" in row else None}
        for id_, row in rows.items()
    }


def _enrichment(row: dict[str, Any], known: str) -> str:
    return "gone" if row["gone"] else known


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)
