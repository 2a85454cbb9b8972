"""Plays: which reports are of one play, and where plays may be missing.

`played_at` is the end of a play in the streaming history, and usually in recently played, which sometimes reports the
start instead (web-api#1083, #613). Spotify reports a play several times, with times that differ by seconds. Two plays
of one track are told apart by their duration: the second ends at least its own length after the first.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from spotisync.core.pairing import pair_up
from spotisync.core.rows import CatalogueRows

Key = tuple[str, datetime]
Source = Literal["recent", "import"]

REMEMBERED = 50  # recently played goes no further back
# Recently played omits plays that were shorter. Reports that are further apart are two plays.
WINDOW = timedelta(seconds=30)
PRECISION = timedelta(seconds=1)  # of the times in a streaming history
MINUTE = timedelta(minutes=1)
WIDEST = MINUTE + WINDOW  # reports of one play are never further apart
LONGEST = timedelta(days=1)  # longer plays are not compared by their start


@dataclass(frozen=True)
class Play:
    """A report of a play, or a stored play. `to_minute`: a report whose time is cut to the minute."""

    track_id: str
    played_at: datetime
    source: Source
    ms_played: int | None = None
    context_uri: str | None = None
    to_minute: bool = False

    @property
    def started_at(self) -> datetime:
        """When the play started, if it was never paused. Unknown without its length: then its time."""
        return self.played_at - min(timedelta(milliseconds=self.ms_played or 0), LONGEST)

    @property
    def latest_end(self) -> datetime:
        return self.played_at + MINUTE if self.to_minute else self.played_at

    @property
    def compared_times(self) -> tuple[datetime, datetime]:
        """The interval in which another row of this play can be."""
        if self.ms_played is None:
            return self.played_at - WIDEST, self.played_at + LONGEST
        return self.started_at - WIDEST, self.played_at + WIDEST

    @property
    def min_listened(self) -> timedelta:
        """The shortest time that the track can have been heard for."""
        return WINDOW if self.ms_played is None else timedelta(milliseconds=self.ms_played)


@dataclass(frozen=True)
class RecentPage:
    """A page of recently played: its number of rows, and those that are plays of a track."""

    length: int
    catalogue: CatalogueRows
    plays: tuple[Play, ...]


@dataclass(frozen=True)
class PlayGap:
    """Plays after `since` and before `until` may be missing."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class MergedPlays:
    """Merged reports.

    `added`: new plays. `filled`: stored plays with fields filled in or a better time. `replaced`: stored rows whose
    play is now at another time. `known`: the number of reports of stored plays.
    """

    added: list[Play]
    filled: list[Play]
    replaced: list[Play]
    known: int

    @property
    def rows(self) -> list[Play]:
        return [*self.added, *self.filled]


def is_same_play(one: Play, other: Play) -> bool:
    """Whether two reports of a track are of one play, if both say when it ended."""
    first, last = sorted((one, other), key=_time)
    apart = last.played_at - first.played_at
    if not apart:
        return True
    if one.to_minute or other.to_minute:
        return _is_same_minute(*((one, other) if one.to_minute else (other, one)))
    if one.source != other.source and min(one.min_listened, other.min_listened) < WINDOW:
        return False  # recently played would have omitted it
    shortest = last.min_listened - PRECISION if one.source == other.source == "import" else last.min_listened
    return apart < min(WINDOW, shortest)


def is_same_start(recent: Play, imported: Play) -> bool:
    """Whether a report of recently played has the time at which an imported play started."""
    if recent.ms_played is not None or imported.ms_played is None or imported.min_listened < WINDOW:
        return False
    apart = recent.played_at - imported.started_at
    return -WINDOW <= apart <= imported.latest_end - imported.played_at + WINDOW


def _is_same_minute(minute: Play, other: Play) -> bool:
    """Compare with a report whose time is cut to the minute."""
    if other.to_minute:
        return False  # another minute
    if other.ms_played is None:
        return minute.min_listened >= WINDOW and -WINDOW < other.played_at - minute.played_at < MINUTE + WINDOW
    tolerance = WINDOW if other.source == "recent" else timedelta()
    apart = other.played_at - minute.played_at
    return minute.ms_played == other.ms_played and -tolerance <= apart < MINUTE + tolerance


