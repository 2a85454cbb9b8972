"""Null rows: what is missing from a list may stand behind one of them, and then it is not gone.

Spotify lists and counts rows that it does not show (`null`, or `track: null`), for years if need be. Such a row proves
nothing about what it hides: to take what is missing there for removed would blank what is stored (law 6), and to take
nothing for removed while there is a null row would be no answer either. So we count:

- Null rows that were there before anything went missing hide nothing that we know. They are remembered, by date.
- When there are more of them now, as many missing rows of that date may be hidden. They are kept, marked and counted;
  each later walk or listing looks again. A null row of a saved track usually keeps its date, which all but names the
  track; one without a date may hide anything.
- When more rows are missing than can be hidden, nobody can tell which: those that were hidden before go first, and if
  there is room left, all of them are kept until the null rows are gone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from spotisync.core.parse import EPOCH

UNDATED = EPOCH
Nulls = Mapping[datetime, int]


@dataclass(frozen=True)
class Missing:
    """Something stored as live that the list did not have. `hidden`: the last time already."""

    id: str
    hidden: bool = False
    added_at: datetime = UNDATED


def behind(missing: Sequence[Missing], nulls: Nulls, idle: Nulls) -> tuple[set[str], dict[datetime, int]]:
    """Who may be hidden, and the null rows that hide nothing; `idle` are those of the last time."""
    hidden: set[str] = set()
    left: dict[datetime, int] = {}
    # The undated ones last: any row may be behind them, but for those that a dated one accounts for.
    for added_at in sorted({*nulls, UNDATED}, reverse=True):
        those = [each for each in missing if each.id not in hidden and added_at in (each.added_at, UNDATED)]
        count = nulls.get(added_at, 0)
        room = count - idle.get(added_at, 0)
        kept = _kept(those, room)
        hidden |= kept
        left[added_at] = count - min(len(kept), max(0, room))
    return hidden, {added_at: count for added_at, count in left.items() if count}


def _kept(missing: Collection[Missing], room: int) -> set[str]:
    if room <= 0:
        return set()
    before = {each.id for each in missing if each.hidden}
    return before if len(before) >= room else {each.id for each in missing}
