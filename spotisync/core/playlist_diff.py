"""The difference between two versions of a playlist. Pure."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """Places in the newer version that are new, places in the older one that are gone; and whether the rest moved."""

    added: list[int]
    removed: list[int]
    reordered: bool


def compare(older: Sequence[T], newer: Sequence[T]) -> Difference:
    """Compare by what the rows contain: of equal rows, the later ones count as added or removed."""
    added, removed = _beyond(newer, older), _beyond(older, newer)
    return Difference(added, removed, _without(newer, added) != _without(older, removed))


def _beyond(rows: Sequence[T], others: Sequence[T]) -> list[int]:
    """Places of rows that the others have less often."""
    left, places = Counter(others), []
    for place, row in enumerate(rows):
        if left[row]:
            left[row] -= 1
        else:
            places.append(place)
    return places


def _without(rows: Sequence[T], places: Sequence[int]) -> list[T]:
    left_out = set(places)
    return [row for place, row in enumerate(rows) if place not in left_out]
