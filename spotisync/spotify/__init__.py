"""Spotify over HTTP, through spotipy: the only room that knows status codes."""

from spotisync.spotify.client import Client
from spotisync.spotify.login import Attempt, Grant, Login

__all__ = ["Attempt", "Client", "Grant", "Login"]
