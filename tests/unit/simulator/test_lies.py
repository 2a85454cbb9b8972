"""Every lie, over HTTP and in process, beside the correct reply."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spotisync.simulator import Fault, Server, World
from spotisync.simulator.http import faults, lies, routes
from spotisync.simulator.http.faults import Faults
from spotisync.simulator.http.request import ApiRequest, Refusal, Reply
from spotisync.simulator.http.shapes import Shapes

from .reader import Reader

LISTS = ("/me/tracks", "/me/albums", "/me/playlists", "/me/following")
Tell = Callable[..., int]


@pytest.fixture
def tell(server: Server) -> Tell:
    """Tell a lie about one list in every reply."""

    def add(kind: str, path: str, **rule: Any) -> int:
        return server.control.add_fault(**{"kind": kind, "path": f"/v1{path}", "times": None, **rule})

    return add


def page(reader: Reader, path: str, **query: Any) -> Any:
    if path != "/me/following":
        return reader.json(path, **query)
    return reader.json(path, type="artist", **query)["artists"]


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


def longest_playlist(server: Server) -> str:
    found: dict[str, list[Any]] = server.world.truth()["playlist_items"]
    return max(found, key=lambda id_: len(found[id_]))


def test_every_kind_has_an_implementation_and_a_description() -> None:
    assert tuple(lies.LIES) == faults.LIES
    assert all(f"\n{kind} " in (lies.__doc__ or "") for kind in faults.LIES)


# ---- pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_a_phantom_total_is_always_too_high_by_the_count(path: str, reader: Reader, tell: Tell) -> None:
    true = page(reader, path, limit=50)
    tell("phantom_total", path)
    for _ in range(2):
        told = page(reader, path, limit=50)
        assert (told["total"], told["items"]) == (true["total"] + 1, true["items"])
    tell("phantom_total", path, count=70)
    assert page(reader, path, limit=50)["total"] == true["total"] + 71


def test_a_phantom_total_links_to_a_page_without_rows(reader: Reader, tell: Tell) -> None:
    tell("phantom_total", "/me/tracks", count=70)
    told = reader.json("/me/tracks", limit=50)
    assert "offset=50" in told["next"]
    assert reader.session.get(told["next"], timeout=60).json()["items"] == []


def test_a_phantom_total_of_a_playlist_shows_in_both_requests(server: Server, reader: Reader, tell: Tell) -> None:
    id_ = longest_playlist(server)
    total = reader.json(f"/playlists/{id_}/items")["total"]
    tell("phantom_total", f"/playlists/{id_}")
    assert reader.json(f"/playlists/{id_}/items")["total"] == total + 1
    assert reader.json(f"/playlists/{id_}")["tracks"]["total"] == total + 1


@pytest.mark.parametrize("path", ["/me/tracks", "/me/albums", "/me/playlists"])
def test_an_ignored_offset_gets_the_first_page(path: str, reader: Reader, tell: Tell) -> None:
    first = reader.json(path, limit=2)
    tell("ignored_offset", path)
    told = reader.json(path, limit=2, offset=2)
    assert told == first
    assert told["offset"] == 0


def test_an_ignored_cursor_gets_the_first_page(reader: Reader, tell: Tell) -> None:
    first = page(reader, "/me/following", limit=1)
    tell("ignored_offset", "/me/following")
    assert page(reader, "/me/following", limit=1, after=first["cursors"]["after"]) == first


@pytest.mark.parametrize("path", LISTS)
def test_an_ignored_limit_gets_pages_of_another_size(path: str, server: Server, reader: Reader, tell: Tell) -> None:
    rows = page(reader, path, limit=50)["items"]
    smaller = tell("ignored_limit", path, count=2)
    assert page(reader, path, limit=50)["items"] == rows[:2]
    server.control.clear_faults(smaller)
    tell("ignored_limit", path)
    assert page(reader, path, limit=1)["items"] == rows[:20]


def test_a_page_can_be_larger_than_spotify_allows(reader: Reader, tell: Tell) -> None:
    tell("ignored_limit", "/playlists/.*/items", count=100)
    id_ = next(row["id"] for row in reader.rows("/me/playlists") if row and row["items"]["total"] > 100)
    assert len(reader.json(f"/playlists/{id_}/items", limit=50)["items"]) == 100


def test_a_repeated_page_has_the_requested_offset(reader: Reader, tell: Tell) -> None:
    first, second = (reader.json("/me/tracks", limit=10, offset=offset) for offset in (0, 10))
    tell("repeated_page", "/me/tracks")
    assert reader.json("/me/tracks", limit=10) == first
    told = reader.json("/me/tracks", limit=10, offset=10)
    assert told == second | {"items": first["items"]}


def test_a_repeated_page_of_cursors_leads_on(reader: Reader, tell: Tell) -> None:
    pages = [page(reader, "/me/following", limit=1)]
    while cursor := pages[-1]["cursors"]["after"]:
        pages.append(page(reader, "/me/following", limit=1, after=cursor))
    tell("repeated_page", "/me/following")
    for before, asked, right in zip(pages, pages, pages[1:], strict=False):
        told = page(reader, "/me/following", limit=1, after=asked["cursors"]["after"])
        assert told == right | {"items": before["items"]}


def test_a_wrong_offset_comes_with_the_right_rows(reader: Reader, tell: Tell) -> None:
    right = reader.json("/me/tracks", limit=10, offset=10)
    tell("wrong_offset", "/me/tracks", times=1)
    assert reader.json("/me/tracks", limit=10, offset=10) == right | {"offset": 0}
    tell("wrong_offset", "/me/tracks", count=7)
    assert reader.json("/me/tracks", limit=10, offset=10) == right | {"offset": 7}


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_keeps_the_other_keys(path: str, reader: Reader, tell: Tell) -> None:
    right = page(reader, path)
    tell("empty_list", path, times=1)
    told = page(reader, path)
    assert (told["items"], told["total"], told["next"]) == ([], 0, None)
    assert told.keys() == right.keys()
    assert page(reader, path) == right


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_only_requests_beyond_the_end_fail(server: Server, reader: Reader, tell: Tell) -> None:
    tell("beyond_end", "/me/")
    tell("phantom_total", "/me/tracks")
    total = len(server.world.first.saved)
    statuses = [reader.get("/me/tracks", offset=offset).status_code for offset in (0, total - 1, total, total + 9)]
    assert statuses == [200, 200, 502, 502]
    last = server.world.first.followed[-1][0]
    assert reader.get("/me/following", type="artist").status_code == 200
    assert reader.get("/me/following", type="artist", after=last).status_code == 502


def test_an_empty_list_does_not_fail(server: Server, reader: Reader, tell: Tell) -> None:
    server.world.first.albums.clear()
    tell("beyond_end", "/me/albums")
    assert reader.json("/me/albums")["items"] == []


def test_a_bad_item_fails_every_page_with_it_for_ever(server: Server, reader: Reader, tell: Tell) -> None:
    rows = list(reader.rows("/me/tracks"))
    bad = next(place for place in range(12, 20) if rows[place]["track"])
    tell("bad_item", "/me/tracks", item=rows[bad]["track"]["id"])
    for _ in range(2):
        assert reader.get("/me/tracks", limit=bad + 1).status_code == 502
        assert reader.get("/me/tracks", limit=50, offset=bad).status_code == 502
    assert reader.get("/me/tracks", limit=bad).status_code == 200
    assert reader.get("/me/tracks", offset=bad + 1).status_code == 200
    server.control.edit("like")
    assert reader.get("/me/tracks", limit=bad + 1).status_code == 200
    assert reader.get("/me/tracks", offset=bad + 1).status_code == 502
    server.control.edit("unlike", track=rows[bad]["track"]["id"])
    assert reader.get("/me/tracks", limit=50).status_code == 200


@pytest.mark.parametrize("path", [*LISTS[1:], "/me/shows", "/playlists/{id}/items"])
def test_a_bad_item_can_be_in_every_list(path: str, server: Server, reader: Reader, tell: Tell) -> None:
    path = path.replace("{id}", longest_playlist(server))
    row = next(row for row in page(reader, path, limit=50)["items"] if row)
    item = next((row[key] for key in ("album", "show", "item") if key in row), row)
    tell("bad_item", path, item=item["id"] if "id" in item else row["id"])
    assert reader.get(path, limit=50, type="artist").status_code == 502


def test_a_bad_item_needs_an_id(server: Server) -> None:
    with pytest.raises(ValueError, match="bad_item needs `item`"):
        server.control.add_fault(kind="bad_item")


# ---- objects --------------------------------------------------------------------------------------------------------


def test_reordered_keys_change_only_the_order(server: Server, reader: Reader, tell: Tell) -> None:
    right = reader.get("/me/tracks").text
    rule = tell("reordered_keys", "/me/tracks", seed=3)
    told = [reader.get("/me/tracks").text for _ in range(2)]
    assert json.loads(told[0]) == json.loads(told[1]) == json.loads(right)
    assert len({right, *told}) == 3
    server.control.clear_faults(rule)
    tell("reordered_keys", "/me/tracks", seed=3)
    assert reader.get("/me/tracks").text == told[0]


def test_unknown_fields_are_in_every_object(reader: Reader, tell: Tell) -> None:
    right = reader.json("/me/albums")
    tell("unknown_fields", "/me/albums")
    told = reader.json("/me/albums")
    row = next(row for row in told["items"] if row)
    for found in (told, row, row["album"], row["album"]["artists"][0], row["album"]["tracks"]["items"][0]):
        assert found.keys() >= lies.UNKNOWN.keys()
    assert told["total"] == right["total"]
    assert {type(each) for each in lies.UNKNOWN.values()} == {str, float, bool, type(None), list, dict}


def test_optional_fields_are_missing_in_every_object(reader: Reader, tell: Tell) -> None:
    tell("missing_fields", "/me/")
    for path in LISTS:
        told = page(reader, path)
        assert {"items", "total"} <= told.keys()
        assert not any(lies.OMITTED & found.keys() for found in objects(told))
    assert all(row["id"] for row in page(reader, "/me/following")["items"])


def test_chosen_fields_are_missing(reader: Reader, tell: Tell) -> None:
    right = reader.json("/me/tracks")
    tell("missing_fields", "/me/tracks", fields=["total"])
    assert reader.json("/me/tracks").keys() == right.keys() - {"total"}


def test_genres_are_null(server: Server, reader: Reader, tell: Tell) -> None:
    tell("genres_null", "/(artists|me/following)")
    told = page(reader, "/me/following")["items"]
    assert all(each["genres"] is None for each in told)
    assert reader.json("/artists", ids=told[0]["id"])["artists"][0]["genres"] is None
    assert reader.json("/me/albums")["items"][0]["album"]["genres"] == []


# ---- rules ----------------------------------------------------------------------------------------------------------


def test_several_lies_and_a_fault_apply_to_one_request(server: Server, reader: Reader, tell: Tell) -> None:
    total = reader.json("/me/tracks")["total"]
    tell("phantom_total", "/me/tracks")
    tell("ignored_limit", "/me/tracks", count=3)
    server.control.add_fault(kind="delay", seconds=0.01)
    told = reader.json("/me/tracks")
    assert (told["total"], len(told["items"])) == (total + 1, 3)
    assert server.control.requests(last=1)[0]["fault"] == "3:delay,1:phantom_total,2:ignored_limit"


def test_a_lie_follows_the_fields_of_its_rule(server: Server, reader: Reader, tell: Tell) -> None:
    tell("empty_list", r"/me/tracks\?.*offset=10", account="user01", after=1, times=1)
    lengths = [len(reader.json("/me/tracks", limit=10, offset=offset)["items"]) for offset in (0, 10, 10, 10)]
    assert lengths == [10, 10, 0, 10]
    (seen,) = server.control.faults()
    assert (seen["matched"], seen["struck"]) == (3, 1)


def test_refusals_stay_as_they_are(reader: Reader, tell: Tell) -> None:
    right = reader.get("/playlists/" + "0" * 22).json()
    tell("unknown_fields", "/")
    reply = reader.get("/playlists/" + "0" * 22)
    assert (reply.status_code, reply.json()) == (404, right)


def ask(world: World, rules: Faults, path: str, **query: str) -> Reply:
    """Ask without HTTP."""
    match = routes.find(f"/v1{path}")
    assert match
    shapes = Shapes(world.catalogue, "http://spotify/v1")
    return lies.answer(match[0], ApiRequest(world, shapes, world.first, "http://spotify/v1", path, query), rules)


def test_lies_are_told_without_http() -> None:
    world, rules = World("tiny"), Faults()
    rules.add(Fault("phantom_total", path="/v1/me/tracks", times=None))
    rules.add(Fault("ignored_offset", path=r"/v1/me/tracks\?.*offset=5", family="library", account="user01"))
    told = [json.loads(ask(world, rules, "/me/tracks", limit="5", offset="5").body) for _ in range(2)]
    assert [each["offset"] for each in told] == [0, 5]
    assert [each["total"] for each in told] == [len(world.first.saved) + 1] * 2
    rules.add(Fault("beyond_end", times=None))
    with pytest.raises(Refusal) as refused:
        ask(world, rules, "/me/tracks", offset="500")
    assert refused.value.reply.status == 502
