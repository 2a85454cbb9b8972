"""Outcomes of a batch: its result, and what happens next."""

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
        """One line on the progress of its phase, for Flower."""
        if self.error_message or self.next_offset is None:
            return self.error_message or ("retrying soon" if self.has_more else "complete")
        return f"{self.next_offset} of {self.total_estimated if self.total_estimated is not None else 'unknown'}"


@dataclass(frozen=True)
class More:
    """The batch is committed; this one of the same phase is due. `account` appears in the label of its task."""

    phase: Phase
    seq: int
    result: BatchResult
    account: str = ""


@dataclass(frozen=True)
class PhaseEnded:
    """The batch is committed, and its phase is complete."""

    result: BatchResult


@dataclass(frozen=True)
class Retry:
    """Nothing is committed; the same batch is due again in `seconds`."""

    seconds: float
    result: BatchResult


@dataclass(frozen=True)
class Parked:
    """Nothing is committed; sweep publishes the batch again after `until`."""

    until: datetime
    result: BatchResult


@dataclass(frozen=True)
class Stale:
    """The message is not of the batch that is due. `orphaned`: no worker holds the claim of the one that is."""

    orphaned: bool
    result: BatchResult


@dataclass(frozen=True)
class RunEnded:
    """The run is over, and its callers can be answered."""

    status: Status
    result: BatchResult


Outcome = More | PhaseEnded | Retry | Parked | Stale | RunEnded
