"""Plays: which reports are of one play, and where plays may be missing.

`played_at` is the end of a play, in recently played and in the privacy export. Spotify reports a play several times,
with times that differ by seconds. Two plays of one track are told apart by their duration: the second ends at least its
own length after the first.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from spotisync.core.rows import CatalogueRows

Source = Literal["recent", "import"]

REMEMBERED = 50  # recently played goes no further back
# Recently played omits plays that were shorter. Reports that are further apart are two plays.
WINDOW = timedelta(seconds=30)
PRECISION = timedelta(seconds=1)  # of the times in an export


@dataclass(frozen=True)
class Play:
    track_id: str
    played_at: datetime
    source: Source
    ms_played: int | None = None
    context_uri: str | None = None

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
    """Merged reports: new plays, stored plays with fields filled in, and the number of reports of stored plays."""

    added: list[Play]
    filled: list[Play]
    known: int

    @property
    def rows(self) -> list[Play]:
        return [*self.added, *self.filled]


def is_same_play(one: Play, other: Play) -> bool:
    """Whether two reports of a track are of one play."""
    first, last = sorted((one, other), key=_time)
    apart = last.played_at - first.played_at
    if not apart:
        return True
    if one.source != other.source and min(one.min_listened, other.min_listened) < WINDOW:
        return False  # recently played would have omitted it
    shortest = last.min_listened - PRECISION if one.source == other.source == "import" else last.min_listened
    return apart < min(WINDOW, shortest)


def merge_reports(known: Iterable[Play], reports: Iterable[Play]) -> MergedPlays:
    """Merge reports with the stored plays near them. A play keeps its time; a report fills in its missing fields."""
    plays: defaultdict[str, list[Play]] = defaultdict(list)  # each list in order of time
    stored = set()
    for play in sorted(known, key=_time):
        plays[play.track_id].append(play)
        stored.add(_key(play))
    changed: dict[tuple[str, datetime], Play] = {}
    matched = 0
    for report in sorted(reports, key=_time):
        match = _match(plays[report.track_id], report)
        matched += match is not None and _key(match) in stored
        play = _fill_in(match, report) if match else report
        if play == match:
            continue
        if match:
            plays[play.track_id].remove(match)
        insort(plays[play.track_id], play, key=_time)
        changed[_key(play)] = play
    added = [play for key, play in changed.items() if key not in stored]
    filled = [play for key, play in changed.items() if key in stored]
    return MergedPlays(added, filled, matched)


def _key(play: Play) -> tuple[str, datetime]:
    return play.track_id, play.played_at


def _time(play: Play) -> datetime:
    return play.played_at


def _match(plays: list[Play], report: Play) -> Play | None:
    """Bisects, since some people play one track all night, every night."""
    first = bisect_left(plays, report.played_at - WINDOW, key=_time)
    last = bisect_right(plays, report.played_at + WINDOW, key=_time)
    same = [play for play in plays[first:last] if is_same_play(play, report)]
    return min(same, key=lambda play: abs(play.played_at - report.played_at), default=None)


def _fill_in(play: Play, report: Play) -> Play:
    return replace(
        play,
        ms_played=report.ms_played if play.ms_played is None else play.ms_played,
        context_uri=play.context_uri or report.context_uri,
    )


def find_gap(page: RecentPage, newest_known: datetime | None, merged: MergedPlays) -> PlayGap | None:
    """A full page without a stored play may follow plays that it does not reach. Without stored plays: no gap."""
    if newest_known is None or page.length < REMEMBERED or merged.known or not page.plays:
        return None
    oldest = min(play.played_at for play in page.plays)
    return PlayGap(newest_known, oldest) if oldest > newest_known else None


def is_covered(spans: Sequence[tuple[datetime, datetime]], gap: PlayGap) -> bool:
    """Whether one of the spans, in each of which every play is known, contains the gap."""
    return any(first - WINDOW < gap.since and gap.until < last + WINDOW for first, last in spans)
