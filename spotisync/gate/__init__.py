"""May a request be sent now? Cooldowns in Postgres, the pace in Redis."""

from spotisync.gate.gate import Gate
from spotisync.gate.pace import Pace

__all__ = ["Gate", "Pace"]
