"""Whether a request may be sent now: cooldowns and the learned rate in Postgres, the log of turns in Redis."""

from spotisync.gate.gate import Gate
from spotisync.gate.pace import Pace
from spotisync.gate.turns import BatchTurns

__all__ = ["BatchTurns", "Gate", "Pace"]
