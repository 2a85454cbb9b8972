"""The library is edited between the requests of incrementals; later runs without edits repair the tables."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core import incremental
from spotisync.core.bisection import Compared, Expected, ListRow
from spotisync.core.incremental import Conclude, Incremental, KnownLibrary, ReadPages, Rewalk, truncate_to_minute
from spotisync.core.parse import SavedTracksPage
from spotisync.core.requests import PAGE
from spotisync.core.rows import SavedTrackRow
from tests.support.expected import around_pages

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Spotify:
    """A list of saved tracks, newest first, sorted by minute; `nulls` are sorted by their dates too."""

    saved: dict[str, datetime]
    nulls: list[datetime] = field(default_factory=list)
    now: datetime = START
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    before: Callable[["Spotify"], None] = lambda _: None
    calls: int = 0

    def page(self, offset: int) -> SavedTracksPage:
        self.calls += 1
        self.before(self)
        rows: list[tuple[datetime, str | None]] = [(date, track) for track, date in self.saved.items()]
        rows += [(date, None) for date in self.nulls]
        rows.sort(key=lambda row: (-truncate_to_minute(row[0]).timestamp(), hash(row[1])))
        page = rows[offset : offset + PAGE]
        found = tuple(SavedTrackRow(track, date) if track else None for date, track in page)
        return SavedTracksPage(offset, len(page), len(rows), rows=found, dates=tuple(date for date, _ in page))

    def like(self, many: int = 1) -> None:
        for _ in range(many):
            self.now += timedelta(seconds=self.rng.choice([0, 1, 20, 90]))
            self.saved[f"liked{len(self.saved)}-{self.rng.random()}"] = self.now

    def unlike(self) -> None:
        if self.saved:
            del self.saved[self.rng.choice(sorted(self.saved))]

    def like_again(self) -> None:
        if self.saved:
            self.now += timedelta(seconds=1)
            self.saved[self.rng.choice(sorted(self.saved))] = self.now

    def insert_old(self) -> None:
        oldest = min(self.saved.values(), default=self.now)
        self.saved[f"old{self.rng.random()}"] = oldest + (self.now - oldest) * self.rng.random()


@dataclass
class Store:
    """The relevant tables, in memory."""

    saved: dict[str, datetime] = field(default_factory=dict)
    excess: list[datetime] = field(default_factory=list)
    patrol: int = 0
    walks: int = 0

    def sync(self, spotify: Spotify) -> None:
        cursor, read = Incremental(newest=max(self.saved.values(), default=None)), dict[int, ListRow]()
        while True:
            library = KnownLibrary(self._expected(read, cursor.total), read, self.patrol)
            step = incremental.plan(cursor, library)
            match step:
                case Conclude(found):
                    self._conclude(found, cursor, library)
                    return
                case Rewalk():
                    self._walk(spotify)
                    return
                case ReadPages(offsets):
                    pages = [spotify.page(offset) for offset in offsets]
                    after = incremental.fold(cursor, step, pages, library, set(self.saved))
                    read = {} if after.restart else read
                    cursor = after.cursor
                    if after.found:
                        self._conclude(after.found, cursor, library)
                        return
                    for row in after.rows:
                        read[row.place] = row.entry
                        if row.track_id and self.saved.get(row.track_id, START - timedelta(9_999)) < row.added_at:
                            self.saved[row.track_id] = row.added_at

    def _expected(self, read: dict[int, ListRow], total: int | None) -> Expected:
        rows = [ListRow(truncate_to_minute(date), track) for track, date in self.saved.items()]
        return around_pages(rows + [ListRow(date, None) for date in self.excess], read, total or 0)

    def _conclude(self, found: Compared, cursor: Incremental, library: KnownLibrary) -> None:
        for track in found.missing:
            del self.saved[track]
        for entry in library.read.values():
            if entry.track_id in found.redated:
                self.saved[entry.track_id] = entry.minute
        self.excess = [each.minute for each in found.excess]
        if cursor.patrolled and cursor.total:
            self.patrol = incremental.next_patrol_offset(self.patrol, library, cursor.total)

    def _walk(self, spotify: Spotify) -> None:
        self.walks += 1
        before, spotify.before = spotify.before, lambda _: None
        self.saved, self.excess = dict(spotify.saved), [truncate_to_minute(each) for each in spotify.nulls]
        spotify.calls += -(-len(self.saved) // PAGE)
        spotify.before = before


def library(tracks: int, rng: random.Random, ties: int = 3) -> dict[str, datetime]:
    return {
        f"t{number:05}": START - timedelta(minutes=60 * (number // rng.randint(1, ties)) + 5)
        for number in range(tracks)
    }


def stored(spotify: Spotify) -> Store:
    return Store(dict(spotify.saved), [truncate_to_minute(each) for each in spotify.nulls])


def _one_of_each(spotify: Spotify) -> None:
    spotify.like()
    spotify.unlike()


EDITS: dict[str, Callable[[Spotify], None]] = {
    "like": Spotify.like,
    "unlike": Spotify.unlike,
    "one of each": _one_of_each,
    "like again": Spotify.like_again,
    "twenty": lambda spotify: spotify.like(20),
    "nothing": lambda _: None,
}


def edited(spotify: Spotify, plan: list[str]) -> Callable[[Any], None]:
    """Make one edit before each of the next requests."""
    left = list(plan)
    return lambda _: EDITS[left.pop(0)](spotify) if left else None


CASES: dict[str, Any] = {
    "tracks": st.integers(0, 400),
    "before": st.lists(st.sampled_from(sorted(EDITS)), max_size=12),
    "meanwhile": st.lists(st.sampled_from(sorted(EDITS)), max_size=12),
    "nulls": st.integers(0, 3),
    "seed": st.integers(0, 2**32),
}


def check(tracks: int, before: list[str], meanwhile: list[str], nulls: int, seed: int) -> None:
    rng = random.Random(seed)
    spotify = Spotify(library(tracks, rng), rng=rng)
    spotify.nulls = [START - timedelta(minutes=60 * rng.randrange(tracks + 1)) for _ in range(nulls)]
    store = stored(spotify)
    for name in before:
        EDITS[name](spotify)
    spotify.before = edited(spotify, meanwhile)
    store.sync(spotify)
    spotify.before = lambda _: None
    spotify.now += timedelta(minutes=3)
    store.sync(spotify)
    assert {track: truncate_to_minute(date) for track, date in store.saved.items()} == {
        track: truncate_to_minute(date) for track, date in spotify.saved.items()
    }


@given(**CASES)
@settings(max_examples=150)
def test_one_calm_incremental_repairs_edits_between_any_requests(**case: Any) -> None:
    check(**case)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@given(**CASES)
@settings(max_examples=8_000)
def test_one_calm_incremental_repairs_thousands_of_edited_libraries(**case: Any) -> None:
    check(**case)


@given(st.integers(51, 400), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
@settings(max_examples=40)
def test_one_round_of_the_patrol_finds_rows_with_old_dates(tracks: int, inserted: int, gone: int, seed: int) -> None:
    rng = random.Random(seed)
    spotify = Spotify(library(tracks, rng), rng=rng)
    store = stored(spotify)
    for _ in range(inserted):
        spotify.insert_old()
    for _ in range(gone):
        spotify.unlike()
    for _ in range(2 + tracks // (PAGE // 2)):
        store.sync(spotify)
    assert sorted(store.saved) == sorted(spotify.saved)


@pytest.mark.parametrize("ties", [1, 3, 15])
def test_counts_the_calls_of_an_incremental_without_edits(ties: int) -> None:
    rng = random.Random(3)
    spotify = Spotify(library(10_000, rng, ties), rng=rng)
    store = stored(spotify)
    store.sync(spotify)
    assert spotify.calls == 2, "the head, and a patrol page"


def test_the_patrol_covers_the_whole_list_and_starts_again() -> None:
    rng = random.Random(3)
    spotify = Spotify(library(500, rng), rng=rng)
    store = stored(spotify)
    met = []
    for _ in range(30):
        met.append(store.patrol)
        store.sync(spotify)
    assert met.count(0) >= 2
    assert all(after - before <= PAGE for before, after in pairwise(met))


def test_a_library_that_changes_constantly_is_read_in_full() -> None:
    rng = random.Random(3)
    spotify = Spotify(library(3_000, rng), rng=rng)
    store = stored(spotify)
    spotify.before = Spotify.unlike
    store.sync(spotify)
    assert store.walks == 1
