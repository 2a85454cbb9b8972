"""Paging, page limits, look-ups, cursors, and edits between two pages."""

from datetime import datetime
from itertools import pairwise

import pytest

from spotisync.simulator import Server

from .reader import Reader


def test_pages_link_to_each_other(server: Server, reader: Reader) -> None:
    seen, url = [], f"{server.url}/v1/me/tracks?limit=7"
    while url:
        page = reader.session.get(url, timeout=60).json()
        seen += page["items"]
        assert page["total"] == 33
        assert (page["previous"] is None) == (page["offset"] == 0)
        url = page["next"]
    assert seen == list(reader.rows("/me/tracks"))
    assert len(seen) == 33
    assert reader.json("/me/tracks", offset=1_000)["items"] == []


def test_saved_tracks_are_sorted_by_minute_newest_first(reader: Reader) -> None:
    rows = list(reader.rows("/me/tracks"))
    assert all(later["added_at"][:16] >= row["added_at"][:16] for later, row in pairwise(rows))
    assert sum(row["track"] is None for row in rows) == 2


def test_the_next_page_of_playlists_is_under_the_user(server: Server, reader: Reader) -> None:
    page = reader.json("/me/playlists", limit=3)
    assert page["next"] == f"{server.url}/v1/users/user01/playlists?offset=3&limit=3"
    assert reader.session.get(page["next"], timeout=60).json()["offset"] == 3


@pytest.mark.parametrize("path", ["/me/tracks", "/me/albums", "/me/playlists", "/me/player/recently-played"])
def test_the_limit_of_a_page_is_validated(reader: Reader, path: str) -> None:
    assert reader.json(path, limit=50)["limit"] == 50
    assert reader.json(path)["limit"] == 20
    for wrong in (0, 51, -1, "many"):
        reply = reader.get(path, limit=wrong)
        assert (reply.status_code, reply.json()["error"]["message"]) == (400, "Invalid limit")


def test_saved_shows_mix_in_audiobooks_without_a_mark(server: Server, reader: Reader) -> None:
    """Peter-Schorn/SpotifyAPI#67, crmne/fastpotify#537."""
    shows = [row["show"] for row in reader.rows("/me/shows") if row]
    assert len(shows) == 5
    assert sum(show["name"].endswith("(Unabridged)") for show in shows) == 2
    assert len({(show["type"], show["media_type"], *show) for show in shows}) == 1
    assert None in reader.json("/me/shows")["items"]
    with Reader(server.url, server.access_token("user02")) as other:
        assert other.json("/me/shows")["items"] != reader.json("/me/shows")["items"]


def test_ignores_a_trailing_slash(server: Server, reader: Reader) -> None:
    artist = next(id_ for id_, each in server.world.truth()["artists"].items() if not each["gone"])
    assert reader.json("/me/") == reader.json("/me")
    assert reader.json("/artists/", ids=artist) == reader.json("/artists", ids=artist)


def test_an_unlike_between_pages_hides_a_row_and_a_like_repeats_one(server: Server, reader: Reader) -> None:
    before = [row["track"] and row["track"]["id"] for row in reader.rows("/me/tracks")]
    first = [id_ for id_ in before[:10] if id_]
    server.control.edit("unlike", track=first[0])
    assert reader.json("/me/tracks", limit=10, offset=10)["items"][0]["track"]["id"] == before[11]
    server.control.edit("relike", track=first[1])
    server.control.edit("like")
    assert reader.json("/me/tracks", limit=10, offset=10)["items"][0]["track"]["id"] == before[10]


@pytest.mark.parametrize(("kind", "most"), [("artist", 50), ("album", 20), ("track", 50)])
def test_looks_up_many_ids(server: Server, reader: Reader, kind: str, most: int) -> None:
    known = [id_ for id_, each in server.world.truth()[f"{kind}s"].items() if not each.get("gone")]
    asked = [known[1], "0" * 22, known[0]]
    found = reader.json(f"/{kind}s", ids=",".join(asked))[f"{kind}s"]
    assert [each and each["id"] for each in found] == [known[1], None, known[0]]
    assert found[0] == reader.json(f"/{kind}s/{known[1]}")
    assert reader.get(f"/{kind}s/{'0' * 22}").status_code == 404
    assert reader.get(f"/{kind}s/nonsense").status_code == 400
    assert reader.get(f"/{kind}s", ids=",".join([known[0]] * (most + 1))).status_code == 400
    assert reader.get(f"/{kind}s").status_code == 400


def test_a_missing_id_is_null_among_many_and_404_alone(server: Server, reader: Reader) -> None:
    for kind in ("artist", "album"):
        gone = next(id_ for id_, each in server.world.truth()[f"{kind}s"].items() if each["gone"])
        assert reader.json(f"/{kind}s", ids=gone) == {f"{kind}s": [None]}
        assert reader.get(f"/{kind}s/{gone}").json() == {"error": {"status": 404, "message": "Resource not found"}}


def test_lists_the_tracks_of_an_album(server: Server, reader: Reader) -> None:
    album = next(id_ for id_, each in server.world.truth()["albums"].items() if not each["gone"])
    whole = reader.json(f"/albums/{album}")
    rows = list(reader.rows(f"/albums/{album}/tracks", limit=2))
    assert rows == whole["tracks"]["items"]
    assert len(rows) == whole["total_tracks"] == whole["tracks"]["total"]


