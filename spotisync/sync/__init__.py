"""The use cases: what a trigger, a batch, a sweep do. The only room that opens transactions."""

from spotisync.sync.context import Context

__all__ = ["Context"]
