"""spotipy 2.26 with its own session reads everything."""

from collections.abc import Iterator

import pytest
import requests
import spotipy

from spotisync.simulator import Server


@pytest.fixture
def client(server: Server) -> Iterator[spotipy.Spotify]:
    with requests.Session() as session:
        client = spotipy.Spotify(auth=server.access_token(), requests_session=session)
        client.prefix = f"{server.url}/v1/"
        yield client


def test_spotipy_reads_everything(server: Server, client: spotipy.Spotify) -> None:
    truth = server.world.truth()
    assert client.me()["id"] == "user01"
    assert client.current_user_saved_tracks(limit=50)["total"] == truth["totals"]["saved_tracks"]
    assert client.current_user_saved_albums(limit=50)["total"] == truth["totals"]["saved_albums"]
    assert client.current_user_playlists()["total"] == truth["totals"]["playlists"]
    assert client.current_user_followed_artists()["artists"]["total"] == len(truth["followed_artists"])
    assert len(client.current_user_recently_played()["items"]) == truth["plays_visible"]
    artists, albums, tracks = (list(truth[kind])[:5] for kind in ("artists", "albums", "tracks"))
    assert len(client.artists(artists)["artists"]) == len(artists)
    assert len(client.albums(albums)["albums"]) == len(albums)
    assert [track["id"] for track in client.tracks(tracks)["tracks"]] == tracks
    assert client.track(tracks[0])["id"] == tracks[0]
    assert client.album_tracks(truth["saved_albums"][0]["album_id"])["total"] >= 1


def test_spotipy_reads_playlists_page_by_page(server: Server, client: spotipy.Spotify) -> None:
    for playlist, items in server.world.truth()["playlist_items"].items():
        page, rows = client.playlist_items(playlist), []
        while page:
            rows += page["items"]
            page = client.next(page)
        assert len(rows) == len(items)
        assert client.playlist(playlist)["items"]["total"] == len(items)


def test_spotipy_keeps_the_headers_of_a_429(server: Server, client: spotipy.Spotify) -> None:
    server.control.add_fault(status=429, retry_after=86_236, body="quota")
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.me()
    assert (caught.value.http_status, caught.value.reason) == (429, "QUOTA_EXCEEDED")
    assert caught.value.headers["Retry-After"] == "86236"


def test_spotipy_refreshes_tokens_at_the_simulator(server: Server) -> None:
    with requests.Session() as session:
        auth = spotipy.SpotifyOAuth(
            "app", "secret", "http://127.0.0.1:9/callback", requests_session=session, requests_timeout=60,
            cache_handler=spotipy.MemoryCacheHandler(),
        )  # fmt: skip
        auth.OAUTH_TOKEN_URL = f"{server.url}/api/token"
        assert auth.refresh_access_token(server.refresh_token())["access_token"]
        server.control.revoke()
        with pytest.raises(spotipy.SpotifyOauthError) as caught:
            auth.refresh_access_token(server.control.info()["accounts"][0]["refresh_token"] or "ended")
        assert caught.value.error == "invalid_grant"
