"""Plays sorted on disk: in order of time, the longest first, in little memory."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from spotisync.core.plays import Play
from spotisync.core.rows import TrackRow
from spotisync.core.streaming_history import ImportedPlay, NamedPlay
from spotisync.store.play_spool import PlaySpool

START = datetime(2026, 3, 1, 12, 0, 0, 500_001, tzinfo=UTC)


def imported(seconds: int, ms: int, id_: str = "a") -> ImportedPlay:
    play = Play(id_, START + timedelta(seconds=seconds), "import", ms)
    return ImportedPlay(play, TrackRow(id_, f"Song {id_}", f"spotify:track:{id_}"))


def test_returns_plays_in_order_of_time_and_the_longest_first() -> None:
    named = [NamedPlay("Song", "Band", START + timedelta(minutes=number), 5) for number in range(3)]
    with PlaySpool() as spool:
        spool.add([named[2], imported(9, 1), imported(3, 0), named[0]])
        spool.add([imported(3, 180_000), named[1]])
        assert list(spool.imported(2)) == [[imported(3, 180_000), imported(3, 0)], [imported(9, 1)]]
        assert list(spool.named(5)) == [named]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_plays() -> None:
    tracemalloc.start()
    try:
        with PlaySpool() as spool:
            for first in range(0, 100_000, 1_000):
                spool.add(imported(-second, 1) for second in range(first, first + 1_000))
            assert sum(len(plays) for plays in spool.imported(1_000)) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
