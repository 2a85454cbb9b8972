"""A walk over a list that is edited between any two requests: it ends and skips no remaining row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core import walk
from spotisync.core.parse import ListPage, SavedTracksPage, Unreadable
from spotisync.core.rows import SavedTrackRow
from spotisync.core.walk import TracksWalk, Walk, accept, accept_tracks, pass_by, tracks_offsets

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Library:
    """Saved tracks as Spotify lists them: newest first, rows of one minute in any order, a few of them null."""

    rng: Random
    size: int
    now: datetime = START
    rows: list[tuple[SavedTrackRow, bool]] = field(default_factory=list)
    made: int = 0
    edits: int = 0

    @classmethod
    def of(cls, rows: int, size: int, rng: Random, *, nulls: float = 0.0) -> "Library":
        made = cls(rng, size, START - timedelta(minutes=5 * rows))
        for _ in range(rows):
            made.like(null=rng.random() < nulls)
            made.now += timedelta(seconds=rng.choice((0, 0, 20, 300)))
        return made

    def like(self, *, null: bool = False, track_id: str | None = None) -> None:
        """Insert at the head, or behind some rows of the same minute."""
        self.made += 1
        row = SavedTrackRow(track_id or f"t{self.made}", self.now)
        ties = 0
        while ties < len(self.rows) and _minute(self.rows[ties][0]) == _minute(row) and self.rng.random() < 0.5:
            ties += 1
        self.rows.insert(ties, (row, null))

    def edit(self) -> None:
        self.edits += 1
        self.now += timedelta(seconds=self.rng.choice((0, 1, 70)))
        what = self.rng.random()
        if what < 0.4 or not self.rows:
            self.like()
            return
        row, null = self.rows.pop(self.rng.randrange(len(self.rows)))
        if what > 0.8:
            self.like(null=null, track_id=row.track_id)

    def page(self, offset: int) -> SavedTracksPage:
        part = self.rows[offset : offset + self.size]
        rows = tuple(None if null else row for row, null in part)
        return SavedTracksPage(offset, len(rows), len(self.rows), rows=rows)

    def there(self) -> set[SavedTrackRow]:
        return {row for row, null in self.rows if not null}


def _minute(row: SavedTrackRow) -> datetime:
    return row.added_at.replace(second=0)


@dataclass
class Reader:
    """Walks over a library. `between` is called before each request, `lost` returns how many pages arrive."""

    library: Library
    pages: int
    between: Callable[[], None] = lambda: None
    lost: Callable[[int], int] = lambda _: 0
    cursor: TracksWalk = field(default_factory=TracksWalk)
    accepted: set[SavedTrackRow] = field(default_factory=set)
    requests: int = 0
    stayed: set[SavedTrackRow] | None = None

    def read(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walk, "STRIDE", self.library.size - 1)
            for _ in range(10_000):
                self.batch()
                if self.cursor.done:
                    return
        raise AssertionError(f"the walk does not end: {self.cursor}")

    def batch(self) -> None:
        offsets = tracks_offsets(self.cursor, self.pages)
        moments = self.library.rng.sample(offsets, len(offsets))
        read: dict[int, SavedTracksPage] = {}
        for offset in moments:
            edits = self.library.edits
            self.between()
            if self.stayed is None:
                self.stayed = self.library.there()
            elif edits != self.library.edits:
                self.stayed &= self.library.there()
            read[offset] = self.library.page(offset)
            self.requests += 1
        kept = offsets[: len(offsets) - self.lost(len(offsets) - 1)]
        was = self.cursor.stage
        self.cursor, pages = accept_tracks(self.cursor, [read[offset] for offset in kept])
        self.accepted |= {row for page in pages for row in page.rows if row}
        if was == "list" and self.cursor.stage == "head" and not self.cursor.done:
            # The head is read again from here: rows that exist now and stay must be met as well.
            self.stayed = self.library.there()


def check(rows: int, size: int, pages: int, edits: int, often: float, seed: int) -> None:
    rng = Random(seed)
    library = Library.of(rows, size, rng, nulls=0.05)
    left = edits

    def between() -> None:
        nonlocal left
        while left and rng.random() < often:
            left -= 1
            library.edit()

    reader = Reader(library, pages, between, lambda most: rng.randint(0, most) if rng.random() < 0.2 else 0)
    reader.read()
    assert reader.stayed is not None
    missed = (reader.stayed & library.there()) - reader.accepted
    assert not missed, f"{len(missed)} rows that stayed were skipped: {sorted(row.track_id for row in missed)[:5]}"
    if not left and not edits:
        assert reader.accepted == library.there()


EDITED = {
    "rows": st.integers(0, 120),
    "size": st.sampled_from((2, 3, 5, 10, 50)),
    "pages": st.integers(1, 5),
    "edits": st.integers(0, 80),
    "often": st.sampled_from((0.2, 0.5, 0.8)),
    "seed": st.integers(0, 2**32),
}


@settings(max_examples=1_000)
@given(**EDITED)
def test_skips_no_remaining_row_despite_edits_between_requests(**case: Any) -> None:
    check(**case)


@pytest.mark.chaos
@settings(max_examples=20_000)
@given(**{**EDITED, "rows": st.integers(0, 200), "edits": st.integers(0, 200)})
def test_skips_no_remaining_row_in_thousands_of_edited_libraries(**case: Any) -> None:
    check(**case)


def check_many(pages: int, edits: int) -> None:
    for seed in range(300):
        check(60, 5, pages, edits, 0.8, seed)


def test_the_model_detects_a_walk_that_does_not_step_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the test above would prove nothing."""
    monkeypatch.setattr(Walk, "shrunk", lambda *_: 0)
    with pytest.raises(AssertionError, match="skipped"):
        check_many(1, 40)


