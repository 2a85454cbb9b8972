"""The HTTP API of the simulator: the same paths, replies and errors as api.spotify.com and accounts.spotify.com."""
