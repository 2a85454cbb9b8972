"""`spotisync demo`: the whole stack on this machine, with a simulated Spotify."""

from spotisync.cli.demo.command import demo

__all__ = ["demo"]
