"""What is measured comes as rows: many samples of one thing, told by a few of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")
ENOUGH_FOR_P99 = 100


@dataclass(frozen=True)
class Row:
    """`unit` is s, ms, MB, x (a ratio), or what was counted."""

    section: str
    what: str
    unit: str
    samples: tuple[float, ...]
    remark: str = ""

    @property
    def p99(self) -> float | None:
        return percentile(self.samples, 99) if len(self.samples) >= ENOUGH_FOR_P99 else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "what": self.what,
            "unit": self.unit,
            "n": len(self.samples),
            "min": min(self.samples),
            "median": median(self.samples),
            "p99": self.p99,
            "max": max(self.samples),
            "remark": self.remark,
        }


def percentile(samples: Iterable[float], percent: float) -> float:
    """The smallest sample that so many per cent of them do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]


def median(samples: Iterable[float]) -> float:
    return percentile(samples, 50)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> tuple[float, ...]:
    """Pair by pair: what was measured one after the other met the same noise."""
    return tuple(mine / other for mine, other in zip(ours, theirs, strict=True))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds, and what came of it."""
    began = perf_counter()
    result = work()
    return (perf_counter() - began) * 1000, result
