"""Find where the stored library and Spotify's list differ, by reading as few pages as possible.

Spotify lists saved tracks newest first, by the minute; the order within a minute is arbitrary. The stored rows in that
order are the *expected* list. Two neighbouring rows of Spotify's list with different minutes form a boundary, and each
boundary read gives the number of rows before it in Spotify's list and in the expected list. If both numbers grow by the
same amount between two boundaries, the interval is assumed to be equal. Otherwise a page in its middle is read, until
all differing intervals have been read.

Rows that Spotify counts but that have no stored row (null rows, the older one of twins) are also expected, as entries
without an id.

A comparison needs the expected rows only around the pages that were read (`find_spans`), and the number of the others.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from math import ceil, log2

from spotisync.core.requests import PAGE

MINUTE = timedelta(minutes=1)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListRow:
    """One row of a list: the minute in which it was saved, and its track (None: it has no stored row)."""

    minute: datetime
    track_id: str | None


@dataclass(frozen=True)
class Compared:
    """The differences, once all differing intervals have been read.

    `missing`: expected but no longer listed; `redated`: listed once, at another date than the stored one; `excess`: all
    rows without a stored row, including unread ones.
    """

    missing: frozenset[str]
    redated: frozenset[str]
    excess: tuple[ListRow, ...]


@dataclass(frozen=True)
class Probe:
    """Pages to read next, by their offsets."""

    offsets: tuple[int, ...]


@dataclass(frozen=True)
class FullRead:
    """The whole list has to be read, or reading it costs fewer calls."""

    reason: str


@dataclass(frozen=True)
class Boundary:
    """It follows `listed` rows of Spotify's list and `expected` rows of the expected list."""

    listed: int
    expected: int


@dataclass(frozen=True)
class Interval:
    """The rows between two boundaries: `first`..`last` of Spotify's list, `start`..`end` of the expected list."""

    first: int
    last: int
    start: int
    end: int

    @property
    def is_even(self) -> bool:
        return self.last - self.first == self.end - self.start


@dataclass(frozen=True)
class Span:
    """A period: from `start`, before `end`."""

    start: datetime
    end: datetime


class Expected:
    """The stored rows in Spotify's order.

    `counted`: how many rows are between two spans of `find_spans`, and a time between them. These rows are not in
    `entries`, except for some without an id, which are not counted then.
    """

    def __init__(self, entries: Iterable[ListRow], counted: Iterable[tuple[datetime, int]] = ()) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.minute, reverse=True)
        # bisect needs ascending values, and ages grow along the list.
        self._ages = [_age(entry.minute) for entry in self.entries]
        between = sorted(counted, reverse=True)
        self._ages_between = [_age(minute) for minute, _ in between]
        self._rows_between = [0, *accumulate(rows for _, rows in between)]
        self._ranks = [
            place + self._rows_between[bisect_left(self._ages_between, age)] for place, age in enumerate(self._ages)
        ]

    def __len__(self) -> int:
        return len(self.entries) + self._rows_between[-1]

    @property
    def excess(self) -> tuple[ListRow, ...]:
        return tuple(entry for entry in self.entries if entry.track_id is None)

    def count_newer_than(self, minute: datetime) -> int:
        """`minute` must be in a span, as it is for rows that were read."""
        age = _age(minute)
        return bisect_left(self._ages, age) + self._rows_between[bisect_left(self._ages_between, age)]

    def count_not_older_than(self, minute: datetime) -> int:
        """`minute` must be in a span."""
        age = _age(minute)
        return bisect_right(self._ages, age) + self._rows_between[bisect_right(self._ages_between, age)]

    def list_between(self, start: int, end: int) -> Sequence[ListRow]:
        """List the rows `start`..`end`, all of which must be in a span."""
        first = bisect_left(self._ranks, start)
        last = bisect_left(self._ranks, end)
        assert last - first == end - start, "rows are compared that were only counted"  # noqa: S101
        return self.entries[first:last]


def find_spans(read: Mapping[int, ListRow], total: int) -> list[Span]:
    """Find the periods whose expected rows are compared one by one, in order of time and apart from each other.

    They reach from the first to the last row of pages that adjoin, or to the end of the list.
    """
    if not total:
        return [Span(EARLIEST, LATEST)]
    found: list[Span] = []
    for span in sorted(_spans_of_pages(read, total), key=lambda span: span.start):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def _spans_of_pages(read: Mapping[int, ListRow], total: int) -> Iterator[Span]:
    places = sorted(read)
    breaks = [at for at, (before, after) in enumerate(pairwise(places), start=1) if after > before + 1]
    for first, end in pairwise([0, *breaks, len(places)] if places else ()):
        minutes = [read[place].minute for place in places[first:end]]
        yield Span(
            EARLIEST if places[end - 1] >= total - 1 else min(minutes),
            LATEST if places[first] == 0 else max(minutes) + MINUTE,
        )


