"""Look-ups by id: artists, albums, tracks, one or many."""

from collections.abc import Callable

from spotisync.simulator.http.request import ApiRequest, Reply, refusal
from spotisync.simulator.http.text import array, join
from spotisync.simulator.world.ids import is_well_formed


def _find(request: ApiRequest, kind: str, id_: str) -> int | None:
    number = request.world.catalogue.find(kind, id_)
    return None if number is None or request.world.catalogue.is_gone(kind, number) else number


def _writer(request: ApiRequest, kind: str) -> Callable[[int], str]:
    shapes = request.shapes
    writers: dict[str, Callable[[int], str]] = {"artist": shapes.artist, "album": shapes.album, "track": shapes.track}
    return writers[kind]


def look_up_one(kind: str) -> Callable[[ApiRequest], Reply]:
    def answer(request: ApiRequest) -> Reply:
        return Reply(200, _writer(request, kind)(find_or_refuse(request, kind, request.args[0])))

    return answer


def find_or_refuse(request: ApiRequest, kind: str, id_: str) -> int:
    if not is_well_formed(id_):
        raise refusal(400, "Invalid base62 id")
    number = _find(request, kind, id_)
    if number is None:
        raise refusal(404, "Resource not found")
    return number


def look_up_many(kind: str, max_ids: int) -> Callable[[ApiRequest], Reply]:
    """Answer in the order of the ids, with null for unknown ones."""

    def answer(request: ApiRequest) -> Reply:
        ids = [id_ for id_ in request.query.get("ids", "").split(",") if id_]
        if not ids or not all(is_well_formed(id_) for id_ in ids):
            raise refusal(400, "Invalid id" if ids else "Missing required field: ids")
        if len(ids) > max_ids:
            raise refusal(400, "Too many ids requested")
        numbers = [_find(request, kind, id_) for id_ in ids]
        write = _writer(request, kind)
        rows = array(["null" if number is None else write(number) for number in numbers])
        return Reply(200, join({}, **{f"{kind}s": rows}))

    return answer


def album_tracks(request: ApiRequest) -> Reply:
    album = find_or_refuse(request, "album", request.args[0])
    offset, limit = request.window()
    return Reply(200, request.shapes.album_tracks(album, offset, limit))
