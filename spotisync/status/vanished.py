"""Vanished music by item, with each place where it stood: what the page, the command and notifications show."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from spotisync.status.messages import count_of
from spotisync.status.read import Document
from spotisync.store import vanished
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.store.vanished import VanishedRow

# Places that are read at most; the view `vanished` has all.
MOST_PLACES: Final = 2_000
MOST_NAMED: Final = 20
# Groups in the order in which they are shown, each with a title and what it means.
GROUPS: Final = {
    "unplayable": ("Greyed out", "Spotify lists these tracks, but does not let you play them."),
    "unavailable": (
        "Empty rows of playlists",
        "Spotify lists these rows without a track. The name is what was there before, if an earlier version tells.",
    ),
    "hidden": ("Empty rows of saved tracks", "Spotify lists a row of the same date in their place, without a track."),
    "perhaps": (
        "Perhaps hidden",
        "Spotify lists empty rows, and each of these may be behind one of them. Or you have removed it.",
    ),
}


def read_vanished(connection: Connection, account: Account) -> Document:
    """`groups`: those that are not empty. `complete`: False if there are more places than are read."""
    rows = vanished.list_rows(connection, account.id, MOST_PLACES + 1)
    items = group_places(rows[:MOST_PLACES])
    return {
        "account": account.spotify_user_id,
        "total": _count(items),
        "complete": len(rows) <= MOST_PLACES,
        "groups": [
            {"name": name, "title": title, "meaning": meaning, "count": _count(found), "items": found}
            for name, (title, meaning) in GROUPS.items()
            if (found := [each for each in items if _group_of(each) == name])
        ],
    }


def _count(items: Sequence[Document]) -> int:
    """Each unknown track of an item counts."""
    return sum(1 if each["id"] else len(each["places"]) for each in items)


def _group_of(item: Document) -> str:
    return str(item["reason"]) if item["certain"] else "perhaps"


def group_places(rows: Iterable[VanishedRow]) -> list[Document]:
    """One document per item; empty rows of a playlist whose tracks are unknown are one item. Keeps the order."""
    items: dict[tuple[Any, ...], Document] = {}
    for row in rows:
        id_ = row.track_id or (row.album_id if row.kind == "album" else None)
        key = (row.reason, row.kind, id_, None if id_ else row.playlist_id)
        item = items.setdefault(key, _make_item(row, id_))
        item["certain"] = item["certain"] and row.certain
        item["places"].append(_make_place(row))
    return list(items.values())


def _make_item(row: VanishedRow, id_: str | None) -> Document:
    return {
        "reason": row.reason,
        "kind": row.kind,
        "certain": row.certain,
        "gone_since": _format(row.gone_since),
        "restriction": row.restriction,
        "id": id_,
        "name": row.track if row.kind == "track" else row.album,
        "artist": row.artist,
        "album": row.album,
        "twin": {"id": row.twin_id, "name": row.twin, "album": row.twin_album} if row.twin_id else None,
        "places": [],
    }


def _make_place(row: VanishedRow) -> Document:
    """`position`: from 0, as in the tables. `list`: "playlist", "saved tracks" or "saved albums"."""
    return {
        "list": "playlist" if row.playlist_id else f"saved {row.kind}s",
        "playlist_id": row.playlist_id,
        "playlist": row.playlist,
        "position": row.position,
        "added_at": _format(row.added_at),
    }


def _format(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# ---- sentences ------------------------------------------------------------------------------------------------------


def describe_item(item: Document) -> str:
    """The name and the artist, or how many rows of a playlist are unknown."""
    if item["id"] is None:
        return f"{count_of(len(item['places']), 'track')} whose name is not known"
    return " by ".join(filter(None, (item["name"] or "(unknown name)", item["artist"])))


def describe_places(item: Document) -> str:
    """As in: saved tracks; playlist “Mix”, no. 4 and 9."""
    # By id, since several playlists can have the same name.
    places: dict[tuple[str, str | None], list[int]] = {}
    for each in item["places"]:
        name = f"playlist “{each['playlist'] or each['playlist_id']}”" if each["playlist_id"] else each["list"]
        numbers = places.setdefault((name, each["playlist_id"]), [])
        numbers += [] if each["position"] is None else [each["position"] + 1]
    return "; ".join(f"{name}, no. {_join(numbers)}" if numbers else name for (name, _), numbers in places.items())


def _join(numbers: Sequence[int], most: int = 5) -> str:
    shown = [f"{number:,}" for number in numbers[:most]]
    more = len(numbers) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def describe_twin(item: Document) -> str | None:
    """The same recording under another id that still plays."""
    twin = item["twin"]
    if twin is None:
        return None
    album = f" on “{twin['album']}”" if twin["album"] else ""
    return f"still plays: {twin['name'] or twin['id']}{album}"


def describe_new(rows: Iterable[VanishedRow], account: str) -> str:
    """The body of a notification: one line per item, and what to do."""
    items = group_places(rows)
    lines = [
        f"{describe_item(each)} ({GROUPS[each['reason']][0].lower()}; "
        f"{'; '.join(filter(None, (describe_places(each), describe_twin(each))))})"
        for each in items[:MOST_NAMED]
    ]
    more = [f"and {len(items) - MOST_NAMED:,} more"] if len(items) > MOST_NAMED else []
    return "\n".join([*lines, *more, f"What to do: spotisync vanished --account {account}"])
