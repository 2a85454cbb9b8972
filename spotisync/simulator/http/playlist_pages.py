"""Playlists: the list, one playlist, its items."""

from spotisync.simulator.http.request import ApiRequest, Refusal, Reply, error, refusal
from spotisync.simulator.http.rows import playlist_members, playlist_row
from spotisync.simulator.http.text import join, page
from spotisync.simulator.world.library import Playlist

REFUSALS = {"forbidden": error(403, "Forbidden"), "not_found": error(404, "Resource not found")}


def list_own(request: ApiRequest) -> Reply:
    """List playlists. The links point to /users/{id}/playlists, which the restricted regime does not have."""
    offset, limit = request.window(max_offset=100_000)
    ids = request.world.listed_playlists(request.library, restricted=request.shapes.restricted)
    rows = [_summary(request, id_) for id_ in ids[offset : offset + limit]]
    return Reply(200, page(f"{request.api_url}/users/{request.library.id}/playlists", rows, len(ids), offset, limit))


def list_of_user(request: ApiRequest) -> Reply:
    if request.args[0] != request.library.id:
        raise refusal(404, "Resource not found")
    return list_own(request)


def _summary(request: ApiRequest, id_: str | None) -> str:
    if id_ is None or id_ in request.library.hidden_playlists:
        return "null"
    playlist = request.world.playlists[id_]
    members = playlist_members(request.shapes, playlist, request.world.now())
    for key in _keys(request):
        total = None if "total" in playlist.withheld else len(playlist.rows)
        members[key] = {"href": f"{request.api_url}/playlists/{id_}/{key}", "total": total}
    if "owner" in playlist.withheld:
        members["owner"] = dict.fromkeys(members["owner"])
    return join(members | dict.fromkeys(set(playlist.withheld) - {"total", "owner"}))


def _keys(request: ApiRequest) -> tuple[str, ...]:
    return ("items",) if request.shapes.restricted else ("tracks", "items")


def get_playlist(request: ApiRequest) -> Reply:
    """Answer with one playlist and its first 100 rows, which is more than a page of its items may hold."""
    playlist = _find_playlist(request)
    members = playlist_members(request.shapes, playlist, request.world.now())
    members["followers"] = {"href": None, "total": 0}
    access = request.library.access(playlist, restricted=request.shapes.restricted)
    if access != "ok" and not request.shapes.restricted:
        raise Refusal(REFUSALS[access])
    keys = _keys(request) if access == "ok" else ()
    return Reply(200, join(members, **{key: _rows(request, playlist, key, 0, 100) for key in keys}))


def get_items(request: ApiRequest) -> Reply:
    return _items(request, "items", 50)


def get_tracks(request: ApiRequest) -> Reply:
    return _items(request, "tracks", 100)


def _items(request: ApiRequest, key: str, max_limit: int) -> Reply:
    playlist = _find_playlist(request)
    access = request.library.access(playlist, restricted=request.shapes.restricted)
    if access != "ok":
        raise Refusal(REFUSALS[access])
    return Reply(200, _rows(request, playlist, key, *request.window(max_limit)))


def _find_playlist(request: ApiRequest) -> Playlist:
    playlist = request.world.playlists.get(request.args[0])
    if playlist is None or request.library.refusals.get(playlist.id) == "not_found":
        raise Refusal(REFUSALS["not_found"])
    return playlist


def _rows(request: ApiRequest, playlist: Playlist, key: str, offset: int, limit: int) -> str:
    kinds = request.query.get("additional_types", "track")
    part = playlist.rows[offset : offset + limit]
    rows = [playlist_row(request.shapes, row, episodes="episode" in kinds) for row in part]
    more = f"&additional_types={kinds}" if "additional_types" in request.query else ""
    return page(f"{request.api_url}/playlists/{playlist.id}/{key}", rows, len(playlist.rows), offset, limit, more=more)
