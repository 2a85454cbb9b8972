"""The listeners of a world. Events whose time has passed are applied before the next request."""

from collections.abc import Iterator
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

from spotisync.simulator.world import editor, rhythms
from spotisync.simulator.world.library import Library
from spotisync.simulator.world.rhythms import RhythmEvent, Tune
from spotisync.simulator.world.state import WorldState

MIN_TUNE_MS, MAX_TUNE_MS = 150_000, 270_000
MAX_TUNES = 300
FEW_TUNES = 40  # a smaller library is not enough: the listener plays other tracks too


class Listener(NamedTuple):
    """An account with a rhythm. `rng` chooses the objects of its edits."""

    account: str
    rng: Random
    events: Iterator[RhythmEvent]


class Listeners:
    """Every listener of a world, in a heap by their next events: a request when nothing is due costs one comparison."""

    def __init__(self, world: WorldState) -> None:
        self._world = world
        self._due: list[tuple[int, int, RhythmEvent, Listener]] = []
        self._queued = 0
        self.edits: dict[str, list[dict[str, Any]]] = {}

    def start(self, library: Library, kind: str, seed: int, since: float) -> None:
        """Give an account a rhythm from a time on, instead of the one that it had."""
        if kind not in rhythms.KINDS:
            raise LookupError(f"no rhythm {kind!r}; the rhythms are {', '.join(rhythms.KINDS)}")
        self.catch_up()
        self._due = sorted(entry for entry in self._due if entry[3].account != library.id)  # a sorted list is a heap
        events = rhythms.events(kind, choose_tunes(self._world, library, seed), seed, since)
        self._queue_next(Listener(library.id, Random(f"{seed}:{library.id}:edits"), events))

    def catch_up(self) -> None:
        """Make everything happen that was due until now, in the order of time over all accounts."""
        until = self._world.now() * 1000
        while self._due and self._due[0][0] <= until:
            _, _, event, listener = heappop(self._due)
            self._act(listener, event)
            self._queue_next(listener)

    def _queue_next(self, listener: Listener) -> None:
        if event := next(listener.events, None):
            self._queued += 1
            heappush(self._due, (event.at_ms, self._queued, event, listener))

    def _act(self, listener: Listener, event: RhythmEvent) -> None:
        """Make an event happen at its time. An edit for which the library has no object left does not happen."""
        account, moment = listener.account, event.at_ms / 1000
        if event.track is not None:
            track = self._world.catalogue.ids.of("track", event.track)
            play = {"track": track, "at_ms": event.at_ms, "ms_played": event.ms_played}
            editor.edit(self._world, event.op, account, listener.rng, moment, **play)
            return
        try:
            done = editor.edit(self._world, event.op, account, listener.rng, moment)
        except (LookupError, IndexError):
            return
        self.edits.setdefault(account, []).append({"at": moment, **done})


def choose_tunes(world: WorldState, library: Library, seed: int) -> list[Tune]:
    """Choose the tracks that an account plays: saved ones of usual length, and others if it has few."""
    rng = Random(f"{seed}:{library.id}:tunes")
    saved = sorted({track for _, track in library.saved if track >= 0})
    tunes = _usual(world, rng.sample(saved, min(len(saved), 2 * MAX_TUNES)))
    if len(tunes) < FEW_TUNES:
        others = rng.sample(range(world.catalogue.tracks), min(world.catalogue.tracks, 4 * FEW_TUNES))
        tunes += _usual(world, [track for track in others if track not in saved])
    return tunes[:MAX_TUNES]


def _usual(world: WorldState, tracks: list[int]) -> list[Tune]:
    tunes = (Tune(track, world.catalogue.track(track).duration_ms) for track in tracks)
    return [tune for tune in tunes if MIN_TUNE_MS <= tune.duration_ms <= MAX_TUNE_MS]