def find_differences(expected: Expected, read: Mapping[int, ListRow], total: int) -> Compared | Probe | FullRead:
    """Choose the next step from the rows read so far (by their place in Spotify's list) and the list's total."""
    if any(before.minute < after.minute for before, after in _neighbours(read)):
        return FullRead("Spotify's list is not in the order of its dates")
    boundaries = _boundaries(expected, read, total)
    if any(after.expected < before.expected for before, after in pairwise(boundaries)):
        return FullRead("the pages contradict each other")
    intervals = [Interval(a.listed, b.listed, a.expected, b.expected) for a, b in pairwise(boundaries)]
    unresolved = [each for each in intervals if not each.is_even and _has_unread(each, read)]
    if not unresolved:
        return _compare(expected, read, [each for each in intervals if not _has_unread(each, read)])
    if _estimate_calls(unresolved) > ceil(total / PAGE):
        return FullRead("so much has changed that reading everything costs less")
    return Probe(tuple(_choose_probe(each, read) for each in unresolved))


def _neighbours(read: Mapping[int, ListRow]) -> list[tuple[ListRow, ListRow]]:
    return [(read[place - 1], read[place]) for place in read if place - 1 in read]


def _boundaries(expected: Expected, read: Mapping[int, ListRow], total: int) -> list[Boundary]:
    """List the boundaries in order. Expected rows between the minutes of two neighbours get their own interval."""
    found = [Boundary(0, 0)]
    for place in sorted(read):
        if place == 0:
            found.append(Boundary(0, expected.count_newer_than(read[0].minute)))
        elif place - 1 in read and read[place - 1].minute > read[place].minute:
            found.append(Boundary(place, expected.count_not_older_than(read[place - 1].minute)))
            found.append(Boundary(place, expected.count_newer_than(read[place].minute)))
    if total - 1 in read:
        found.append(Boundary(total, expected.count_not_older_than(read[total - 1].minute)))
    found.append(Boundary(total, len(expected)))
    return found


def _has_unread(interval: Interval, read: Mapping[int, ListRow]) -> bool:
    return any(place not in read for place in range(interval.first, interval.last))


def _estimate_calls(intervals: Sequence[Interval]) -> int:
    """Estimate how many pages it takes to find the differences in the intervals."""
    return sum(_estimate_calls_of(each) for each in intervals)


def _estimate_calls_of(interval: Interval) -> int:
    pages = max(1, ceil((interval.last - interval.first) / PAGE))
    changes = max(1, min(abs(interval.last - interval.first - interval.end + interval.start), pages))
    # Changes share the upper levels of the bisection; below, each has a separate descent. Halving leaves partial pages.
    return min(2 * pages - 1, changes * (1 + ceil(log2(pages / changes))) + changes - 1)


def _choose_probe(interval: Interval, read: Mapping[int, ListRow]) -> int:
    """Return the offset of the page in the middle of the widest unread gap, which rules out one half or the other."""
    first, last = max(_gaps(interval, read), key=lambda gap: gap[1] - gap[0])
    return max(0, first + (last - first - PAGE) // 2) if last - first > PAGE else first


def _gaps(interval: Interval, read: Mapping[int, ListRow]) -> list[tuple[int, int]]:
    places = sorted(place for place in read if interval.first <= place < interval.last)
    edges = pairwise([interval.first - 1, *places, interval.last])
    return [(before + 1, after) for before, after in edges if after > before + 1]


def _compare(expected: Expected, read: Mapping[int, ListRow], intervals: Sequence[Interval]) -> Compared:
    missing: set[str] = set()
    surplus: dict[str, ListRow] = {}
    excess = Counter(expected.excess)
    for each in intervals:
        wanted = expected.list_between(each.start, each.end)
        listed = [read[place] for place in range(each.first, each.last)]
        excess.subtract(entry for entry in wanted if entry.track_id is None)
        missing |= {entry.track_id for entry in wanted if entry.track_id} - {entry.track_id for entry in listed}
        unmatched = Counter(entry.track_id for entry in wanted)
        for entry in listed:
            unmatched[entry.track_id] -= 1
            if entry.track_id is None or unmatched[entry.track_id] < 0:
                excess[ListRow(entry.minute, None)] += 1
                surplus |= {entry.track_id: entry} if entry.track_id else {}
    redated = {id_: entry for id_, entry in surplus.items() if id_ in missing}
    excess.subtract(ListRow(entry.minute, None) for entry in redated.values())
    rows = sorted(excess.elements(), key=lambda entry: entry.minute, reverse=True)
    return Compared(frozenset(missing - set(redated)), frozenset(redated), tuple(rows))


def _age(minute: datetime) -> float:
    return -minute.timestamp()