def test_a_playlist_embeds_a_hundred_rows_at_any_page_size(server: Server, reader: Reader) -> None:
    large = max(server.world.truth()["playlist_items"].items(), key=lambda entry: len(entry[1]))[0]
    whole = reader.json(f"/playlists/{large}")
    assert whole["items"]["limit"] == len(whole["items"]["items"]) == len(whole["tracks"]["items"]) == 100
    assert whole["items"]["items"] == list(reader.rows(f"/playlists/{large}/items"))[:100]
    assert reader.json(f"/playlists/{large}/tracks", limit=100)["limit"] == 100
    assert reader.get(f"/playlists/{large}/items", limit=51).status_code == 400


def test_an_episode_comes_as_a_track_unless_episodes_are_requested(server: Server, reader: Reader) -> None:
    episodes = {
        id_: next(row for row in rows if row["kind"] == "episode")
        for id_, rows in server.world.truth()["playlist_items"].items()
        if any(row["kind"] == "episode" for row in rows)
    }
    ((playlist, truth),) = episodes.items()
    path = f"/playlists/{playlist}/items"
    asked = reader.json(path, additional_types="track,episode")["items"][truth["position"]]["item"]
    unasked = reader.json(path)["items"][truth["position"]]["item"]
    assert asked["type"] == "episode"
    assert "show" in asked
    assert "artists" not in asked
    assert unasked["album"]["id"] == unasked["artists"][0]["id"] == asked["show"]["id"]
    assert unasked["artists"][0]["type"] == "show"
    assert (unasked["track"], unasked["episode"], unasked["id"]) == (False, True, asked["id"])


def test_pages_by_the_last_id_even_if_it_is_gone(server: Server, reader: Reader) -> None:
    for _ in range(4):
        server.control.edit("follow")
    page = reader.json("/me/following", type="artist", limit=3)["artists"]
    after = page["cursors"]["after"]
    assert after == page["items"][-1]["id"]
    assert f"after={after}" in page["next"]
    expected = reader.session.get(page["next"], timeout=60).json()["artists"]["items"]
    server.control.edit("unfollow", artist=after)
    assert reader.session.get(page["next"], timeout=60).json()["artists"]["items"] == expected
    assert reader.get("/me/following").status_code == 400


def test_recent_plays_are_limited_to_fifty(server: Server, reader: Reader) -> None:
    for number in range(60):
        server.world.edit("play", at_ms=1_800_000_000_000 + number)
    page = reader.json("/me/player/recently-played", limit=50)
    assert len(page["items"]) == 50
    assert page["cursors"] == {"after": "1800000000059", "before": "1800000000010"}
    beyond = reader.session.get(page["next"], timeout=60).json()
    assert (beyond["items"], beyond["cursors"], beyond["next"]) == ([], None, None)
    newer = reader.json("/me/player/recently-played", after=1_800_000_000_057)["items"]
    assert [each["played_at"][-4:-1] for each in newer] == ["059", "058"]
    assert reader.get("/me/player/recently-played", after=1, before=2).status_code == 400


def test_a_late_play_is_inserted_in_order(server: Server, reader: Reader) -> None:
    server.world.edit("play", at_ms=1_800_000_000_000)
    server.world.edit("play", at_ms=1_800_000_500_000)
    server.world.edit("play", at_ms=1_800_000_200_000)
    times = [each["played_at"] for each in reader.json("/me/player/recently-played", limit=50)["items"]]
    assert times == sorted(times, reverse=True)


def test_rejects_unknown_paths_and_methods(reader: Reader) -> None:
    assert reader.get("/me/nothing").json() == {"error": {"status": 404, "message": "Service not found"}}
    assert reader.get("/playlists/" + "0" * 22).status_code == 404
    assert reader.session.put(f"{reader.url}/v1/me/tracks", timeout=60).status_code == 405
    assert reader.session.get(f"{reader.url}/nothing", timeout=60).status_code == 404


def test_plays_of_a_few_seconds_are_only_in_the_streaming_history(server: Server, reader: Reader) -> None:
    server.world.edit("play", at_ms=1_800_000_000_000)
    short = server.world.edit("play", at_ms=1_800_000_500_000, ms_played=30_000)
    plays = reader.json("/me/player/recently-played", limit=50)["items"]
    assert plays[0]["played_at"] == "2027-01-15T08:00:00.000Z"
    assert server.world.truth()["plays"][-1] == {
        "played_at": short["played_at"],
        "track_id": short["track_id"],
        "ms_played": 30_000,
    }


def test_reports_have_the_start_of_a_play_if_configured(server: Server, reader: Reader) -> None:
    server.control.settings(play_starts=True)
    started = reader.json("/me/player/recently-played", limit=1)["items"][0]["played_at"]
    server.control.settings(play_starts=False)
    ended = reader.json("/me/player/recently-played", limit=1)["items"][0]["played_at"]
    listened = datetime.fromisoformat(ended) - datetime.fromisoformat(started)
    assert listened.total_seconds() * 1000 == server.world.truth()["plays"][-1]["ms_played"]


def test_reports_of_a_play_differ_if_configured(server: Server, reader: Reader) -> None:
    server.control.settings(play_shift=5)
    times = {reader.json("/me/player/recently-played", limit=50)["items"][0]["played_at"] for _ in range(5)}
    assert len(times) > 1
    server.control.settings(play_shift=0)
    plays = reader.json("/me/player/recently-played", limit=50)["items"]
    assert [each["played_at"] for each in plays] == [each["played_at"] for each in server.world.truth()["plays"]][::-1]
