"""Progress fits its terminal and reports outages while it is watched."""

import io
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from spotisync.cli import formatting, polling, progress
from spotisync.cli.polling import Observation
from spotisync.errors import Unavailable
from spotisync.status import messages
from tests.support.documents import AT_WORK, NO_RUN, PHASES, block, document, phase

BEGUN = datetime(2024, 11, 22, 20, 0, tzinfo=UTC)
STATES: dict[str, dict[str, Any]] = {
    "going": document(worker=AT_WORK),
    "parked": document("rate_limited", blocked=[block("library", "2026-11-24T08:50:00+00:00")]),
    "pending": document("pending"),
    "failed": document("failed", last_error="Spotify answered 403: Premium needed"),
    "success": document("success", completed_at="2026-11-23T08:45:00+00:00", to_look_up={"artists": 1200}),
    "never": document(**NO_RUN),
    "a long name": document(account="a_spotify_user_id_that_is_rather_longer_than_most_of_them_are"),
}


def described(of: dict[str, Any]) -> dict[str, Any]:
    return {**of, **messages.describe(of)}


def drawn(what: RenderableType, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(what)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [36, 60, 80, 120])
@pytest.mark.parametrize("state", STATES)
def test_a_run_fits_the_width_without_truncating_a_word(state: str, width: int) -> None:
    of = described(STATES[state])
    lines = drawn(progress.render_run(of), width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert "\x1b" not in "".join(lines), "no escape codes without a terminal"
    shown = " ".join(" ".join(lines).split())
    assert of["message"] in shown
    assert all(note in shown for note in of["notes"])
    if of["phases"]:
        rows = [name for line in lines for name in PHASES if line.startswith(f" {name:<9} ")]
        assert rows == list(PHASES)


def run(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "sync_id": number,
        "account": "alice",
        "sync_type": "full",
        "status": "success",
        "started_at": BEGUN.isoformat(),
        "completed_at": (BEGUN + timedelta(seconds=754)).isoformat(),
        **dict.fromkeys(("items_processed", "items_added", "items_deferred"), 123_456),
        "api_calls": 12_345,
        "last_error": None,
        **changes,
    }


RUNS = [
    run(1234, status="failed", last_error="Spotify answered 403: Active premium subscription required; log in again"),
    run(1233, account="somebody_with_a_long_name", sync_type="incremental", items_deferred=0, status="rate_limited"),
    run(1232, status="in_progress", completed_at=None, started_at=datetime.now(UTC).isoformat()),
]


@pytest.mark.parametrize("width", [44, 60, 80, 120])
@pytest.mark.parametrize("runs", [RUNS, RUNS[:1], RUNS[1:2]])
def test_the_table_has_one_line_per_run_at_any_width(runs: list[dict[str, Any]], width: int) -> None:
    head, *lines = drawn(progress.runs_table(runs, "UTC", width), width)
    assert len(lines) == len(runs), "no line wraps"
    assert max(map(len, [head, *lines])) <= width
    assert all(str(each["sync_id"]) in line for each, line in zip(runs, lines, strict=True))
    assert all(word in head for word in ("run", "status", "started", "took"))
    if runs[0]["last_error"]:
        assert "22 Nov 2024" in lines[0]
        assert "12m 34s" in lines[0]


def test_eighty_columns_fit_deferred_lookups_calls_and_the_error() -> None:
    (line,) = drawn(progress.runs_table(RUNS[:1], "UTC", 80), 80)[1:]
    assert all(word in line for word in ("failed", "12m 34s", "123,456", "12,345", "403: Active"))


def test_an_incremental_sync_is_not_compared_with_the_whole_library() -> None:
    tracks = phase(status="in_progress", items_processed=52, total_items=3503, percent_complete=1)
    phases = {**document()["phases"], "tracks": tracks}
    running = described(document(sync_type="incremental", worker=AT_WORK, phases=phases))
    ended = {**phases, "tracks": {**tracks, "status": "success"}}
    done = described(document("success", sync_type="incremental", completed_at="2026-11-23T08:52:00Z", phases=ended))
    for each in (running, done):
        assert "3,503" not in " ".join(drawn(progress.render_run(each), 100)) + formatting.format_line(each)
        assert formatting.format_line(each).startswith("tracks 52 · ")


# ---- live -----------------------------------------------------------------------------------------------------------


def lines_of(looks: list[Observation[list[dict[str, Any]]]]) -> list[str]:
    out = io.StringIO()
    progress.draw_runs(looks, Console(file=out, width=200))
    return out.getvalue().splitlines()


def test_a_pipe_gets_a_line_only_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0)
    active = [described(document(worker=AT_WORK))]
    on = [described(document(worker=AT_WORK, api_calls=27))]
    later = [{**active[0], "as_of": "2026-11-23T08:50:01+00:00"}]
    done = [described(document("success", completed_at="2026-11-23T08:52:00+00:00"))]
    looks = [Observation(each) for each in (active, later, later, on)]
    lines = lines_of(
        [*looks, Observation(on, outage=0.6), Observation(on, outage=0.8), Observation(on), Observation(done)]
    )
    assert [line[:40] for line in lines] == [
        "tracks 1,247 / 3,500 · Reading saved tra",
        "tracks 1,247 / 3,500 · Reading saved tra",
        "No connection to the database for 1 s; s",
        "tracks 1,247 / 3,500 · Reading saved tra",
        "tracks 1,247 · Completed at 09:52:00: 1,",
    ]


def test_redraws_a_terminal_and_prints_lines_on_a_dumb_one() -> None:
    looks = [
        Observation([described(STATES["going"]), described(STATES["parked"])]),
        Observation([described(STATES["parked"])], outage=5.0),
    ]
    out = io.StringIO()
    progress.draw_runs(looks, Console(file=out, force_terminal=True, width=80, _environ={"TERM": "xterm"}))
    assert "\x1b[" in out.getvalue()
    assert "No connection to the database for 5 s" in out.getvalue()
    out = io.StringIO()
    progress.draw_runs(looks, Console(file=out, force_terminal=True, width=80, _environ={"TERM": "dumb"}))
    assert "\x1b[2K" not in out.getvalue()
    assert "Reading saved tracks" in out.getvalue()


def test_watching_survives_a_short_database_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "POLL_INTERVAL", 0)
    answers: Iterator[str | None] = iter(["one", None, None, "two"])

    def read() -> str:
        if (answer := next(answers)) is None:
            raise Unavailable("away")
        return answer

    seen = list(itertools.islice(polling.poll(read), 4))
    assert [each.value for each in seen] == ["one", "one", "one", "two"]
    assert [each.outage is None for each in seen] == [True, False, False, True]


def test_watching_ends_after_a_long_database_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "POLL_INTERVAL", 0)
    answers = itertools.chain(["one"], itertools.repeat(None))

    def read() -> str:
        if (answer := next(answers)) is None:
            raise Unavailable("away")
        return answer

    with pytest.raises(Unavailable):
        for _ in polling.poll(read, max_outage=0.01):
            pass