def _is_cut_to_minute(stored: Play, report: Play) -> bool:
    """Whether the stored play came with the account data, and the report with the extended streaming history."""
    apart = report.played_at - stored.played_at
    whole = stored.played_at.second == stored.played_at.microsecond == 0
    return whole and stored.source == "import" and stored.ms_played == report.ms_played and timedelta() < apart < MINUTE


def merge_reports(known: Iterable[Play], reports: Iterable[Play], *, repeated: bool = True) -> MergedPlays:
    """Merge reports of one source, of which all or none have a length, with the stored plays near them.

    A play keeps its time, unless that was its start; a report fills in its missing fields. `repeated`: several reports
    can be of one play.
    """
    stored, reported = _by_track(known), _by_track(reports)
    starts = _count_starts(stored, reported) > 0
    done = MergedPlays([], [], [], 0)
    for track_id, new in reported.items():
        plays = _merge_repeated(new) if repeated else new
        done = _add(done, _merge_track(stored[track_id], plays, starts=starts))
    return done


def _count_starts(stored: Mapping[str, list[Play]], reported: Mapping[str, list[Play]]) -> int:
    """How many more reports can only be starts than only ends: one of a repeated track can be either."""
    count = 0
    for track_id, reports in reported.items():
        has_lengths = reports[0].ms_played is not None
        candidates = _Candidates([play for play in stored[track_id] if (play.ms_played is None) == has_lengths])
        for report in reports:
            count += bool(candidates.by_start(report)) - bool(candidates.by_end(report))
    return count


def _by_track(plays: Iterable[Play]) -> defaultdict[str, list[Play]]:
    found: defaultdict[str, list[Play]] = defaultdict(list)
    for play in sorted(plays, key=_time):
        found[play.track_id].append(play)
    return found


def _add(one: MergedPlays, other: MergedPlays) -> MergedPlays:
    one.added.extend(other.added)
    one.filled.extend(other.filled)
    one.replaced.extend(other.replaced)
    return replace(one, known=one.known + other.known)


def _merge_repeated(reports: list[Play]) -> list[Play]:
    """Merge reports of one track with each other."""
    plays: list[Play] = []
    for report in reports:
        same = [
            play for play in _between(plays, report.played_at - WINDOW, report.played_at) if is_same_play(play, report)
        ]
        if same:
            nearest = max(same, key=_time)
            plays[plays.index(nearest)] = _fill_in(nearest, report)
        else:
            plays.append(report)
    return plays


def _merge_track(stored: list[Play], reports: list[Play], *, starts: bool) -> MergedPlays:
    """Pair reports with stored plays that an import described, and then imported plays with unexplained reports."""
    imported = [play for play in stored if play.ms_played is not None]
    recent = [play for play in stored if play.ms_played is None]
    has_lengths = reports[0].ms_played is not None
    first = _pair(reports, imported if has_lengths else stored, starts=starts)
    may_follow = [
        report if has_lengths and _may_be_recent(report, first.get(number)) else None
        for number, report in enumerate(reports)
    ]
    second = _pair(may_follow, recent, starts=starts) if has_lengths else {}
    outcome = _Outcome()
    for number, report in enumerate(reports):
        outcome.add(report, first.get(number), second.get(number))
    return outcome.merged()


def _may_be_recent(report: Play, stored: Play | None) -> bool:
    """Whether a report of recently played may be stored beside this import: not if an import described it before."""
    return stored is None or (stored.min_listened < WINDOW <= report.min_listened)


def _pair(reports: Sequence[Play | None], plays: list[Play], *, starts: bool) -> dict[int, Play]:
    """Pair each report with at most one play: by the end if possible, or by the start if `starts`."""
    candidates = _Candidates(plays)
    ends = [candidates.by_end(report) if report else [] for report in reports]
    others = [candidates.by_start(report) if report else [] for report in reports]
    either = [[*end, *(play for play in start if play not in end)] for end, start in zip(ends, others, strict=True)]
    exact = [
        [play for play in end if report and plays[play].played_at == report.played_at]
        for report, end in zip(reports, ends, strict=True)
    ]
    return {number: plays[play] for number, play in pair_up([exact, others if starts else ends, either]).items()}


