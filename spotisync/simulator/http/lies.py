"""Lies: correct replies, changed as Spotify is known to change them.

`answer` tells the lies among some rules without HTTP; over HTTP, the simulator's own rules are told.

kind             effect (a page of /me/following is the one in `artists`)
empty_list       no rows, and a total of 0 (web-api#156, #429)
phantom_total    a total that is `count` (1) too high (web-api#961, #1226, #1295, #841, #1327)
ignored_offset   the first page, whatever the offset or cursor (music-assistant/server#3155; spotify-web-api-node#374)
ignored_limit    a page of `count` (20) rows, whatever the limit (spotify-web-api-node#374)
repeated_page    the rows of the page before; all else is right (spotipy#1084: rows shifted by one)
wrong_offset     the right rows, but the reply says that its offset is `count` (0) (web-api#152)
beyond_end       502 for an offset or cursor beyond the last row (music-assistant/server#3818)
bad_item         502 for every page with the row of the track, episode, album, artist or playlist `item` (web-api#517)
reordered_keys   the keys of every object in a random order
unknown_fields   more fields in every object
missing_fields   every object without `fields`, by default those that documentation or restricted apps omit
genres_null      artists with `genres: null` (replay-crate#22)
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from spotisync.simulator.http.faults import Fault, Faults
from spotisync.simulator.http.request import ApiRequest, Refusal, Reply, error
from spotisync.simulator.http.routes import Route
from spotisync.simulator.http.shapes import RESTRICTED
from spotisync.simulator.http.text import dumps

Object = dict[str, Any]
Answer = Callable[[ApiRequest], Reply]
Lie = Callable[[Fault, Answer, ApiRequest], Reply]

OMITTED = {*RESTRICTED["artist"], *RESTRICTED["album"], *RESTRICTED["track"], *RESTRICTED["show"]}
OMITTED |= {"external_urls", "href", "is_playable", "previous", "primary_color", "restrictions", "video_thumbnail"}
UNKNOWN: Object = {
    "new_text": "🎶",
    "new_number": 2.5,
    "new_flag": True,
    "new_null": None,
    "new_list": [None, [], {"id": None}],
    "new_object": {"id": "new", "type": "unknown", "uri": None},
}


def answer(route: Route, request: ApiRequest, faults: Faults) -> Reply:
    """Answer a request with the lies that apply to it. Faults that are no lies are not applied.

    A path in the rules has the prefix /v1, with which the request's path may begin. Raises `Refusal` like the route.
    """
    query = "&".join(f"{key}={value}" for key, value in request.query.items())
    target = f"/v1{request.path.removeprefix('/v1')}?{query}"
    return tell(faults.trigger_lies(target, route.family, request.library.id), route.answer, request)


def tell(told: Sequence[Fault], respond: Answer, request: ApiRequest) -> Reply:
    """Answer with all these lies; each one changes the reply of those before it."""
    for lie in told:
        respond = partial(LIES[lie.kind], lie, respond)
    return respond(request)


# ---- changes of a reply ---------------------------------------------------------------------------------------------


def _pages(body: Any) -> Iterator[Object]:
    """Yield the pages in a body: itself, or a member, as in /me/following, albums and playlists."""
    if isinstance(body, dict):
        for each in (body, *body.values()):
            if isinstance(each, dict) and isinstance(each.get("items"), list):
                yield each


def _on_pages(change: Callable[[Fault, Object], None]) -> Lie:
    def tell_lie(lie: Fault, respond: Answer, request: ApiRequest) -> Reply:
        reply = respond(request)
        body = json.loads(reply.body)
        for page in _pages(body):
            change(lie, page)
        return reply._replace(body=dumps(body))

    return tell_lie


def _on_objects(change: Callable[[Fault, Object], Object]) -> Lie:
    def changed(lie: Fault, value: Any) -> Any:
        if isinstance(value, list):
            return [changed(lie, each) for each in value]
        if isinstance(value, dict):
            return change(lie, {key: changed(lie, each) for key, each in value.items()})
        return value

    def tell_lie(lie: Fault, respond: Answer, request: ApiRequest) -> Reply:
        reply = respond(request)
        return reply._replace(body=dumps(changed(lie, json.loads(reply.body))))

    return tell_lie


def _empty(_: Fault, page: Object) -> None:
    page |= {"items": [], "total": 0, "next": None}
    if "cursors" in page:
        page["cursors"] = {"after": None}


def _overcount(lie: Fault, page: Object) -> None:
    if "total" not in page:
        return
    page["total"] += 1 if lie.count is None else lie.count
    after = page.get("offset", page["total"]) + page["limit"]
    if page["next"] is None and after < page["total"]:
        page["next"] = page["href"].replace(f"offset={page['offset']}", f"offset={after}")


def _misstate_offset(lie: Fault, page: Object) -> None:
    if "offset" in page:
        page["offset"] = lie.count or 0


def _shuffle(lie: Fault, found: Object) -> Object:
    keys = list(found)
    lie.rng.shuffle(keys)
    return {key: found[key] for key in keys}


def _extend(_: Fault, found: Object) -> Object:
    return {**UNKNOWN, **found}


def _omit(lie: Fault, found: Object) -> Object:
    omitted = OMITTED if lie.fields is None else lie.fields
    return {key: value for key, value in found.items() if key not in omitted}


def _without_genres(_: Fault, found: Object) -> Object:
    return found | {"genres": None} if found.get("type") == "artist" and "genres" in found else found


# ---- answers to another request -------------------------------------------------------------------------------------


def _first_page(_: Fault, respond: Answer, request: ApiRequest) -> Reply:
    return respond(_moved(request))


def _moved(request: ApiRequest, **position: str) -> ApiRequest:
    query = {key: value for key, value in request.query.items() if key not in {"offset", "after", "before"}}
    return replace(request, query=query | position)


def _resize(lie: Fault, respond: Answer, request: ApiRequest) -> Reply:
    return respond(replace(request, page_size=20 if lie.count is None else lie.count))


def _repeat(_: Fault, respond: Answer, request: ApiRequest) -> Reply:
    reply = respond(request)
    body = json.loads(reply.body)
    for page, earlier in zip(_pages(body), _pages(_body_before(body, respond, request)), strict=False):
        page["items"] = earlier["items"]
    return reply._replace(body=dumps(body))


def _body_before(body: Any, respond: Answer, request: ApiRequest) -> Any:
    """Return the body of the page before the one in `body`; None if there is none."""
    if "artists" in body and "after" in request.query:
        return _followed_before(request.query["after"], respond, request)
    if body.get("offset"):
        offset = max(0, body["offset"] - body["limit"])
        return json.loads(respond(_moved(request, offset=str(offset))).body)
    return None


def _followed_before(cursor: str, respond: Answer, request: ApiRequest) -> Any:
    """Walk from the first page: cursors lead forward only."""
    body = json.loads(respond(_moved(request)).body)
    while (after := body["artists"]["cursors"]["after"]) is not None and after < cursor:
        body = json.loads(respond(_moved(request, after=after)).body)
    return body


# ---- errors ---------------------------------------------------------------------------------------------------------


def _fail_beyond_end(_: Fault, respond: Answer, request: ApiRequest) -> Reply:
    reply = respond(request)
    pages = list(_pages(json.loads(reply.body)))
    is_first = not request.query.get("after") and request.query.get("offset", "0") == "0"
    if pages and not is_first and not any(page["items"] for page in pages):
        raise Refusal(error(502, "Bad gateway."))
    return reply


def _fail_at_item(lie: Fault, respond: Answer, request: ApiRequest) -> Reply:
    reply = respond(request)
    rows = (row for page in _pages(json.loads(reply.body)) for row in page["items"])
    if any(lie.item in _ids(row) for row in rows):
        raise Refusal(error(502, "Bad gateway."))
    return reply


def _ids(row: Object | None) -> Iterator[str | None]:
    """Yield the ids of a row of any list: its own, or that of what it contains."""
    if row is not None:
        contents = (row.get(key) for key in ("track", "item", "album", "show", "episode"))
        yield from (each.get("id") for each in (row, *contents) if isinstance(each, dict))


LIES: dict[str, Lie] = {
    "empty_list": _on_pages(_empty),
    "phantom_total": _on_pages(_overcount),
    "ignored_offset": _first_page,
    "ignored_limit": _resize,
    "repeated_page": _repeat,
    "wrong_offset": _on_pages(_misstate_offset),
    "beyond_end": _fail_beyond_end,
    "bad_item": _fail_at_item,
    "reordered_keys": _on_objects(_shuffle),
    "unknown_fields": _on_objects(_extend),
    "missing_fields": _on_objects(_omit),
    "genres_null": _on_objects(_without_genres),
}
