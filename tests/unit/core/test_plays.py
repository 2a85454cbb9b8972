"""Merging reports into plays: one row per real play, in any order and with any repetition."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core import parse, plays
from spotisync.core.parse import Unreadable
from spotisync.core.plays import REMEMBERED, Play, PlayGap, RecentPage
from spotisync.core.rows import CatalogueRows

# Half a second past: a time in recently played never equals one of the whole seconds of the export by chance.
START = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SHIFT = 7  # seconds by which two reports may differ from the truth, in opposite directions
SHORTEST = 45_000  # shorter plays of one track could be closer together than the window with both errors


@dataclass(frozen=True)
class Real:
    track_id: str
    ended: datetime
    ms: int

    @property
    def started(self) -> datetime:
        return self.ended - timedelta(milliseconds=self.ms)

    @property
    def reported(self) -> bool:
        return self.ms >= SHORTEST

    def recent(self, shift: int = 0, *, start: bool = False) -> Play:
        at = (self.started if start else self.ended) + timedelta(seconds=shift)
        return Play(self.track_id, at, "recent", context_uri="spotify:album:x")

    def exported(self) -> Play:
        return Play(self.track_id, self.ended.replace(microsecond=0), "import", self.ms)


@dataclass
class Table:
    rows: dict[tuple[str, datetime], Play] = field(default_factory=dict)

    def take(self, reported: Iterable[Play]) -> plays.MergedPlays:
        merged = plays.merge_reports(list(self.rows.values()), reported)
        assert not {row for row in merged.added if (row.track_id, row.played_at) in self.rows}
        written = [(row.track_id, row.played_at) for row in merged.rows]
        assert len(written) == len(set(written))
        for row in merged.replaced:
            del self.rows[row.track_id, row.played_at]
        for row in merged.rows:
            self.rows[row.track_id, row.played_at] = row
        return merged

    def of(self, real: Real, *, start: bool = False) -> list[Play]:
        """Place a play by its end; a short one is only in the export, so it has whole seconds."""
        near = timedelta(seconds=SHIFT + 1 if real.reported else 1)
        found = [row for row in self.rows.values() if row.track_id == real.track_id]
        ended = [
            row
            for row in found
            if abs(row.played_at - real.ended) <= near
            and (row.ms_played == real.ms or (row.ms_played is None and real.reported and not start))
        ]
        began = [row for row in found if row.ms_played is None and abs(row.played_at - real.started) <= near]
        return [*ended, *began] if start else ended

    @property
    def times(self) -> list[tuple[datetime, int | None]]:
        return sorted((row.played_at, row.ms_played) for row in self.rows.values())


@st.composite
def lives(draw: st.DrawFn, shortest_pause: int = 0) -> list[Real]:
    """Draw consecutive plays, many of the same track, some skipped after seconds."""
    lengths = st.one_of(st.integers(SHORTEST, 300_000), st.integers(2_001, 29_000))
    pauses = st.integers(shortest_pause, shortest_pause + 90)
    listened = draw(st.lists(st.tuples(st.sampled_from("abc"), lengths, pauses), min_size=1, max_size=14))
    now, life = START, []
    for track_id, ms, pause in listened:
        now += timedelta(milliseconds=ms // 1000 * 1000, seconds=pause)
        life.append(Real(track_id, now, ms // 1000 * 1000))
    return life


def report(table: Table, life: list[Real], data: st.DataObject, *, start: bool) -> set[Real]:
    """Let a page of recently played or an export, which has every play up to some day, arrive; return its plays."""
    if data.draw(st.booleans(), "export"):
        part = life[: data.draw(st.integers(1, len(life)))]
        table.take(data.draw(st.permutations([real.exported() for real in part])))
        return set(part)
    first = data.draw(st.integers(0, len(life) - 1))
    part = [real for real in life[first : first + data.draw(st.integers(1, len(life)))] if real.reported]
    table.take(real.recent(data.draw(st.integers(-SHIFT, SHIFT)), start=start) for real in part)
    return set(part)


@given(lives(), st.data())
@settings(max_examples=100)
def test_each_play_is_one_row_in_whichever_order_reports_arrive(life: list[Real], data: st.DataObject) -> None:
    table, reported = Table(), set[Real]()
    for _ in range(data.draw(st.integers(1, 5))):
        reported |= report(table, life, data, start=False)
    assert len(table.rows) == len(reported)
    assert all(len(table.of(real)) == 1 for real in reported)


# With shorter pauses the start of a play that is not exported yet could be the end of the exported one before it.
@given(lives(60), st.data())
@settings(max_examples=100)
def test_a_start_and_an_end_of_a_play_are_one_row_in_any_order(life: list[Real], data: st.DataObject) -> None:
    table, reported = Table(), set[Real]()
    for _ in range(data.draw(st.integers(1, 5))):
        reported |= report(table, life, data, start=True)
    assert len(table.rows) == len(reported)
    assert all(len(table.of(real, start=True)) == 1 for real in reported)


@given(lives(), st.booleans(), st.permutations(["export", "page", "page", "export"]), st.data())
@settings(max_examples=200)
def test_plays_of_one_track_in_a_row_are_not_merged(
    life: list[Real], start: bool, order: list[str], data: st.DataObject
) -> None:
    table = Table()
    for kind in order:
        if kind == "export":
            table.take(data.draw(st.permutations([real.exported() for real in life])))
        else:
            table.take(real.recent(data.draw(st.integers(-3, 3)), start=start) for real in life if real.reported)
    assert len(table.rows) == len(life)
    assert all(len(table.of(real)) == 1 for real in life)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("page_first", [False, True])
def test_an_export_that_ends_among_repeats_does_not_hide_a_play(start: bool, page_first: bool) -> None:
    """Other tracks on the page tell whether Spotify reports starts or ends."""
    life = [Real(id_, START + timedelta(seconds=200 * n), 200_000) for n, id_ in enumerate("abcaaaa")]
    page, early = [real.recent(start=start) for real in life], [real.exported() for real in life[:5]]
    table = Table()
    for reports in (page, early) if page_first else (early, page):
        table.take(reports)
    assert len(table.rows) == len(life)
    table.take(real.exported() for real in life)
    table.take(page)
    assert [ms for _, ms in table.times] == [200_000] * len(life)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("export_first", [False, True])
def test_one_track_all_night_is_one_row_per_play(start: bool, export_first: bool) -> None:
    night = [Real("a", START + timedelta(seconds=200 * number), 200_000) for number in range(3_000)]
    table = Table()
    steps = [[real.recent(start=start) for real in night[-1_000:]], [real.exported() for real in night]]
    for reports in reversed(steps) if export_first else steps:
        table.take(reports)
    assert [ms for _, ms in table.times] == [200_000] * 3_000
    assert all(abs(at - real.ended) < timedelta(seconds=1) for (at, _), real in zip(table.times, night, strict=True))


def test_a_row_at_the_start_of_a_play_moves_to_its_end() -> None:
    real = Real("a", START, 200_000)
    table = Table()
    table.take([real.recent(4, start=True)])
    merged = table.take([real.exported()])
    assert (merged.added, merged.known) == ([], 1)
    (row,) = table.rows.values()
    assert row == Play("a", START.replace(microsecond=0), "import", 200_000, "spotify:album:x")
    assert table.take([real.recent(start=True)]).rows == []


@pytest.mark.parametrize("seconds", [-31, 31])
def test_a_report_far_from_start_and_end_is_another_play(seconds: int) -> None:
    real = Real("a", START.replace(microsecond=0), 200_000)
    for reports in ([real.recent(seconds, start=True)], [real.exported()]), ([real.exported()], [real.recent(seconds)]):
        table = Table()
        for each in reports:
            table.take(each)
        assert len(table.rows) == 2


def test_a_skipped_play_is_not_the_report_at_its_start() -> None:
    long, skipped = Real("a", START, 200_000), Real("a", START + timedelta(seconds=20), 20_000)
    table = Table()
    table.take([long.recent()])
    table.take([skipped.exported()])
    assert len(table.rows) == 2


@given(st.permutations([0, 180_000, 2_000, 180_000]), st.integers(1, 4), st.booleans())
def test_of_two_lengths_of_one_play_the_longer_one_counts(lengths: list[int], split: int, recent: bool) -> None:
    table = Table()
    exported = [Play("a", START, "import", ms) for ms in lengths]
    if recent:
        table.take([Real("a", START, 180_000).recent(3)])
    for part in [exported] * 2 if recent else (exported[:split], exported[split:], exported[:split]):
        table.take(part)
    if recent:
        table.take([Real("a", START, 180_000).recent(-3)])
    assert [row.ms_played for row in table.rows.values()] == [180_000]


@given(lives(), st.data())
def test_a_repeated_report_adds_nothing(life: list[Real], data: st.DataObject) -> None:
    table = Table()
    table.take(real.recent(data.draw(st.integers(-SHIFT, SHIFT))) for real in life if real.reported)
    table.take(real.exported() for real in life)
    before = dict(table.rows)
    assert table.take(real.exported() for real in life).rows == []
    assert table.take(real.recent(data.draw(st.integers(-SHIFT, SHIFT))) for real in life if real.reported).rows == []
    assert table.rows == before


def by_minute(real: Real) -> Play:
    return Play(real.track_id, real.ended.replace(second=0, microsecond=0), "import", real.ms, to_minute=True)


@given(lives(), st.permutations(["account data", "export", "page"]), st.booleans())
@settings(max_examples=200)
def test_plays_of_the_account_data_are_those_of_the_export(life: list[Real], order: list[str], start: bool) -> None:
    life = list({(real.track_id, real.ended.replace(second=0)): real for real in life if real.reported}.values())
    table = Table()
    arrived = set[str]()
    for kind in [*order, *order]:
        if kind == "page" and "account data" in arrived:
            continue  # a page that comes later is compared with a time that is up to a minute off
        arrived.add(kind)
        reports = {
            "account data": [by_minute(real) for real in life],
            "export": [real.exported() for real in life],
            "page": [real.recent(start=start) for real in life],
        }
        table.take(reports[kind])
    assert [ms for _, ms in table.times] == [real.ms for real in life]


def test_a_play_does_not_move_to_the_time_of_another_row() -> None:
    minute, table = START.replace(microsecond=0), Table()
    table.take([Play("a", minute, "recent"), Play("a", minute + timedelta(seconds=30), "recent")])
    earlier = Play("a", minute - timedelta(minutes=1), "import", 30_001, to_minute=True)
    table.take([earlier, Play("a", minute, "import", 30_000, to_minute=True)])
    assert table.times == [(minute, 30_001), (minute + timedelta(seconds=30), 30_000)]


def test_an_import_that_completes_a_length_changes_nothing_twice() -> None:
    minute, table = START.replace(microsecond=0), Table()
    table.take([Play("a", minute, "import", 0)])
    later = Play("a", minute + timedelta(seconds=1), "import", 30_000)
    assert table.take([later]).known == 1
    assert table.take([later]).rows == []


def test_a_play_keeps_its_time_and_gains_data_from_the_other_report() -> None:
    real = Real("a", START, 200_000)
    for reports in ((real.recent(3), real.exported()), (real.exported(), real.recent(3))):
        table = Table()
        for report in reports:
            table.take([report])
        (row,) = table.rows.values()
        assert (row.played_at, row.source) == (reports[0].played_at, reports[0].source)
        assert (row.ms_played, row.context_uri) == (200_000, "spotify:album:x")


def test_a_short_play_beside_a_long_one_is_a_separate_play() -> None:
    long, short = Real("a", START, 200_000), Real("a", START + timedelta(seconds=3), 2_000)
    table = Table()
    table.take([long.recent(2)])
    assert len(table.take([long.exported(), short.exported()]).added) == 1
    assert len(table.rows) == 2


@given(st.lists(st.integers(0, 130), min_size=1, max_size=6), st.data())
@settings(max_examples=25)
def test_a_lost_play_always_leaves_a_recorded_gap(rounds: list[int], data: st.DataObject) -> None:
    table, gaps, life = Table(), list[PlayGap](), list[Real]()
    for number, new in enumerate(rounds):
        for _ in range(new):
            life.append(Real("abcdefg"[len(life) % 7], START + timedelta(minutes=3 * len(life)), 180_000))
        visible = life[-REMEMBERED:]
        page = RecentPage(
            len(visible),
            CatalogueRows(),
            tuple(real.recent(data.draw(st.integers(-SHIFT, SHIFT))) for real in visible),
        )
        newest = max((row.played_at for row in table.rows.values()), default=None)
        gap = plays.find_gap(page, newest, table.take(page.plays))
        known_before = len(life) - new
        assert (gap is not None) or new <= REMEMBERED or not known_before, number
        assert (gap is None) or (new >= REMEMBERED and known_before)
        gaps += [gap] if gap else []
    first_read = next((i for i, each in enumerate(life) if table.of(each)), 0)
    for real in life[first_read:]:
        assert table.of(real) or any(gap.since <= real.ended <= gap.until for gap in gaps)


@pytest.mark.parametrize("length", [REMEMBERED - 1, REMEMBERED])
def test_a_page_that_is_not_full_leaves_no_gap(length: int) -> None:
    page = RecentPage(length, CatalogueRows(), (Play("a", START, "recent"),))
    settled = plays.merge_reports([], page.plays)
    gap = plays.find_gap(page, START - timedelta(days=1), settled)
    assert (gap is None) == (length < REMEMBERED)
    assert plays.find_gap(page, None, settled) is None


def test_only_a_span_that_covers_the_whole_gap_closes_it() -> None:
    gap = PlayGap(START, START + timedelta(hours=2))
    whole, begun = (START, gap.until), (START + timedelta(minutes=1), gap.until)
    assert plays.is_covered([whole], gap)
    assert not plays.is_covered([begun], gap)
    assert not plays.is_covered([(START, START + timedelta(hours=1)), (START + timedelta(hours=1), gap.until)], gap)
    assert not plays.is_covered([], gap)


def test_parses_recently_played_rows_with_missing_fields() -> None:
    track = {"id": "t", "type": "track", "name": "T", "album": {"id": "b", "type": "album"}, "artists": [{"id": "a"}]}
    items = [
        {"played_at": "2026-03-01T12:00:00.123Z", "track": track, "context": None},
        {"played_at": "2026-03-01T11:00:00Z", "track": track, "context": {"uri": "spotify:playlist:p"}},
        {"played_at": None, "track": track},
        {"played_at": "2026-03-01T10:00:00Z", "track": None},
        {"played_at": "2026-03-01T10:00:00Z", "track": {"id": "e", "type": "episode"}},
        None,
    ]
    page = parse.recently_played({"items": items, "cursors": None})
    assert page.length == 6
    assert [(play.track_id, play.context_uri) for play in page.plays] == [("t", None), ("t", "spotify:playlist:p")]
    assert page.plays[0].played_at.microsecond == 123_000
    assert (set(page.catalogue.tracks), set(page.catalogue.albums), set(page.catalogue.artists)) == (
        {"t"},
        {"b"},
        {"a"},
    )
    unreadable: list[Any] = [None, [], {"items": None}, {"cursors": None}]
    for body in unreadable:
        with pytest.raises(Unreadable):
            parse.recently_played(body)