class _Candidates:
    """Finds plays of one track near a time by bisection, since some people play one track all night, every night."""

    def __init__(self, plays: list[Play]) -> None:
        self._plays = plays
        self._number = {_key(play): number for number, play in enumerate(plays)}
        self._by_start = sorted((play for play in plays if play.ms_played is not None), key=_start)

    def by_end(self, report: Play) -> list[int]:
        near = _between(self._plays, report.played_at - WIDEST, report.played_at + WIDEST)
        same = [play for play in near if is_same_play(play, report) or _is_cut_to_minute(play, report)]
        return self._numbers(same, lambda play: play.played_at - report.played_at)

    def by_start(self, report: Play) -> list[int]:
        if report.ms_played is None:
            near = _between(self._by_start, report.played_at - WIDEST, report.played_at + WIDEST, key=_start)
            same = [play for play in near if is_same_start(report, play)]
            return self._numbers(same, lambda play: play.started_at - report.played_at)
        near = _between(self._plays, report.started_at - WIDEST, report.started_at + WIDEST)
        same = [play for play in near if is_same_start(play, report)]
        return self._numbers(same, lambda play: play.played_at - report.started_at)

    def _numbers(self, plays: list[Play], apart: Callable[[Play], timedelta]) -> list[int]:
        return [self._number[_key(play)] for play in sorted(plays, key=lambda play: abs(apart(play)))]


class _Outcome:
    """Collects the rows of one track."""

    def __init__(self) -> None:
        self._rows: list[tuple[Play, list[Play]]] = []  # with the stored rows of the play

    def add(self, report: Play, imported: Play | None, recent: Play | None) -> None:
        """`imported`, `recent`: the stored rows of this play."""
        before = [row for row in (imported, recent) if row]
        self._rows.append((replace(_merge(report, imported, recent), to_minute=False), before))

    def merged(self) -> MergedPlays:
        rows = _keep_apart(self._rows)
        return MergedPlays(
            added=[play for play, before in rows if not before],
            filled=[play for play, before in rows if before and play not in before],
            replaced=[row for play, before in rows for row in before if _key(row) != _key(play)],
            known=sum(bool(before) for _, before in rows),
        )


def _keep_apart(rows: list[tuple[Play, list[Play]]]) -> list[tuple[Play, list[Play]]]:
    """Leave a play at its stored time if it would move to the time of another row, since a key is written once.

    Then no row may move to its stored time either, so this is repeated until every time is that of one row.
    """
    while True:
        times = Counter(play.played_at for play, _ in rows)
        apart = [
            (replace(play, played_at=before[0].played_at) if before and times[play.played_at] > 1 else play, before)
            for play, before in rows
        ]
        if apart == rows:
            return rows
        rows = apart


def _merge(report: Play, imported: Play | None, recent: Play | None) -> Play:
    if recent and not imported and is_same_play(recent, report) and not _may_be_start(recent, report):
        return _fill_in(recent, report)
    play = _fill_in(imported, report) if imported else report
    # With the length that the report fills in, or else the next import of the report would move the play.
    if imported and _is_cut_to_minute(play, report):
        play = replace(play, played_at=report.played_at)
    return _fill_in(play, recent) if recent else play


def _may_be_start(recent: Play, report: Play) -> bool:
    """With times to the minute, a report can be at the start of a short track as well as at its end."""
    return report.to_minute and is_same_start(recent, report)


def _key(play: Play) -> Key:
    return play.track_id, play.played_at


def _time(play: Play) -> datetime:
    return play.played_at


def _start(play: Play) -> datetime:
    return play.started_at


def _between(plays: list[Play], first: datetime, last: datetime, key: Callable[[Play], datetime] = _time) -> list[Play]:
    return plays[bisect_left(plays, first, key=key) : bisect_right(plays, last, key=key)]


def _fill_in(play: Play, report: Play) -> Play:
    """Of two lengths the longer one counts: a history can have several rows of a play, one of 0 ms (maloja#104)."""
    lengths = [ms for ms in (play.ms_played, report.ms_played) if ms is not None]
    return replace(play, ms_played=max(lengths, default=None), context_uri=play.context_uri or report.context_uri)


def find_gap(page: RecentPage, newest_known: datetime | None, merged: MergedPlays) -> PlayGap | None:
    """A full page without a stored play may follow plays that it does not reach. Without stored plays: no gap."""
    if newest_known is None or page.length < REMEMBERED or merged.known or not page.plays:
        return None
    oldest = min(play.played_at for play in page.plays)
    return PlayGap(newest_known, oldest) if oldest > newest_known else None


def is_covered(spans: Sequence[tuple[datetime, datetime]], gap: PlayGap) -> bool:
    """Whether one of the spans, in each of which every play is known, contains the gap."""
    return any(first - WINDOW < gap.since and gap.until < last + WINDOW for first, last in spans)
