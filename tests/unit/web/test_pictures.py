"""Pictures come from Spotify's hosts, or from a simulated Spotify on this machine."""

import pytest

from spotisync.settings import Settings
from spotisync.web.middleware.headers import content_security_policy
from spotisync.web.pictures import find_picture

COVER = "https://i.scdn.co/image/b1"


def images(settings: Settings) -> str:
    """The rule of the content security policy on images."""
    rules = dict(rule.split(" ", 1) for rule in content_security_policy(settings).split("; "))
    return rules["img-src"]


@pytest.mark.parametrize("host", ["api.spotify.com", "simulator.example", "127.0.0.1.example"])
def test_pictures_of_other_machines_come_from_spotify(host: str) -> None:
    settings = Settings(_env_file=None, spotify_api_url=f"https://{host}/v1")
    assert find_picture(settings, COVER) == COVER
    assert host not in images(settings)
    assert "http://" not in images(settings)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8421", "http://localhost:1", "http://[::1]:8421"])
def test_a_simulator_on_this_machine_has_the_pictures(origin: str) -> None:
    settings = Settings(_env_file=None, spotify_api_url=f"{origin}/v1")
    assert find_picture(settings, COVER) == f"{origin}/image/b1"
    assert find_picture(settings, "https://mosaic.scdn.co/640/x") == "https://mosaic.scdn.co/640/x"
    assert images(settings).split()[-1] == origin


@pytest.mark.parametrize("host", ["mosaic.scdn.co", "blend-playlist-covers.spotifycdn.com", "charts-images.scdn.co"])
def test_the_policy_allows_each_picture_that_is_shown(host: str) -> None:
    settings = Settings(_env_file=None, spotify_api_url="https://api.spotify.com/v1")
    assert find_picture(settings, f"https://{host}/x") == f"https://{host}/x"
    assert f"https://*.{host.partition('.')[2]}" in images(settings).split()


@pytest.mark.parametrize(
    "url",
    [
        None, "", "http://i.scdn.co/image/b1", "javascript:alert(1)", "//i.scdn.co/image/b1", "https://[", "https://scdn.co/x",
        "https://pictures.example/x", "https://i.scdn.co.example/x", "https://i.scdn.co@pictures.example/x",
    ],
)  # fmt: skip
def test_no_other_address_is_shown(url: str | None) -> None:
    for api in ("https://api.spotify.com/v1", "http://127.0.0.1:8421/v1"):
        assert find_picture(Settings(_env_file=None, spotify_api_url=api), url) is None
