"""Your Spotify library in your own Postgres, complete and current."""
