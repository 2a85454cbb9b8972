"""Null rows: what is missing from a list may stand behind one of them, and then it is not gone.

Spotify lists and counts rows that it does not show (`null`, or `track: null`), for years if need be. Such a row proves
nothing about what it hides: to take what is missing there for removed would blank what is stored (law 6), and to take
nothing for removed while there is a null row would be no answer either. So we count:

- Null rows that were there before anything went missing hide nothing that we know: they are `idle`.
- When there are more null rows than the last time, what went missing since may be hidden behind the new ones. It is
  kept, marked and counted, and each later walk or listing looks again. When more went missing than there are new null
  rows, nobody can tell which, and all of it is kept.
- What is kept stays so until its null rows are gone, or it is shown again.

A null row of a saved track usually keeps its date, which all but names the track: only rows of that date can be behind
it. One without a date may hide anything; that one of these went while another one came, counting does not show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from spotisync.core.parse import EPOCH

UNDATED = EPOCH


@dataclass(frozen=True)
class NullCount:
    """Null rows of one date: how many, and how many of them hide nothing that is known."""

    rows: int = 0
    idle: int = 0


@dataclass(frozen=True)
class SuspectRow:
    """A stored row that was not met at last, or, if `shown`, one that had been hidden and was met again."""

    id: str
    hidden: bool = False
    added_at: datetime = UNDATED
    shown: bool = False


def dates_with_new_nulls(met: Mapping[datetime, int], last: Mapping[datetime, NullCount]) -> list[datetime]:
    """Where there are new null rows: even what was met may be hidden behind one since then."""
    return [added_at for added_at, rows in met.items() if rows > last.get(added_at, NullCount()).rows]


def first_count(met: Mapping[datetime, int]) -> dict[datetime, NullCount]:
    """Null rows counted for the first time: they have always been there, as far as we know."""
    return {added_at: NullCount(rows, rows) for added_at, rows in met.items()}


def find_hidden(
    rows: Sequence[SuspectRow], met: Mapping[datetime, int], last: Mapping[datetime, NullCount]
) -> tuple[set[str], dict[datetime, NullCount]]:
    """Who may be hidden behind the null rows that were met, and what these are for the next time."""
    hidden: set[str] = set()
    now: dict[datetime, NullCount] = {}
    dated = {*met, *last} - {UNDATED}
    # The undated ones last: any row may be behind them, but for those that a dated one accounts for.
    for added_at in (*sorted(dated), UNDATED):
        those = [row for row in rows if row.id not in hidden and _may_be_at(row, added_at, dated)]
        kept, nulls = _count(those, met.get(added_at, 0), last.get(added_at, NullCount()), dated=added_at != UNDATED)
        if added_at != UNDATED and kept:
            # One that is met twice, in a library that moves, must not pass for one that hides nothing: a new one of
            # the very same second is the less likely reason.
            nulls = NullCount(nulls.rows, last.get(added_at, NullCount()).idle)
        hidden |= kept
        now[added_at] = nulls
    return hidden, {added_at: nulls for added_at, nulls in now.items() if nulls.rows}


def _may_be_at(row: SuspectRow, added_at: datetime, dated: set[datetime]) -> bool:
    if added_at == UNDATED:
        return not (row.shown and row.added_at in dated)
    return row.added_at == added_at


def _count(those: Sequence[SuspectRow], rows: int, last: NullCount, *, dated: bool) -> tuple[set[str], NullCount]:
    shown = sum(row.shown for row in those)
    before = {row.id for row in those if row.hidden and not row.shown}
    fresh = {row.id for row in those if not row.hidden}
    # One that is shown again has left a null row behind less.
    new = max(0, min(rows - last.rows + shown, rows - last.idle))
    if dated:
        # Of those of one second, what no fresh one can be behind may hide an old one still.
        new = min(new, len(fresh))
    old = max(0, rows - last.idle - new)
    kept = (before if old else set()) | (fresh if new else set())
    hiding = min(old, len(before)) + min(new, len(fresh))
    return kept, NullCount(rows, rows - hiding)


def has_removable(rows: Sequence[SuspectRow], hidden: set[str]) -> bool:
    """Something is missing and not hidden."""
    return any(not row.shown and row.id not in hidden for row in rows)
