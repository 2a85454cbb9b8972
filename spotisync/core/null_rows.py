"""Null rows: a row missing from a list may be hidden by a null row, and is then not removed.

Spotify lists and counts rows whose content it does not show (`null`, or `track: null`), sometimes for years. A null row
does not reveal what it hides: removing every missing row would delete rows that are still saved (law 6), and removing
none while a null row exists would keep removed rows forever. Therefore null rows are counted:

- Null rows that existed before any row went missing hide no stored row: they are `idle`.
- If there are more null rows than last time, rows that have gone missing since may be hidden by the new ones. They are
  kept, marked and counted, and each later walk or listing checks them again. If more rows went missing than there are
  new null rows, the hidden ones can't be identified, and all of them are kept.
- A hidden row stays hidden until its null rows are gone or it is shown again.

A null row of a saved track usually keeps its date, which nearly identifies the track: it can hide only rows of that
date. One without a date may hide any row. If one null row disappears while another appears, counting does not show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from spotisync.core.parse import EPOCH

UNDATED = EPOCH


@dataclass(frozen=True)
class NullCount:
    """Null rows of one date, and the number of them that hide no stored row (`idle`)."""

    rows: int = 0
    idle: int = 0


@dataclass(frozen=True)
class SuspectRow:
    """A stored row that was not met this time or, if `shown`, one that had been hidden and was met again."""

    id: str
    hidden: bool = False
    added_at: datetime = UNDATED
    shown: bool = False


def dates_with_new_nulls(met: Mapping[datetime, int], last: Mapping[datetime, NullCount]) -> list[datetime]:
    """List the dates with new null rows: one of them may by now hide even a row that was met."""
    return [added_at for added_at, rows in met.items() if rows > last.get(added_at, NullCount()).rows]


def first_count(met: Mapping[datetime, int]) -> dict[datetime, NullCount]:
    """Count null rows for the first time: all are idle, since no earlier state is known."""
    return {added_at: NullCount(rows, rows) for added_at, rows in met.items()}


def find_hidden(
    rows: Sequence[SuspectRow], met: Mapping[datetime, int], last: Mapping[datetime, NullCount]
) -> tuple[set[str], dict[datetime, NullCount]]:
    """Find the rows that the null rows may hide, and the counts to compare with next time."""
    hidden: set[str] = set()
    now: dict[datetime, NullCount] = {}
    dated = {*met, *last} - {UNDATED}
    # Undated null rows come last: they may hide any row, except those that a dated null row accounts for.
    for added_at in (*sorted(dated), UNDATED):
        candidates = [row for row in rows if row.id not in hidden and _may_be_at(row, added_at, dated)]
        kept, nulls = _count(
            candidates, met.get(added_at, 0), last.get(added_at, NullCount()), dated=added_at != UNDATED
        )
        if added_at != UNDATED and kept:
            # In a library that moves, the walk may meet one null row twice. That must not count as an idle null row: a
            # new one of the same second is less likely.
            nulls = NullCount(nulls.rows, last.get(added_at, NullCount()).idle)
        hidden |= kept
        now[added_at] = nulls
    return hidden, {added_at: nulls for added_at, nulls in now.items() if nulls.rows}


def _may_be_at(row: SuspectRow, added_at: datetime, dated: set[datetime]) -> bool:
    if added_at == UNDATED:
        return not (row.shown and row.added_at in dated)
    return row.added_at == added_at


def _count(candidates: Sequence[SuspectRow], rows: int, last: NullCount, *, dated: bool) -> tuple[set[str], NullCount]:
    shown = sum(row.shown for row in candidates)
    hidden = {row.id for row in candidates if row.hidden and not row.shown}
    missing = {row.id for row in candidates if not row.hidden}
    # Each row that is shown again accounts for one null row less.
    new = max(0, min(rows - last.rows + shown, rows - last.idle))
    if dated:
        # Null rows of one second beyond the newly missing rows may still hide a row that was hidden before.
        new = min(new, len(missing))
    old = max(0, rows - last.idle - new)
    kept = (hidden if old else set()) | (missing if new else set())
    hiding = min(old, len(hidden)) + min(new, len(missing))
    return kept, NullCount(rows, rows - hiding)


def has_removable(rows: Sequence[SuspectRow], hidden: set[str]) -> bool:
    """Whether a row is missing and not hidden."""
    return any(not row.shown and row.id not in hidden for row in rows)
