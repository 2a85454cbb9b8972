"""`spotisync demo`: everything on this machine, against the built-in simulator."""

from spotisync.cli.demo.command import demo

__all__ = ["demo"]
