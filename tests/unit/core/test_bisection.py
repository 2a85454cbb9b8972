"""The bisection finds every difference with few pages."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core.bisection import (
    EARLIEST,
    LATEST,
    MINUTE,
    Compared,
    Expected,
    FullRead,
    ListRow,
    Probe,
    Span,
    find_differences,
    find_spans,
)
from spotisync.core.requests import PAGE
from tests.support.expected import around_pages

BEGAN = datetime(2020, 1, 1, tzinfo=UTC)


def entry(minutes: int, track: str | None) -> ListRow:
    return ListRow(BEGAN + timedelta(minutes=minutes), track)


@dataclass
class Search:
    """Reads pages of a list until its differences from the stored rows are known; stores every row it reads."""

    stored: dict[str, int]
    excess: list[int]
    there: list[tuple[int, str | None]]
    read: dict[int, ListRow] = field(default_factory=dict)
    calls: int = 0

    def page(self, offset: int) -> None:
        self.calls += 1
        for place, (minute, track) in enumerate(self.there[offset : offset + PAGE], start=offset):
            self.read[place] = entry(minute, track)
            if track and self.stored.get(track, -1) < minute:
                self.stored[track] = minute

    def expected(self) -> list[ListRow]:
        rows = [entry(minute, track) for track, minute in self.stored.items()]
        return rows + [entry(minute, None) for minute in self.excess]

    def head(self) -> None:
        """Read the head like an incremental: from the top until rows older than the newest known one."""
        newest = max(self.stored.values(), default=-1)
        for offset in count(0, PAGE):
            self.page(offset)
            if offset + PAGE >= len(self.there) or self.there[offset + PAGE - 1][0] < newest - 2:
                return

    def run(self) -> Compared | FullRead:
        self.head()
        while True:
            expected, total = self.expected(), len(self.there)
            step = find_differences(around_pages(expected, self.read, total), self.read, total)
            assert step == find_differences(Expected(expected), self.read, total), "the other rows need only be counted"
            if not isinstance(step, Probe):
                return step
            assert step.offsets
            before = len(self.read)
            for offset in step.offsets:
                self.page(offset)
            assert len(self.read) > before, "every probe reads a new row"


def listed(minutes: dict[str, int]) -> list[tuple[int, str | None]]:
    return [(minute, track) for track, minute in sorted(minutes.items(), key=lambda each: (-each[1], each[0]))]


def library(tracks: int, ties: int = 1) -> dict[str, int]:
    return {f"t{number:06}": 10 * (number // ties) for number in range(tracks)}


def search(known: dict[str, int], now: dict[str, int]) -> tuple[Compared | FullRead, int]:
    found = Search(dict(known), [], listed(now))
    return found.run(), found.calls


def without(known: dict[str, int], gone: set[str]) -> dict[str, int]:
    return {track: minute for track, minute in known.items() if track not in gone}


def test_an_unchanged_library_costs_one_page() -> None:
    known = library(10_000)
    assert search(known, known) == (Compared(frozenset(), frozenset(), ()), 1)


def test_twenty_new_tracks_cost_one_page() -> None:
    known = library(10_000)
    now = known | {f"new{number}": 200_000 + number // 3 for number in range(20)}
    assert search(known, now) == (Compared(frozenset(), frozenset(), ()), 1)


@pytest.mark.slow
@given(st.integers(0, 9_999), st.sampled_from([1, 2, 12]))
@settings(max_examples=12)
def test_one_removal_among_ten_thousand_costs_nine_pages(number: int, ties: int) -> None:
    known = library(10_000, ties)
    gone = {f"t{number:06}"}
    found, calls = search(known, without(known, gone))
    assert isinstance(found, Compared)
    assert found.missing == gone
    assert calls <= (9 if ties == 1 else 10)


@pytest.mark.slow
@given(st.sets(st.integers(0, 9_999), min_size=5, max_size=5), st.sampled_from([1, 2, 12]))
@settings(max_examples=8)
def test_five_scattered_removals_cost_forty_pages(numbers: set[int], ties: int) -> None:
    known = library(10_000, ties)
    gone = {f"t{number:06}" for number in numbers}
    found, calls = search(known, without(known, gone))
    assert isinstance(found, Compared)
    assert found.missing == gone
    assert calls <= 41


@pytest.mark.slow
@given(st.integers(0, 665))
@settings(max_examples=8)
def test_finds_a_whole_album_that_was_saved_in_one_minute(number: int) -> None:
    known = library(10_000, ties=15)
    gone = {track for track, minute in known.items() if minute == 10 * number}
    found, calls = search(known, without(known, gone))
    assert isinstance(found, Compared)
    assert found.missing == gone
    assert calls <= 11


def test_reads_the_list_in_full_when_that_costs_fewer_calls() -> None:
    known = library(3_000)
    gone = {f"t{number:06}" for number in range(0, 3_000, 25)}
    assert isinstance(search(known, without(known, gone))[0], FullRead)


def test_reads_a_list_in_full_when_it_is_not_sorted_by_date() -> None:
    known = library(120)
    found = Search(known, [], listed(known)[::-1]).run()
    assert isinstance(found, FullRead)


minutes = st.integers(0, 40)


@st.composite
def edited(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, int]]:
    """Draw a library and an edited one: rows removed, added, saved again, some with an old date."""
    size = draw(st.integers(0, 400))
    spread = draw(st.sampled_from([1, 5, 40, 400, 4_000]))
    rng = random.Random(draw(st.integers(0, 2**32)))
    known = {f"t{number:04}": rng.randrange(spread) for number in range(size)}
    now = dict(known)
    for track in rng.sample(sorted(known), min(size, draw(st.integers(0, 12)))):
        del now[track]
    newest = max(known.values(), default=0)
    for number in range(draw(st.integers(0, 70))):
        now[f"new{number}"] = newest + rng.randrange(1 + number)
    for track in rng.sample(sorted(known), min(size, draw(st.integers(0, 3)))):
        now[track] = newest + 1
    return known, now


@given(edited(), st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_finds_everything_that_was_liked_unliked_or_liked_again(
    edit: tuple[dict[str, int], dict[str, int]], order: random.Random
) -> None:
    known, now = edit
    there = listed(now)
    order.shuffle(there)
    there.sort(key=lambda row: -row[0])
    searched = Search(dict(known), [], there)
    found = searched.run()
    if isinstance(found, Compared):
        assert without(searched.stored, set(found.missing)) == now
        assert not found.redated
        assert not found.excess


@given(edited(), st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32))
@settings(max_examples=400)
def test_null_rows_without_a_stored_counterpart_are_not_removals(
    edit: tuple[dict[str, int], dict[str, int]], nulls: int, more: int, seed: int
) -> None:
    known, now = edit
    rng = random.Random(seed)
    span = max(known.values(), default=0) + 1
    stand = [rng.randrange(span) for _ in range(nulls)]
    new = [rng.randrange(span) for _ in range(more)]
    there = sorted([*listed(now), *((minute, None) for minute in stand + new)], key=lambda row: -row[0])
    searched = Search(dict(known), stand, there)
    found = searched.run()
    if isinstance(found, Compared):
        kept = without(searched.stored, set(found.missing))
        # A new null row next to a removal leaves the count unchanged, so only distant changes can be detected.
        if not more:
            assert kept == now
            assert sorted(each.minute for each in found.excess) == sorted(entry(each, None).minute for each in stand)
        assert len(kept) + len(found.excess) == len(there)


@given(edited(), st.integers(1, 3), st.integers(0, 2**32))
@settings(max_examples=200)
def test_the_count_reveals_a_row_inserted_with_an_old_date(
    edit: tuple[dict[str, int], dict[str, int]], inserted: int, seed: int
) -> None:
    known, _ = edit
    rng = random.Random(seed)
    span = max(known.values(), default=0) + 1
    now = known | {f"old{number}": rng.randrange(span) for number in range(inserted)}
    searched = Search(dict(known), [], listed(now))
    found = searched.run()
    if isinstance(found, Compared):
        assert searched.stored == now
        assert not found.missing


def test_rows_that_were_only_counted_are_never_compared() -> None:
    expected = Expected([entry(9, "a"), entry(0, "b")], [(entry(5, None).minute, 3)])
    assert len(expected) == 5
    assert expected.count_newer_than(entry(0, None).minute) == 4
    assert expected.list_between(4, 5) == [entry(0, "b")]
    with pytest.raises(AssertionError, match="only counted"):
        expected.list_between(0, 2)


def test_spans_reach_from_the_first_to_the_last_row_of_adjoining_pages() -> None:
    at = [BEGAN - minute * MINUTE for minute in range(200)]
    read = {place: ListRow(at[place], f"t{place}") for place in (0, 1, 2, 50, 51, 198, 199)}
    assert find_spans(read, 200) == [
        Span(EARLIEST, at[198] + MINUTE),
        Span(at[51], at[50] + MINUTE),
        Span(at[2], LATEST),
    ]
    assert find_spans({}, 200) == []
    assert find_spans({}, 0) == [Span(EARLIEST, LATEST)]


def test_spans_of_pages_that_contradict_each_other_are_joined() -> None:
    minutes = {0: 90, 1: 10, 50: 80, 51: 70, 80: 10, 81: 5}
    read = {place: entry(minute, f"t{place}") for place, minute in minutes.items()}
    assert find_spans(read, 200) == [Span(entry(5, None).minute, LATEST)]
    read = {place: entry(minutes[place], f"t{place}") for place in (50, 51, 80, 81)} | {100: entry(75, "t")}
    spans = [(5, 11), (70, 81)]
    assert find_spans(read, 200) == [Span(entry(start, None).minute, entry(end, None).minute) for start, end in spans]
