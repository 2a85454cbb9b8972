"""The sentences of every situation; sentences and forecasts of arbitrary documents."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.cli import formatting as labels
from spotisync.core import oauth
from spotisync.status import forecast, messages, times
from tests.support.documents import AT_WORK, NO_RUN, NOW, PHASES, block, document, phase

TODAY, TOMORROW = "2026-11-23T12:02:00+00:00", "2026-11-24T08:00:00+00:00"
SOON = "2026-11-23T08:50:25+00:00"
OLD = "2026-11-23T08:40:00+00:00"
CURE = "spotisync login"


def tracks(**changes: Any) -> dict[str, Any]:
    made = document()["phases"]
    return {**made, "tracks": {**made["tracks"], **changes}}


def over(status: str, **changes: Any) -> dict[str, Any]:
    return document(status, completed_at="2026-11-23T08:45:00+00:00", **changes)


# The situation, a document that is in it, its message and what to do.
TABLE: list[tuple[messages.Situation, dict[str, Any], str, str]] = [
    (
        "no_account",
        document(**NO_RUN, account=None, account_status=None),
        "No account yet.",
        CURE,
    ),
    ("no_run", document(**NO_RUN), "No sync has run yet for alice.", "sync full --wait --account alice"),
    (
        "pending",
        document("pending", other_runs=[{"sync_id": 11, "sync_type": "incremental", "status": "in_progress"}]),
        "Queued: starts when run 11 (incremental sync) ends.",
        "Nothing",
    ),
    ("pending", document("pending"), "Queued: starts at the next sweep (every 10 s).", "Nothing"),
    (
        "paused",
        document("rate_limited", blocked=[block("library", TODAY)]),
        "Paused until 13:02 (3 h 12 min): Spotify quota for library reads. 1,247 of 3,500 tracks stored.",
        "Nothing",
    ),
    (
        "paused",
        document("rate_limited", blocked=[block("library", TODAY), block("*", TOMORROW, "rate")]),
        "Paused until 24 Nov 09:00 (23 h 10 min): Spotify rate limit. 1,247 of",
        "Nothing",
    ),
    (
        "paused",
        document("rate_limited", blocked=None, phases=tracks(rate_limit_reset_at=TODAY)),
        "Paused until 13:02 (3 h 12 min): Spotify answered 429 (too many requests). 1,247 of",
        "Nothing",
    ),
    (
        "paused",
        document("rate_limited", budget_until=TODAY),
        "Paused until 13:02 (3 h 12 min): the daily budget for library reads is spent; older calls leave it by then (",
        "Nothing; the run continues automatically. To spend the reserve now: spotisync sync full --account alice",
    ),
    (
        "paused",
        document("rate_limited", budget_until=TODAY, blocked=[block("*", TOMORROW, "rate")]),
        "Paused until 24 Nov 09:00 (23 h 10 min): Spotify rate limit.",
        "Nothing; the run continues automatically.",
    ),
    (
        "waiting",
        document("in_progress", budget_until=TODAY),
        "Waiting until 13:02 (3 h 12 min): the daily budget for library reads is spent;",
        "Nothing; the run continues automatically. To spend the reserve now:",
    ),
    (
        "due",
        document("rate_limited", budget_until="2026-11-23T08:49:00+00:00"),
        "Older calls have left the daily budget; resumes at the next sweep (every 10 s). 1,247 of",
        "Nothing",
    ),
    (
        "paused",
        document("rate_limited", blocked=[block("library", TODAY, "manual")]),
        "Paused until 13:02 (3 h 12 min): library reads blocked by hand (to end it: spotisync limits clear). 1,247 of",
        "Nothing; the run continues automatically.",
    ),
    (
        "due",
        document("rate_limited", blocked=[block("artists", TODAY)]),
        "Rate limit expired; resumes at the next sweep (every 10 s). 1,247 of 3,500 tracks stored.",
        "Nothing",
    ),
    (
        "due",
        document("rate_limited", phases=tracks(rate_limit_reset_at=TODAY)),
        "Rate limit expired; resumes at the next sweep (every 10 s). 1,247 of 3,500 tracks stored.",
        "Nothing",
    ),
    (
        "waiting",
        document(blocked=[block("*", SOON, "rate")], phases=tracks(rate_limit_reset_at=SOON)),
        "Waiting until 09:50:25 (25 s): Spotify rate limit. 1,247 of 3,500 tracks stored.",
        "Nothing",
    ),
    (
        "retrying",
        document(phases=tracks(failures=3, last_error="no answer from Spotify (ReadTimeout)")),
        "Retrying after 3 failures in a row: no answer from Spotify (ReadTimeout). 1,247 of 3,500 tracks stored.",
        "Nothing",
    ),
    ("unclaimed", document(phases={name: phase() for name in PHASES}), "Waiting for a worker.", "Nothing"),
    (
        "unclaimed",
        document(worker={"has_it": False, "alive": False, "last_advance": OLD}),
        "Waiting for a worker: none has taken the next batch for 10 min. 1,247 of 3,500 tracks stored.",
        "spotisync up (with your own servers: celery -A spotisync worker and celery -A spotisync beat)",
    ),
    (
        "worker_lost",
        document(worker={"has_it": True, "alive": False, "last_advance": NOW}),
        "Worker lost; another worker continues from the last checkpoint. 1,247",
        "Nothing",
    ),
    ("running", document(worker=AT_WORK), "Reading saved tracks: 1,247 of 3,500; 26 Spotify calls so far.", "Nothing"),
    ("running", document(), "Reading saved tracks: 1,247 of 3,500; 26 Spotify calls so far.", "Nothing"),
    (
        "running",
        document(api_calls=1, phases=tracks(items_processed=0)),
        "Reading saved tracks; 1 Spotify call",
        "Nothing",
    ),
    ("finishing", document(current_phase="finish"), "Finishing; 26 Spotify calls so far.", "Nothing"),
    (
        "success",
        over("success", items_added=1200, items_removed=2),
        "Completed at 09:45:00: 1,247 items read, 1,200 added, 2 removed; 26 Spotify calls.",
        "Nothing",
    ),
    ("success", over("success"), "Completed at 09:45:00: 1,247 items read, no changes; 26", "Nothing"),
    (
        "failed",
        over("failed", last_error="Spotify answered 403: Premium needed."),
        "Failed: Spotify answered 403: Premium needed. 1,247 of 3,500 tracks stored.",
        "Resume from the last checkpoint: spotisync resume 12",
    ),
    ("failed", over("failed"), "Failed: no error was recorded. 1,247", "spotisync resume 12"),
    (
        "failed",
        over("failed", account_status="needs_login", account_error="Spotify no longer takes this login (revoked)"),
        "alice has to log in again: Spotify no longer takes this login (revoked).",
        f"Log in again: {CURE}; then: spotisync resume 12",
    ),
    (
        "success",
        over("success", account_status="needs_login"),
        "no longer accepts its login. Completed at",
        f"Log in again: {CURE}",
    ),
    (
        "success",
        over("success", account_status="disabled"),
        "alice is disabled and is not synced.",
        "accounts enable alice",
    ),
    ("cancelled", over("cancelled"), "Cancelled at 09:45:00. 1,247 of 3,500 tracks stored.", "spotisync resume 12"),
]


@pytest.mark.parametrize(("situation", "of", "message", "to_do"), TABLE, ids=lambda each: str(each)[:30])
def test_describes_every_situation(situation: messages.Situation, of: dict[str, Any], message: str, to_do: str) -> None:
    described = messages.describe(of)
    assert messages.get_situation(of) == situation
    assert message in described["message"]
    assert to_do in described["to_do"]


def test_the_tables_cover_every_situation() -> None:
    assert {row[0] for row in TABLE} == set(get_args(messages.Situation))
    assert set(messages.MESSAGES) == set(messages.TO_DO) == set(get_args(messages.Situation))


def test_notes_removed_messages_for_a_day_in_any_situation() -> None:
    for name, made, _, _ in TABLE:
        removed = messages.notes({**made, "rejected_messages": {"count": 1234, "last_at": OLD}})
        note = "Workers have removed 1,234 malformed or surplus messages from the broker, the last at 09:40;"
        assert sum(note in each for each in removed) == 1, name
    for rejected in (None, {"count": 1234, "last_at": "2026-11-22T08:40:00+00:00"}):
        assert not [note for note in messages.notes(document(rejected_messages=rejected)) if "removed" in note]


def test_notes_changes_of_spotifys_replies() -> None:
    drift = [
        {"kind": "missing_key", "endpoint": "saved_albums", "key": "items[].album", "since": SOON},
        {"kind": "status", "endpoint": "playlist_items", "key": "418", "since": SOON},
    ]
    (note,) = [note for note in messages.notes(document(drift=drift)) if "doctor" in note]
    assert note == (
        "Spotify's replies of saved albums no longer have items[].album. No saved albums are removed until it returns. "
        "Spotify answered 418, a status without a known meaning, to requests of playlist items. "
        "What to do: spotisync doctor"
    )
    assert not [note for note in messages.notes(document(drift=[])) if "doctor" in note]


def test_says_what_still_runs_and_what_is_safe() -> None:
    other = [{"sync_id": 13, "sync_type": "incremental", "status": "in_progress"}]
    parked = messages.describe(document("rate_limited", blocked=[block("library", TODAY)], other_runs=other))
    assert parked["still_runs"] == "Only library reads are blocked. Run 13 (incremental sync) is running."
    several = [block("library", TODAY), block("artists", TOMORROW), block("albums", TODAY)]
    assert (
        messages.describe(document("rate_limited", blocked=several))["still_runs"]
        == "Only library reads, artist look-ups and album look-ups are blocked."
    )
    shorter = messages.describe(document("rate_limited", blocked=[block("library", TODAY), block("*", SOON)]))
    assert shorter["still_runs"] == "Other requests are blocked as well."
    assert parked["safe"] == "All items read so far are stored."
    assert (parked["waiting_for"], parked["waiting_until"]) == ("Spotify quota for library reads", TODAY)
    everything = messages.describe(document("rate_limited", blocked=[block("*", TODAY)]))
    assert everything["still_runs"] == "No requests are sent to Spotify until then."
    assert messages.describe(document(worker=AT_WORK))["waiting_until"] is None
    assert messages.describe(document(**NO_RUN))["safe"] is None


def test_without_premium_there_is_one_sentence_and_its_cure() -> None:
    error = oauth.no_premium_message(
        "Active premium subscription required for the owner of the app. When the subscription status changes, it can "
        "take a few hours before requests are allowed again."
    )
    failed = over("failed", last_error=error, phases={name: phase() for name in PHASES})
    assert messages.headline(failed) == (
        "Failed: Spotify refuses all requests of this app: Active premium subscription required for the owner of the "
        "app."
    )
    assert messages.what_to_do(failed) == (
        "Subscribe to Premium with the account that owns the app at https://developer.spotify.com/dashboard, and start "
        "a sync a few hours later."
    )


def test_says_why_fewer_tracks_are_stored_than_spotify_counts() -> None:
    def note(**changes: Any) -> list[str]:
        done = {"status": "success", "total_items": 3503, "items_processed": 3500, **changes}
        return [each for each in messages.notes(over("success", phases=tracks(**done))) if "Spotify counts" in each]

    (few,) = note()
    assert few == (
        "Spotify counts 3,503 saved tracks and lists 3,500: the other 3 rows are empty or repeated in its replies. "
        "Every full sync reads them again."
    )
    assert "the other row is empty" in note(items_processed=3502)[0]
    assert note(items_processed=3503) == note(items_deferred=3) == note(total_items=None) == []
    assert note(status="in_progress") == []


def test_notes_deferred_look_ups_and_limits_beside_the_run() -> None:
    described = messages.describe(
        over(
            "success",
            to_look_up={"artists": 1200, "albums": 0},
            blocked=[block("artists", TODAY)],
            phases=tracks(items_processed=3500),
        )
    )
    assert described["notes"] == [
        "Look-ups deferred until Spotify allows them: 1,200 artists.",
        "Artist look-ups blocked until 13:02 (3 h 12 min): Spotify quota used up.",
    ]
    parked = messages.describe(document("rate_limited", blocked=[block("library", TODAY)]))
    assert parked["notes"] == [], "the headline names that cooldown"


@pytest.mark.parametrize(
    ("swept", "text"),
    [(None, "No sweep has run yet; the run can't continue until beat"), (OLD, "No sweep has run for 10 min")],
)
def test_warns_when_no_scheduler_would_end_the_wait(swept: str | None, text: str) -> None:
    schedule = {"last_sweep": swept, "sweep_interval": 10}
    described = messages.describe(document("rate_limited", blocked=[block("library", TODAY)], schedule=schedule))
    assert text in described["notes"][0]
    assert "celery -A spotisync beat" in described["to_do"]
    assert messages.describe(document(schedule=schedule))["notes"] == [], "a running run needs no sweep"
    for ended in (over("success"), over("failed"), document(**NO_RUN)):
        notes = " ".join(messages.notes({**ended, "schedule": schedule}))
        assert "no sync starts until beat and a worker run" in notes


def test_says_when_the_run_will_be_complete() -> None:
    eta = {"earliest": "2026-11-23T09:40:00+00:00", "latest": "2026-11-23T09:46:00+00:00"}
    assert messages.notes(document(eta=eta)) == ["Expected to complete between 10:40 and 10:46."]
    same = {**eta, "latest": "2026-11-23T09:40:50+00:00"}
    assert messages.notes(document(phases=tracks(eta=same))) == ["Tracks expected to complete at about 10:40."]


# ---- any document ---------------------------------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat)  # noqa: DTZ001
COUNTS = st.integers(0, 10**9)
STATUSES = st.sampled_from(["pending", "in_progress", "rate_limited", "success", "failed", "cancelled"])
TEXTS = st.none() | st.sampled_from(["Spotify answered 500: nothing", "it broke off.", "is it?"])
FAMILIES = st.sampled_from(["library", "playlists", "artists", "albums", "player", "*", "a new one"])
PHASE = st.builds(
    phase,
    status=STATUSES,
    total_items=st.none() | COUNTS,
    **dict.fromkeys(("items_processed", "items_deferred", "batches", "failures"), COUNTS),
    last_error=TEXTS,
    rate_limit_reset_at=st.none() | MOMENTS,
    busy_seconds=st.floats(0, 10**7),
)
DOCUMENTS = st.builds(
    document,
    status=STATUSES,
    account_status=st.sampled_from(["active", "needs_login", "disabled"]),
    account_error=TEXTS,
    sync_type=st.sampled_from(["full", "incremental"]),
    completed_at=st.none() | MOMENTS,
    **dict.fromkeys(("items_processed", "items_added", "items_updated", "items_removed", "api_calls"), COUNTS),
    last_error=TEXTS,
    current_phase=st.sampled_from([*PHASES, "finish"]),
    family=FAMILIES,
    phases=st.fixed_dictionaries(dict.fromkeys(PHASES, PHASE)),
    worker=st.fixed_dictionaries({"has_it": st.booleans(), "alive": st.booleans(), "last_advance": MOMENTS}),
    to_look_up=st.dictionaries(st.sampled_from(["artists", "albums"]), COUNTS),
    other_runs=st.lists(
        st.fixed_dictionaries(
            {
                "sync_id": COUNTS,
                "sync_type": st.sampled_from(["full", "incremental"]),
                "status": st.sampled_from(["pending", "in_progress", "rate_limited"]),
            }
        ),
        max_size=2,
    ),
    as_of=MOMENTS,
    time_zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York", "Europe/Amsterdam"]),
    blocked=st.none()
    | st.lists(st.builds(block, FAMILIES, MOMENTS, st.sampled_from(["rate", "quota", "manual"])), max_size=3),
    budget_until=st.none() | MOMENTS,
    schedule=st.fixed_dictionaries({"last_sweep": st.none() | MOMENTS, "sweep_interval": st.integers(1, 60)}),
)


@given(DOCUMENTS, st.dictionaries(st.sampled_from(PHASES), st.floats(0, 10**6)))
def test_describes_any_document(of: dict[str, Any], earlier: dict[str, float]) -> None:
    made = forecast.add_eta(of, earlier)
    described = {**made, **messages.describe(made)}
    text = [
        described["message"],
        described["to_do"],
        *described["notes"],
        *filter(None, (described["safe"], described["still_runs"])),
    ]
    for sentence in [
        *text,
        labels.format_line(described),
        *labels.format_footnotes(described),
        labels.format_headline(described),
    ]:
        assert sentence
        assert not re.search(r"None|\bnull\b|\{|\.\.|  |^ | $", sentence), sentence
    for name, each in described["phases"].items():
        assert "None" not in labels.format_state(described, each) + labels.format_amount(described, name)


@given(DOCUMENTS)
def test_a_wait_has_a_local_time_and_a_day_unless_it_is_today(
    of: dict[str, Any],
) -> None:
    described = messages.describe(of)
    if messages.get_situation(of) not in {"paused", "waiting"}:
        assert described["waiting_until"] is None
        return
    until = datetime.fromisoformat(described["waiting_until"])
    text = times.format_time(of, until)
    assert text in described["message"] or of["account_status"] != "active"
    local = until.astimezone(ZoneInfo(of["time_zone"]))
    today = times.now(of).astimezone(ZoneInfo(of["time_zone"]))
    assert f"{local:%H:%M}" in text
    assert (f"{local.day} {local:%b}" in text) == (local.date() != today.date())
    assert (str(local.year) in text) == (local.year != today.year)


@given(DOCUMENTS, st.dictionaries(st.sampled_from(PHASES), st.floats(0, 10**6)))
def test_a_forecast_is_a_range_that_begins_after_the_wait(of: dict[str, Any], earlier: dict[str, float]) -> None:
    made = forecast.add_eta(of, earlier)
    waits = messages.get_wait(of)
    begin = waits.until if waits else times.now(of)
    for eta in (made["eta"], *(each["eta"] for each in made["phases"].values())):
        if eta:
            earliest, latest = (datetime.fromisoformat(eta[name]) for name in ("earliest", "latest"))
            assert begin <= earliest <= latest
    if messages.get_situation(of) in {"failed", "pending", "worker_lost", "unclaimed", "retrying", "success"}:
        assert made["eta"] is None, "unknown"


# ---- forecasts ------------------------------------------------------------------------------------------------------


def test_the_pace_of_batches_forecasts_the_end_of_a_phase() -> None:
    tenth = {"items_processed": 350, "batches": 25, "busy_seconds": 10.0}
    made = forecast.add_eta(document(worker=AT_WORK, phases=tracks(**tenth)), {})
    eta = made["phases"]["tracks"]["eta"]
    left = [(datetime.fromisoformat(eta[each]) - times.now(made)).total_seconds() for each in ("earliest", "latest")]
    assert left == pytest.approx([81, 99])  # 90 s at that pace
    assert made["eta"] is None, "the number of artists is unknown"
    assert made["phases"]["artists"]["eta"] is None


def test_queued_phases_take_about_as_long_as_in_the_last_run() -> None:
    earlier = dict.fromkeys(PHASES, 100.0)
    made = forecast.add_eta(document(worker=AT_WORK, phases={name: phase() for name in PHASES}), earlier)
    left = [times.parse(made["eta"][each]) for each in ("earliest", "latest")]
    assert left == [times.now(made) + timedelta(seconds=each) for each in (240, 640)]
    waits = document("rate_limited", blocked=[block("library", TODAY)])
    assert forecast.add_eta(waits, earlier)["eta"]["earliest"] > TODAY


def test_one_batch_gives_no_forecast() -> None:
    made = forecast.add_eta(document(worker=AT_WORK, phases=tracks(batches=1)), {})
    assert made["phases"]["tracks"]["eta"] is None


# ---- plays ----------------------------------------------------------------------------------------------------------


def playback(read_at: str | None = "2026-11-23T08:45:00+00:00", **changes: Any) -> dict[str, Any]:
    return {"read_at": read_at, "last_error": None, "plays_last_day": 12, "gaps": [], **changes}


@pytest.mark.parametrize(
    ("lane", "family", "recorded"),
    [
        (playback(), "library", True),
        (playback(), "player", False),
        (playback("2026-11-23T05:00:00+00:00"), "library", False),
        (playback(None), "library", False),
        (playback(last_error="log in again"), "library", False),
    ],
)
def test_says_whether_plays_are_recorded_during_a_wait(lane: Any, family: str, recorded: bool) -> None:
    blocked = [block("library", TODAY), block(family, TODAY)]
    described = messages.describe(document("rate_limited", blocked=blocked, playback=lane, playback_interval=600))
    assert ("Plays are still recorded." in described["still_runs"]) is recorded


def test_says_where_plays_may_be_missing() -> None:
    gap = {"from": "2026-11-23T01:00:00+00:00", "to": "2026-11-23T06:30:00+00:00"}
    described = messages.describe(over("success", playback=playback(gaps=[gap, gap])))
    assert described["notes"][-1].startswith("Plays may be missing between 02:00 and 07:30, and in 1 other gap.")
    assert "spotisync import" in described["notes"][-1]
