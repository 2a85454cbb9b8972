"""When listeners play and edit: endless sequences of events from a seed, a kind of listener and a start.

kind                what it is for
idle                nothing ever happens: what an account costs that nobody uses
regular             awake from 7 to 23 h, plays in the morning and the evening, a few edits meanwhile: the usual case
night               works at night, nine time zones away, and plays for hours from 22 h there: across a midnight
weekend             silent for five days, then hours on end: an interval learned on a Friday is wrong on Saturday
skipper             hears 35 to 60 s of each track: fifty plays are over in 40 minutes
occasional_skipper  regular, and once a week an hour of 40-s skips, which no earlier day announces
all_day             a shop: whole tracks for 18 hours a day
burst_editor        every fourth day saves 60 tracks within 20 minutes and edits playlists, then nothing; plays nothing

The events of a day depend on the seed, the kind and the date only, so it does not matter in which steps they are read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, takewhile
from random import Random
from typing import Final, NamedTuple

DAY: Final = 86_400
HOUR: Final = 3_600
SATURDAY: Final = 5
WEEKDAY_OF_EPOCH: Final = 3  # 1970-01-01 was a Thursday
# The edits of a session by weight; those that would use up a small library are missing.
EDITS: Final = {"like": 8, "unlike": 2, "save_album": 1, "follow": 1, "add_items": 4, "remove_items": 1}
PLAYLIST_EDITS: Final = {"add_items": 3, "remove_items": 1, "reorder_items": 1}


class Tune(NamedTuple):
    """A track that a listener plays."""

    number: int
    duration_ms: int


class RhythmEvent(NamedTuple):
    """A play that ends at a time, or an edit (`op`) at that time. `at_ms`: milliseconds since the epoch."""

    at_ms: int
    op: str
    track: int | None = None
    ms_played: int | None = None


@dataclass(frozen=True)
class Session:
    """Times in hours from the midnight where the listener is. `heard`: the seconds of each track; None: all of it."""

    start: float
    hours: float
    heard: tuple[int, int] | None = None
    silent: bool = False
    edits: Sequence[str] = ()


class Day(NamedTuple):
    """A day to plan: its random generator, its number since the epoch, and the listener's offset in longer periods."""

    rng: Random
    number: int
    phase: int


Plan = Callable[[Day], list[Session]]


def events(kind: str, tunes: Sequence[Tune], seed: int, since: float) -> Iterator[RhythmEvent]:
    """Yield the events after a time in order, without end unless the listener is idle."""
    plan, zone = _PLANS[kind]
    if plan is None:
        return
    phase = Random(f"{seed}:{kind}").randrange(28)
    for number in count(int(since + zone * HOUR) // DAY - 1):  # a session of yesterday may still last
        rng, midnight = Random(f"{seed}:{kind}:{number}"), number * DAY - zone * HOUR
        for session in plan(Day(rng, number, phase)):
            happened = sorted([*_plays(session, midnight, tunes, rng), *_edits(session, midnight, rng)])
            yield from (event for event in happened if event.at_ms > since * 1000)


def events_between(kind: str, tunes: Sequence[Tune], seed: int, since: float, until: float) -> list[RhythmEvent]:
    return list(takewhile(lambda event: event.at_ms <= until * 1000, events(kind, tunes, seed, since)))


def _plays(session: Session, midnight: float, tunes: Sequence[Tune], rng: Random) -> Iterator[RhythmEvent]:
    """One track after another in a random order, with a second or two between them."""
    if session.silent or not tunes:
        return
    at = int((midnight + session.start * HOUR) * 1000)
    end = at + session.hours * HOUR * 1000
    for tune in cycle(rng.sample(tunes, len(tunes))):
        at += (heard := _listen(session, tune, rng))
        if at > end:
            return
        yield RhythmEvent(at, "play", tune.number, heard)
        at += rng.randint(200, 2_000)


def _listen(session: Session, tune: Tune, rng: Random) -> int:
    if session.heard is None:
        return tune.duration_ms
    low, high = session.heard
    return min(tune.duration_ms, rng.randint(low * 1000, high * 1000))


def _edits(session: Session, midnight: float, rng: Random) -> Iterator[RhythmEvent]:
    for op in session.edits:
        yield RhythmEvent(int((midnight + (session.start + rng.random() * session.hours) * HOUR) * 1000), op)


def _choose(rng: Random, weights: dict[str, int], number: int) -> list[str]:
    return rng.choices(list(weights), list(weights.values()), k=number)


# The sessions that a plan returns must not overlap, nor those of the next day.


def _plan_regular(day: Day) -> list[Session]:
    rng = day.rng
    morning = Session(rng.uniform(7, 8), rng.uniform(0.5, 1.2), edits=_choose(rng, EDITS, rng.randint(0, 3)))
    evening = Session(rng.uniform(18.5, 20), rng.uniform(1, 2.8), edits=_choose(rng, EDITS, rng.randint(0, 3)))
    return [morning, evening] if rng.random() < 0.8 else [evening]


def _plan_night(day: Day) -> list[Session]:
    rng = day.rng
    return [Session(rng.uniform(22, 22.5), rng.uniform(2, 6), edits=_choose(rng, EDITS, rng.randint(0, 5)))]


def _plan_weekend(day: Day) -> list[Session]:
    if (day.number + WEEKDAY_OF_EPOCH) % 7 < SATURDAY:
        return []
    rng = day.rng
    return [Session(rng.uniform(11, 14), rng.uniform(5, 9), edits=_choose(rng, EDITS, rng.randint(2, 6)))]


def _plan_skipper(day: Day) -> list[Session]:
    return [replace(session, heard=(35, 60)) for session in _plan_regular(day)]


def _plan_occasional_skipper(day: Day) -> list[Session]:
    sessions = _plan_regular(day)
    if day.number % 7 == day.phase % 7:
        sessions.insert(-1, Session(day.rng.uniform(11, 16), day.rng.uniform(0.8, 1.3), heard=(38, 42)))
    return sessions


def _plan_all_day(_: Day) -> list[Session]:
    return [Session(6, 18)]


def _plan_burst_editor(day: Day) -> list[Session]:
    if day.number % 4 != day.phase % 4:
        return []
    start = day.rng.uniform(8, 22)
    saving = Session(start, 1 / 3, silent=True, edits=["like"] * 60)
    return [saving, Session(start + 1 / 3, 0.25, silent=True, edits=_choose(day.rng, PLAYLIST_EDITS, 8))]


_PLANS: Final[dict[str, tuple[Plan | None, int]]] = {  # and the hours by which local time is ahead of UTC
    "idle": (None, 0),
    "regular": (_plan_regular, 0),
    "night": (_plan_night, 9),
    "weekend": (_plan_weekend, 0),
    "skipper": (_plan_skipper, 0),
    "occasional_skipper": (_plan_occasional_skipper, 0),
    "all_day": (_plan_all_day, 0),
    "burst_editor": (_plan_burst_editor, 0),
}
KINDS: Final = tuple(_PLANS)
