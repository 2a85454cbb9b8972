"""Spotify over HTTP, through spotipy: the only package that handles status codes."""

from spotisync.spotify.client import SpotifyClient
from spotisync.spotify.login import AccountsClient, LoginAttempt, TokenGrant

__all__ = ["AccountsClient", "LoginAttempt", "SpotifyClient", "TokenGrant"]