def test_the_model_detects_a_walk_that_accepts_pages_that_do_not_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_overlaps", lambda *_: True)
    with pytest.raises(AssertionError, match="skipped"):
        check_many(4, 40)


def test_the_model_detects_a_walk_that_does_not_reread_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_reaches_known", lambda *_: True)
    monkeypatch.setattr(walk, "TIE_WINDOW", timedelta(0))
    with pytest.raises(AssertionError, match="skipped"):
        check_many(1, 80)


# ---- cost -----------------------------------------------------------------------------------------------------------


def calls_for(rows: int, pages: int) -> int:
    """Count one page for the total, pages that overlap by a row, and one page of the head again."""
    if rows <= 50:
        return 1
    batches, rest = divmod(rows - 50, 49 * pages + 1)
    return 1 + batches * pages + (max(1, -(-(rest - 1) // 49)) if rest else 0) + 1


@settings(max_examples=100)
@given(rows=st.integers(0, 2_000), pages=st.integers(1, 8))
def test_an_unchanging_list_costs_the_fewest_calls(rows: int, pages: int) -> None:
    library = Library(Random(1), 50, START)
    library.rows = [(SavedTrackRow(f"t{n}", START - timedelta(hours=n)), False) for n in range(rows)]
    reader = Reader(library, pages)
    reader.read()
    assert reader.accepted == library.there()
    assert reader.requests == calls_for(rows, pages)
    assert reader.requests <= 2 + -(-rows // 49)


def test_ten_thousand_tracks_cost_about_two_hundred_calls() -> None:
    assert calls_for(10_000, 4) in range(200, 207)


# ---- single pages ---------------------------------------------------------------------------------------------------


def page(offset: int, rows: str, total: int) -> SavedTracksPage:
    """A page with one row per letter; a dot is a null row. `a` is the newest row."""
    made = tuple(None if each == "." else SavedTrackRow(each, START - timedelta(hours=ord(each))) for each in rows)
    return SavedTracksPage(offset, len(rows), total, rows=made)


def rows_of(page: ListPage) -> tuple[SavedTrackRow | None, ...]:
    assert isinstance(page, SavedTracksPage)
    return page.rows


def test_steps_back_when_the_list_shrank_before_the_page() -> None:
    after, accepted = accept(Walk(10, 20), [page(10, "klm", 17)], rows_of)
    assert (accepted, after.offset, after.position) == ([], 7, 7)
    after, accepted = accept(after, [page(7, "hijklm", 17)], rows_of)
    assert (len(accepted), after) == (1, Walk(13, 17))


def test_reads_on_when_the_list_has_grown() -> None:
    after, accepted = accept(Walk(10, 20), [page(10, "ijk", 22)], rows_of)
    assert (len(accepted), after) == (1, Walk(13, 22))


def test_reads_to_the_new_end_when_the_list_shrank_below_the_offset() -> None:
    after, accepted = accept(Walk(10, 20), [page(10, "", 8)], rows_of)
    assert (accepted, after.offset) == ([], 0)


def test_discards_pages_that_do_not_join() -> None:
    after, accepted = accept(Walk(), [page(0, "abc", 9), page(2, "cde", 9), page(4, "fgh", 9)], rows_of)
    assert (len(accepted), after) == (2, Walk(5, 9))


@pytest.mark.parametrize(
    ("total", "offsets"), [(99, [0, 49]), (100, [0, 49, 98]), (98, [0, 49]), (50, [0]), (51, [0, 49])]
)
def test_requests_no_page_that_would_only_overlap(total: int, offsets: list[int]) -> None:
    assert walk.offsets(Walk(0, total), 4) == offsets


def test_a_null_row_does_not_join_pages() -> None:
    after, accepted = accept(Walk(), [page(0, "ab.", 9), page(2, ".de", 9)], rows_of)
    assert (len(accepted), after) == (1, Walk(3, 9))


def test_a_short_page_is_not_the_end() -> None:
    after, accepted = accept(Walk(), [page(0, "abc", 200)], rows_of)
    assert (len(accepted), after.done, after.offset) == (1, False, 3)


def test_an_early_empty_page_is_the_end_if_a_second_reply_shows_it() -> None:
    once, _ = accept(Walk(10, 12), [page(10, "", 12)], rows_of)
    assert not once.done
    twice, _ = accept(once, [page(10, "", 12)], rows_of)
    assert (twice.done, twice.position, twice.phantoms) == (True, 10, 2)
    more, _ = accept(once, [page(10, "kl", 12)], rows_of)
    assert (more.done, more.position, more.phantoms) == (True, 12, 0)


def test_an_empty_page_after_a_removal_steps_back() -> None:
    once, _ = accept(Walk(10, 12), [page(10, "", 12)], rows_of)
    after, accepted = accept(once, [page(10, "", 11)], rows_of)
    assert (after.offset, accepted) == (9, [])


def test_rows_beyond_the_total_are_unreadable_and_keep_earlier_pages() -> None:
    with pytest.raises(Unreadable):
        accept(Walk(5, 8), [page(5, "fghij", 8)], rows_of)
    after, accepted = accept(Walk(0, 8), [page(0, "abcde", 8), page(4, "efghi", 8)], rows_of)
    assert (after.position, len(accepted)) == (5, 1)


def test_passes_by_unreadable_pages_after_one_step_back_each() -> None:
    at = Walk(100, 230)
    asked: list[int] = []
    while at and not at.done and len(asked) < 20:
        asked.append(at.offset)
        at = pass_by(at) or at
    assert asked == [100, 50, 100, 150, 100, 150, 200, 150, 200]
    assert at.done


def test_passes_by_no_page_before_the_total_is_known() -> None:
    assert pass_by(Walk()) is None


def test_the_page_before_shows_that_the_list_has_become_shorter() -> None:
    stuck = pass_by(Walk(100, 130))
    assert stuck
    after, _ = accept(stuck, [page(50, "x" * 50, 100)], rows_of)
    assert (after.done, after.skipped) == (True, 0)


def test_an_empty_library_takes_one_page() -> None:
    after, _ = accept_tracks(TracksWalk(), [page(0, "", 0)])
    assert after.done


def test_rereads_the_head_up_to_a_row_that_was_there_at_the_start() -> None:
    newest = START - timedelta(hours=ord("c"))
    head = TracksWalk("head", Walk(0, 100), newest)
    after, _ = accept_tracks(head, [page(0, "abc", 100)])
    assert not after.done
    assert tracks_offsets(after, 4) == [3]
    after, _ = accept_tracks(after, [page(3, "cde", 100)])
    assert after.done


def test_rereads_the_head_after_a_first_page_of_nulls() -> None:
    first, _ = accept_tracks(TracksWalk(), [page(0, "..", 4)])
    second, _ = accept_tracks(first, [page(2, "cd", 4)])
    assert not second.done
    assert (second.stage, second.newest) == ("head", START - timedelta(hours=ord("c")))
