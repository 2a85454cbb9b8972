"""How a batch ended: what it tells its caller, and what is to happen next."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from spotisync.core.states import Phase, Status


@dataclass(frozen=True)
class BatchResult:
    """The result of a batch task and the progress that Flower shows. `rate_limit_reset_at` is ISO 8601, UTC."""

    items_processed: int = 0
    items_added: int = 0
    items_updated: int = 0
    has_more: bool = False
    next_offset: int | None = None
    rate_limited: bool = False
    rate_limit_reset_at: str | None = None
    total_estimated: int | None = None
    error_message: str | None = None
    success: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """How far its phase is, for a list of tasks."""
        if self.error_message or self.next_offset is None:
            return self.error_message or ("soon again" if self.has_more else "complete")
        return f"{self.next_offset} of {self.total_estimated if self.total_estimated is not None else 'unknown'}"


@dataclass(frozen=True)
class More:
    """The batch is in; this one of the same phase is due. `account`: for who reads a list of tasks."""

    phase: Phase
    seq: int
    result: BatchResult
    account: str = ""


@dataclass(frozen=True)
class PhaseEnded:
    """The batch is in, and with it the phase."""

    result: BatchResult


@dataclass(frozen=True)
class Retry:
    """Nothing is in: the same batch again, in so many seconds."""

    seconds: float
    result: BatchResult


@dataclass(frozen=True)
class Parked:
    """Nothing is in: Postgres knows until when to wait, and sweep publishes the batch then."""

    until: datetime
    result: BatchResult


@dataclass(frozen=True)
class Stale:
    """Not this message's turn. `orphaned`: nobody holds the claim of the batch that is due."""

    orphaned: bool
    result: BatchResult


@dataclass(frozen=True)
class RunEnded:
    """The run is over: whoever waits for it can be told."""

    status: Status
    result: BatchResult


Outcome = More | PhaseEnded | Retry | Parked | Stale | RunEnded
