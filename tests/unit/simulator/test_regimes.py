"""What the restricted API refuses and omits."""

from collections.abc import Iterator

import pytest

from spotisync.simulator import Server, start

from .reader import Reader


@pytest.fixture
def restricted() -> Iterator[Server]:
    with start("tiny", regime="restricted") as server:
        yield server


@pytest.fixture
def limited(restricted: Server) -> Iterator[Reader]:
    with Reader(restricted.url, restricted.access_token()) as reader:
        yield reader


def test_removed_paths_return_403(restricted: Server, limited: Reader) -> None:
    truth = restricted.world.truth()
    playlist = next(iter(truth["playlist_items"]))
    gone = {
        "/artists": next(iter(truth["artists"])),
        "/albums": next(iter(truth["albums"])),
        "/tracks": next(iter(truth["tracks"])),
    }
    for path, ids in gone.items():
        reply = limited.get(path, ids=ids)
        assert (reply.status_code, reply.json()) == (403, {"error": {"status": 403, "message": "Forbidden"}})
    assert limited.get(f"/playlists/{playlist}/tracks").status_code == 403
    assert limited.get("/users/user01/playlists").status_code == 403


def test_objects_lack_the_removed_fields(restricted: Server, limited: Reader) -> None:
    truth = restricted.world.truth()
    artist = next(id_ for id_, each in truth["artists"].items() if not each["gone"])
    album = next(id_ for id_, each in truth["albums"].items() if not each["gone"])
    assert set(limited.json(f"/artists/{artist}")) == {"external_urls", "href", "id", "images", "name", "type", "uri"}
    assert not {"available_markets", "label", "popularity", "genres"} & set(limited.json(f"/albums/{album}"))
    assert "external_ids" in limited.json(f"/albums/{album}")
    track = limited.json("/me/tracks")["items"][0]["track"]
    assert not {"available_markets", "popularity", "linked_from", "preview_url"} & set(track)
    assert "isrc" in track["external_ids"]
    assert not {"country", "email", "product", "followers", "explicit_content"} & set(limited.json("/me"))


def test_only_own_playlists_have_rows_and_rows_have_only_item(restricted: Server, limited: Reader) -> None:
    listed = [row for row in limited.rows("/me/playlists") if row]
    assert all("items" in row and "tracks" not in row for row in listed)
    for row in listed:
        reply = limited.get(f"/playlists/{row['id']}/items")
        if row["owner"]["id"] == "spotify":
            assert reply.status_code == 404
        elif row["owner"]["id"] != "user01" and not row["collaborative"]:
            assert reply.status_code == 403
            whole = limited.json(f"/playlists/{row['id']}")
            assert not {"items", "tracks"} & set(whole)
        else:
            assert all("item" in each and "track" not in each for each in reply.json()["items"])
            assert "tracks" not in limited.json(f"/playlists/{row['id']}")


def test_the_list_leaves_out_spotify_s_own_playlists(server: Server, reader: Reader) -> None:
    """Those of other people stay (stiefenm/spoton#120); Spotify's don't, not even as null (Spotty-Plugin#233)."""
    before = list(reader.rows("/me/playlists"))
    server.control.settings(regime="restricted")
    after = list(reader.rows("/me/playlists"))
    owners = {row["owner"]["id"] for row in before if row}
    assert None in before
    assert {"spotify", "friend900"} <= owners
    assert {row["owner"]["id"] for row in after} == owners - {"spotify"}
    assert [row["id"] for row in after] == [row["id"] for row in before if row and row["owner"]["id"] != "spotify"]
    truth = server.control.truth()
    assert [row["id"] for row in truth["playlists"]] == [row["id"] for row in after]
    assert truth["totals"]["playlists"] == len(after)


def test_an_own_playlist_can_be_forbidden(restricted: Server, limited: Reader) -> None:
    """Forbidden is not foreign (stiefenm/spoton#119, music-assistant/support#6107)."""
    own = [row["id"] for row in limited.rows("/me/playlists") if row["owner"]["id"] == "user01"]
    restricted.control.add_fault(status=403, path=f"/playlists/{own[0]}/items", times=None)
    restricted.world.first.refusals[own[1]] = "forbidden"
    for id_ in own[:2]:
        reply = limited.get(f"/playlists/{id_}/items")
        assert (reply.status_code, reply.json()) == (403, {"error": {"status": 403, "message": "Forbidden"}})
        assert limited.json(f"/playlists/{id_}")["owner"]["id"] == "user01"
    assert limited.get(f"/playlists/{own[2]}/items").status_code == 200


def test_the_regime_can_change_at_run_time(server: Server, reader: Reader) -> None:
    assert "tracks" in reader.json("/me/playlists")["items"][0]
    server.control.settings(regime="restricted")
    assert "tracks" not in reader.json("/me/playlists")["items"][0]
    assert server.control.truth()["regime"] == "restricted"
    server.control.settings(regime="full")
    assert "tracks" in reader.json("/me/playlists")["items"][0]


def test_the_four_kinds_of_403_differ_in_message_and_scope(server: Server) -> None:
    """They differ only in their message and in what they affect."""
    refusal = server.world.truth()["playlists"][0]["id"]
    server.world.library("user01").refusals[refusal] = "forbidden"
    one, two = (Reader(server.url, server.access_token(name)) for name in ("user01", "user02"))
    with one, two:
        assert one.get(f"/playlists/{refusal}/items").json() == {"error": {"status": 403, "message": "Forbidden"}}
        assert one.get("/me/tracks").status_code == 200
        server.control.settings(unlisted=["user01"])
        assert [one.get("/me/tracks").status_code, two.get("/me/tracks").status_code] == [403, 200]
        assert "may not be registered" in one.get("/me").json()["error"]["message"]
        server.control.settings(unlisted=[], premium=False)
        for each in (one, two):
            reply = each.get("/me/tracks")
            assert (reply.status_code, reply.headers["Content-Type"].split(";")[0]) == (403, "text/plain")
            assert reply.text.startswith("Active premium subscription required for the owner of the app.")
        server.control.settings(premium=True)
        assert one.get("/me/tracks").status_code == 200
