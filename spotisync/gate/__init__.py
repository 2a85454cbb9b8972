"""Whether a request may be sent now: cooldowns in Postgres, the pace in Redis."""

from spotisync.gate.gate import Gate
from spotisync.gate.pace import Pace

__all__ = ["Gate", "Pace"]
