"""The use cases: triggers, batches, sweeps. The only package that opens transactions."""

from spotisync.sync.context import Context

__all__ = ["Context"]
