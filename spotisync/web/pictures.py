"""Where the page gets pictures from: Spotify's hosts, or a simulated Spotify on this machine."""

import re
from typing import Final
from urllib.parse import urlsplit

from spotisync.settings import Settings, is_loopback

SPOTIFY: Final = "https://i.scdn.co"
# Covers, mosaics and profile pictures; covers of blends, mixes and charts each have a host of their own.
IMAGE_HOSTS: Final = ("https://*.scdn.co", "https://*.spotifycdn.com")
_IS_OF_SPOTIFY: Final = re.compile(r"https://[a-z0-9-]+\.(scdn\.co|spotifycdn\.com)/")


def get_simulator_origin(settings: Settings) -> str | None:
    """The origin of `SPOTISYNC_SPOTIFY_API_URL` if that is on this machine. It then has the pictures too."""
    url = urlsplit(settings.spotify_api_url)
    return f"{url.scheme}://{url.netloc}" if is_loopback(url.hostname or "") else None


def find_picture(settings: Settings, url: str | None) -> str | None:
    """The address at which the page shows a picture; None if there is none, or the page's policy refuses it."""
    if not url or not _IS_OF_SPOTIFY.match(url):
        return None
    origin = get_simulator_origin(settings)
    return url.replace(f"{SPOTIFY}/", f"{origin}/", 1) if origin and url.startswith(f"{SPOTIFY}/") else url
