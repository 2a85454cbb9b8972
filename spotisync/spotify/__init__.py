"""Spotify over HTTP, through spotipy: the only room that knows status codes."""

from spotisync.spotify.client import SpotifyClient
from spotisync.spotify.login import AccountsClient, LoginAttempt, TokenGrant

__all__ = ["AccountsClient", "LoginAttempt", "SpotifyClient", "TokenGrant"]
