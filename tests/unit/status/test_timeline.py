"""Sentences of events, folded batches, call estimates, samples of changes, allowed actions: pure."""

from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.states import UNFINISHED, Status
from spotisync.status import actions, changes, messages, timeline, usage
from spotisync.store.events import Kind

AT = "2026-11-23T08:50:00+00:00"


def event(kind: str, message: str | None = None, **changes: Any) -> dict[str, Any]:
    made = {
        "id": 1,
        "at": AT,
        "kind": kind,
        "phase": "tracks",
        "seq": 3,
        "attempt": 1,
        "family": "library",
        "seconds": 1.2,
        "items": 200,
        "calls": 4,
        "message": message,
    }
    return {**made, **changes}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (event("begun", "beat"), "Started by the schedule."),
        (event("batch"), "Batch 4 of tracks: 200 tracks in 1.2 s, 4 calls."),
        (event("batch", attempt=3, calls=1), "Batch 4 of tracks (attempt 3): 200 tracks in 1.2 s, 1 call."),
        (event("batch", phase="playlists", family="albums"), "Batch 4 of playlists: 200 albums in 1.2 s, 4 calls."),
        (event("wait", "rate", seconds=12.0), "Wait of 12 s: Spotify rate limit."),
        (event("wait", "pace", attempt=5), "5 waits, 1.2 s in total: request ceiling (SPOTISYNC_API_RATE)."),
        (event("wait", "other runs look them up"), "Wait of 1.2 s: other runs look them up."),
        (event("parked", "quota", seconds=7200.0), "Paused for 2 h: Spotify quota for library reads."),
        (event("parked", "budget", seconds=7200.0), "Paused for 2 h: daily budget used up."),
        (
            event("parked", "manual", seconds=7200.0),
            "Paused for 2 h: requests blocked by hand (spotisync limits set).",
        ),
        (event("woken", "rate_limited"), "Wait over; resumed."),
        (event("woken", "pending"), "Account free; started."),
        (
            event("retried", "Spotify answered 503"),
            "Batch 4 of tracks failed, retry in 1.2 s: Spotify answered 503.",
        ),
        (
            event("lost"),
            "Worker lost during batch 4 of tracks (process gone or lease expired); retried from the last checkpoint.",
        ),
        (event("resumed"), "Resumed from the last checkpoint."),
        (
            event("put_off", "budget", family="artists", items=1200),
            "Artist look-ups deferred, 1,200 left: daily budget used up.",
        ),
        (event("put_off", "off", family="albums", items=0), "Album look-ups deferred: SPOTISYNC_ENRICHMENT is off."),
        (event("success"), "Completed."),
        (event("failed", "it broke; fix it"), "Failed: it broke; fix it."),
        (event("cancelled", "cancelled"), "Cancelled."),
        (event("cancelled", "me was disabled"), "Cancelled: me was disabled."),
    ],
)
def test_describes_an_event(given: dict[str, Any], text: str) -> None:
    assert timeline.describe_event(given)["text"] == text


def test_every_kind_has_a_text_and_a_wait_has_an_end() -> None:
    assert set(timeline.TEXTS) == set(get_args(Kind))
    assert timeline.describe_event(event("parked", "quota", seconds=7200.0))["until"] == "2026-11-23T10:50:00+00:00"
    assert timeline.describe_event(event("wait", "pace", attempt=2))["until"] is None


batches = st.builds(
    lambda kind, phase, attempt, items: timeline.describe_event(event(kind, phase=phase, attempt=attempt, items=items)),
    st.sampled_from(["batch", "batch", "batch", "retried", "lost"]),
    st.sampled_from(["tracks", "albums"]),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(0, 300),
)


@given(given=st.lists(batches, max_size=30))
def test_folding_keeps_sums_and_folds_only_ordinary_batches(given: list[dict[str, Any]]) -> None:
    folded = timeline.fold_batches(given)
    for name in ("items", "calls", "number"):
        assert sum(each[name] for each in folded) == sum(each[name] for each in given)
    assert [each for each in folded if each["kind"] in {"retried", "lost"}] == [
        each for each in given if each["kind"] in {"retried", "lost"}
    ]
    together = [(each["kind"], each["phase"]) for each in folded]
    assert all(this != then for this, then in pairwise(together) if this[0] == "batches")


def test_describes_folded_batches_and_a_whole_run() -> None:
    (folded,) = timeline.fold_batches(
        [timeline.describe_event(event("batch", seq=seq, seconds=3.0)) for seq in range(12)]
    )
    assert folded["text"] == "12 batches, 2,400 tracks in 36 s, 48 calls."
    sums = {"batches": 12, "items": 2400, "calls": 49, "seconds": 36.0, "waited": 7200.0}
    whole = timeline.describe_totals({**sums, "retried": 1, "lost": 2, "resumed": 0})
    assert whole["text"] == ("12 batches, 2,400 items, 49 calls, 1 retry, 2 lost workers; worked 36 s, waited 2 h.")


@given(elapsed=st.floats(0, 60), now=st.integers(0, 500), before=st.integers(0, 500))
def test_the_estimate_for_a_window_never_exceeds_two_minutes_of_calls(elapsed: float, now: int, before: int) -> None:
    assert 0 <= usage.estimate_in_window(elapsed, now, before) <= now + before / 2


def test_samples_each_kind_of_change() -> None:
    kinds: list[list[dict[str, Any]]] = [
        [{"id": f"{kind}{n}"} for n in range(many)] for kind, many in (("a", 20), ("b", 2))
    ]
    assert [each["id"] for each in changes.sample_of(kinds)] == [*(f"a{n}" for n in range(8)), "b0", "b1"]


@pytest.mark.parametrize("account", ["active", "needs_login", "disabled", None])
@pytest.mark.parametrize("of_run", [True, False])
@given(statuses=st.tuples(*[st.sampled_from([None, *get_args(Status)])] * 2), shown=st.sampled_from([0, 1]))
def test_every_unavailable_action_has_a_reason(
    account: str | None, of_run: bool, statuses: tuple[Any, Any], shown: int
) -> None:
    newest = {
        name: {"sync_id": number, "sync_type": name, "status": status}
        for number, (name, status) in enumerate(zip(("full", "incremental"), statuses, strict=True), 1)
        if status
    }
    run = newest.get(("full", "incremental")[shown]) or {"sync_id": None, "sync_type": None, "status": None}
    found = actions.actions({**run, "account": "me", "account_status": account}, newest, of_run=of_run)
    why = found["why_not"]
    assert {name for name in found if not found[name]} == set(why)
    by_id = {each["sync_id"]: each["status"] for each in newest.values()}
    assert not found["cancel"] or by_id[found["cancel"]] in UNFINISHED
    assert not found["resume"] or by_id[found["resume"]] in {"failed", "cancelled"}
    assert account == "active" or not (found["full"] or found["incremental"] or found["resume"])


@pytest.mark.parametrize(
    ("last_error", "error"),
    [
        (None, None),
        ("it broke", {"cause": "It broke.", "cure": None}),
        ("no login; log in again: spotisync login", {"cause": "No login.", "cure": "Log in again: spotisync login"}),
        (
            "Spotify answered 503; 10 tries in a row failed",
            {"cause": "Spotify answered 503; 10 tries in a row failed.", "cure": None},
        ),
    ],
)
def test_describes_the_cause_and_the_fix_of_an_error(last_error: str | None, error: dict[str, Any] | None) -> None:
    assert messages.describe_error(last_error) == error
