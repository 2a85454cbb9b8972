"""One-to-one pairing of reports with the plays that they may be of (a bipartite matching of maximum size)."""

from collections import deque
from collections.abc import Sequence

Options = Sequence[Sequence[int]]  # for each report, its plays in order of preference


def pair_up(stages: Sequence[Options]) -> dict[int, int]:
    """Pair as many reports as possible, each with one of its plays; return the play of each paired report.

    A later stage has the options of the one before it and less likely ones, which are used only for reports that the
    earlier stage left alone.
    """
    play_of: dict[int, int] = {}
    report_of: dict[int, int] = {}
    for options in stages:
        for report, plays in enumerate(options):
            if plays and report not in play_of:
                _pair(report, options, play_of, report_of)
    return play_of


def _pair(report: int, options: Options, play_of: dict[int, int], report_of: dict[int, int]) -> None:
    """Find a play for `report`, moving other reports to other plays of theirs if that frees one."""
    found_by: dict[int, int] = {}
    queue = deque([report])
    while queue:
        at = queue.popleft()
        for play in options[at]:
            if play in found_by:
                continue
            found_by[play] = at
            if play not in report_of:
                _reassign(play, found_by, play_of, report_of)
                return
            queue.append(report_of[play])


def _reassign(free: int, found_by: dict[int, int], play_of: dict[int, int], report_of: dict[int, int]) -> None:
    play: int | None = free
    while play is not None:
        report = found_by[play]
        left = play_of.get(report)
        play_of[report], report_of[play] = play, report
        play = left
