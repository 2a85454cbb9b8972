"""Playlists: the list, one playlist, its rows."""

from typing import Any

from spotisync.simulator.http.request import Ask, Refusal, Reply, error, refused
from spotisync.simulator.http.rows import playlist, playlist_row
from spotisync.simulator.http.text import join, page
from spotisync.simulator.world.library import Playlist

NO = {"forbidden": error(403, "Forbidden"), "not_found": error(404, "Resource not found")}


def listing(ask: Ask) -> Reply:
    """List playlists. The links lead to /users/{id}/playlists: in the restricted regime that path is gone."""
    offset, limit = ask.window(farthest=100_000)
    ids = ask.library.playlists
    rows = [_summary(ask, id_) for id_ in ids[offset : offset + limit]]
    return Reply(200, page(f"{ask.api_url}/users/{ask.library.id}/playlists", rows, len(ids), offset, limit))


def of_user(ask: Ask) -> Reply:
    if ask.args[0] != ask.library.id:
        raise refused(404, "Resource not found")
    return listing(ask)


def _summary(ask: Ask, id_: str | None) -> str:
    if id_ is None or id_ in ask.library.hidden_playlists:
        return "null"
    that = ask.world.playlists[id_]
    members = playlist(ask.shapes, that, ask.world.now())
    for key in _keys(ask):
        total = None if "total" in that.withheld else len(that.rows)
        members[key] = {"href": f"{ask.api_url}/playlists/{id_}/{key}", "total": total}
    if "owner" in that.withheld:
        members["owner"] = dict.fromkeys(members["owner"])
    return join(members | dict.fromkeys(set(that.withheld) - {"total", "owner"}))


def _keys(ask: Ask) -> tuple[str, ...]:
    return ("items",) if ask.shapes.restricted else ("tracks", "items")


def whole(ask: Ask) -> Reply:
    """Give one playlist and its first hundred rows, whatever the limit of a page."""
    that = _found(ask)
    members: dict[str, Any] = playlist(ask.shapes, that, ask.world.now()) | {"followers": {"href": None, "total": 0}}
    rows = ask.library.access(that, restricted=ask.shapes.restricted)
    if rows != "ok" and not ask.shapes.restricted:
        raise Refusal(NO[rows])
    keys = _keys(ask) if rows == "ok" else ()
    return Reply(200, join(members, **{key: _rows(ask, that, key, 0, 100) for key in keys}))


def items(ask: Ask) -> Reply:
    return _items(ask, "items", 50)


def old_items(ask: Ask) -> Reply:
    return _items(ask, "tracks", 100)


def _items(ask: Ask, key: str, most: int) -> Reply:
    that = _found(ask)
    may = ask.library.access(that, restricted=ask.shapes.restricted)
    if may != "ok":
        raise Refusal(NO[may])
    return Reply(200, _rows(ask, that, key, *ask.window(most)))


def _found(ask: Ask) -> Playlist:
    that = ask.world.playlists.get(ask.args[0])
    if that is None or ask.library.refusals.get(that.id) == "not_found":
        raise Refusal(NO["not_found"])
    return that


def _rows(ask: Ask, that: Playlist, key: str, offset: int, limit: int) -> str:
    kinds = ask.query.get("additional_types", "track")
    rows = [playlist_row(ask.shapes, row, episodes="episode" in kinds) for row in that.rows[offset : offset + limit]]
    more = f"&additional_types={kinds}" if "additional_types" in ask.query else ""
    return page(f"{ask.api_url}/playlists/{that.id}/{key}", rows, len(that.rows), offset, limit, more=more)
