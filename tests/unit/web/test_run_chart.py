"""The picture of a run: where batches, waits, retries and lost workers are."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spotisync.status.timeline import describe_event
from spotisync.store.events import STARTED, STOPPED
from spotisync.web.run_chart import NARROWEST, PhaseRow, RunChart, make_run_chart

BEGIN = datetime(2026, 11, 23, 9, tzinfo=UTC)


def event(at: float, kind: str, phase: str | None = "tracks", seconds: float | None = None, **more: Any) -> Any:
    empty = dict.fromkeys(("id", "seq", "attempt", "family", "items", "calls", "message"))
    time = (BEGIN + timedelta(seconds=at)).isoformat()
    values = {"seq": 0, "items": 9, "attempt": 1, **more}
    return describe_event({**empty, "kind": kind, "phase": phase, "seconds": seconds, "at": time, **values})


def draw(*events: Any, now: float = 100) -> RunChart:
    found = make_run_chart(events, (BEGIN + timedelta(seconds=now)).isoformat())
    assert found
    return found


def bars(row: PhaseRow) -> list[tuple[str, float, float]]:
    return [(bar.kind, bar.x, bar.width) for bar in row.bars]


def test_a_run_without_batches_has_no_picture() -> None:
    assert make_run_chart([], BEGIN.isoformat()) is None
    assert make_run_chart([event(0, "begun", None), event(9, "cancelled", None)], BEGIN.isoformat()) is None


def test_each_phase_is_a_row_over_the_time_of_the_run() -> None:
    chart = draw(event(0, "begun", None), event(20, "batch", seconds=20), event(100, "batch", "albums", 30))
    assert [(row.name, bars(row)) for row in chart.rows] == [
        ("tracks", [("batch", 0, 20)]),
        ("albums", [("batch", 70, 30)]),
    ]
    assert (chart.begin, chart.end) == (BEGIN.isoformat(), (BEGIN + timedelta(seconds=100)).isoformat())
    assert chart.legend == [("batch", "batch")]
    assert chart.rows[0].label == "tracks: 1 batch (20 s)"


def test_shows_waits_pauses_failures_and_lost_workers() -> None:
    chart = draw(
        event(10, "batch", seconds=10),
        event(10, "wait", seconds=10, message="rate"),
        event(25, "batch", seconds=5),
        event(25, "retried", seconds=15, message="503"),
        event(50, "batch", seconds=10),
        event(60, "lost"),
        event(70, "batch", seconds=10),
        event(70, "parked", seconds=20, message="quota"),
        event(90, "woken", None),
        event(100, "batch", seconds=10),
    )
    (row,) = chart.rows
    assert bars(row) == [
        ("batch", 0, 10), ("wait", 10, 10), ("batch", 20, 5), ("retried", 25, 15), ("batch", 40, 10), ("lost", 50, 10),
        ("batch", 60, 10), ("parked", 70, 20), ("batch", 90, 10),
    ]  # fmt: skip
    assert [kind for kind, _ in chart.legend] == ["batch", "wait", "parked", "retried", "lost"]
    assert row.label == (
        "tracks: 5 batches (45 s), 1 short wait (10 s), 1 pause (20 s), 1 failure, until its retry (15 s), "
        "1 lost worker (10 s)"
    )


def test_a_wait_ends_early_lasts_until_now_or_as_planned() -> None:
    batch = event(10, "batch", seconds=10)
    woken = draw(batch, event(10, "parked", seconds=90, message="rate"), event(20, "woken", None))
    assert woken.end == (BEGIN + timedelta(seconds=20)).isoformat()
    lasting = draw(batch, event(10, "parked", seconds=90, message="rate"), now=30)
    assert lasting.end == (BEGIN + timedelta(seconds=30)).isoformat()
    stopped = draw(
        batch,
        event(10, "parked", seconds=90, message="rate"),
        event(20, "woken", None, message=STOPPED),
        event(30, "woken", None, message=STARTED),
        now=200,
    )
    assert stopped.end == (BEGIN + timedelta(seconds=100)).isoformat(), "waits go on while the processes are stopped"


def test_bars_too_near_to_be_told_apart_are_one() -> None:
    many = [event(n / 100, "batch", seconds=0.01) for n in range(1, 2_001)]
    (row,) = draw(*many, event(20, "wait", seconds=80, message="rate")).rows
    assert [(bar.kind, bar.number) for bar in row.bars] == [("batch", 2_000), ("wait", 1)]
    assert row.bars[0].label == "2,000 batches"


TIMES = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=1, max_size=60).map(sorted)
KINDS = st.sampled_from(("batch", "wait", "parked", "retried", "lost"))


@given(TIMES, st.lists(KINDS, min_size=60, max_size=60))
def test_no_bar_leaves_the_picture(times: list[tuple[float, float]], kinds: list[str]) -> None:
    chart = draw(*(event(at, kind, seconds=long) for (at, long), kind in zip(times, kinds, strict=False)), now=2e6)
    for bar in chart.rows[0].bars:
        assert bar.width >= NARROWEST
        assert bar.x >= 0
        assert bar.x + bar.width <= 100.02
    assert sum(bar.number for bar in chart.rows[0].bars) == len(times)
