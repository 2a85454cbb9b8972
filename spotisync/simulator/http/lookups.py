"""Looking things up by id: artists, albums, tracks, one or many."""

from collections.abc import Callable

from spotisync.simulator.http.request import Ask, Reply, refused
from spotisync.simulator.http.text import join, listed
from spotisync.simulator.world.ids import well_formed


def _known(ask: Ask, kind: str, id_: str) -> int | None:
    number = ask.world.catalogue.find(kind, id_)
    return None if number is None or ask.world.catalogue.gone(kind, number) else number


def _writer(ask: Ask, kind: str) -> Callable[[int], str]:
    return {"artist": ask.shapes.artist, "album": ask.shapes.album, "track": ask.shapes.track}[kind]


def one(kind: str) -> Callable[[Ask], Reply]:
    def answer(ask: Ask) -> Reply:
        return Reply(200, _writer(ask, kind)(required(ask, kind, ask.args[0])))

    return answer


def required(ask: Ask, kind: str, id_: str) -> int:
    if not well_formed(id_):
        raise refused(400, "Invalid base62 id")
    number = _known(ask, kind, id_)
    if number is None:
        raise refused(404, "Resource not found")
    return number


def many(kind: str, most: int) -> Callable[[Ask], Reply]:
    """Answer in the order of the ids, null where nothing is known."""

    def answer(ask: Ask) -> Reply:
        ids = [id_ for id_ in ask.query.get("ids", "").split(",") if id_]
        if not ids or not all(well_formed(id_) for id_ in ids):
            raise refused(400, "Invalid id" if ids else "Missing required field: ids")
        if len(ids) > most:
            raise refused(400, "Too many ids requested")
        numbers = [_known(ask, kind, id_) for id_ in ids]
        write = _writer(ask, kind)
        rows = listed(["null" if number is None else write(number) for number in numbers])
        return Reply(200, join({}, **{f"{kind}s": rows}))

    return answer


def album_tracks(ask: Ask) -> Reply:
    album = required(ask, "album", ask.args[0])
    offset, limit = ask.window()
    return Reply(200, ask.shapes.album_tracks(album, offset, limit))
