"""The fifteen defects of the program that this one replaces (reference/peers.md 1.3), and what shows that none is here.

A defect may concern the incremental sync alone, which comes later: it says so, and has no tests yet.
"""

from pathlib import Path

import pytest

from spotisync.celery import app

TESTS = Path(__file__).parents[1]
FIFTEEN: dict[str, tuple[str, ...]] = {
    "1 a restart begins at offset 0: the state key has the id of a row made anew by each run": (
        "integration/sync/test_legacy_defects.py::test_a_run_that_failed_goes_on_where_it_was",
        "integration/store/test_schema.py::test_a_run_has_a_state_for_each_phase_by_its_key",
        "system/test_kill.py::test_kill_of_a_child_at_four_points",
    ),
    "2 a crash leaves a run in progress, and no other can ever start": (
        "integration/sync/test_legacy_defects.py::test_after_a_crash_a_trigger_joins_the_run_and_sweep_brings_it_back",
        "integration/store/test_runs.py::test_a_run_whose_worker_is_gone_is_due_at_once_and_can_be_claimed",
    ),
    "3 half of the stubs are skipped: an offset into a set that shrinks as it is read": (
        "integration/sync/test_legacy_defects.py::test_every_stub_is_looked_up_and_none_twice",
        "integration/store/test_catalogue.py::test_two_runs_never_claim_the_same_stub",
    ),
    "4 artists without genres are looked up again for ever": (
        "integration/sync/test_legacy_defects.py::test_what_was_looked_up_is_not_looked_up_again_by_the_next_run",
        "integration/store/test_catalogue.py::test_an_artist_without_genres_is_no_stub_for_ever",
    ),
    "5 a new snapshot id is stored without the contents": (
        "integration/store/test_playlists.py::test_a_listed_snapshot_does_not_pass_for_contents",
        "integration/store/test_playlists.py::test_contents_are_read_again_when_the_snapshot_is_another_one",
    ),
    "6 the incremental's watermark is when the last run ended": (
        "unit/core/test_incremental.py::test_one_calm_incremental_repairs_edits_between_any_requests",
        "integration/sync/test_moving_library.py::test_a_library_that_moves_is_right_after_one_calm_sync",
    ),
    "7 a 429 waits for a day whatever Retry-After says": (
        "integration/sync/test_legacy_defects.py::test_a_seven_second_limit_is_a_wait_of_seven_seconds",
        "unit/core/test_backoff.py::test_parses_every_form_of_retry_after",
    ),
    "8 each process has a limit of its own": (
        "integration/gate/test_gate.py::test_another_process_sees_a_cooldown_within_a_second",
        "integration/gate/test_gate.py::test_a_cooldown_of_the_window_covers_every_family",
    ),
    "9 the wait for a limit lives in a web request and is lost with it": (
        "integration/gate/test_gate.py::test_a_cooldown_survives_a_restart",
        "integration/store/test_runs.py::test_a_parked_run_is_due_when_its_family_is_free_whatever_its_time_says",
    ),
    "10 the schedule runs an old path without checkpoints": (
        "unit/test_legacy_defects.py::test_the_schedule_starts_runs_like_every_other_caller",
    ),
    "11 the incremental pages through the whole library, and nobody sees removals": (
        # The first half concerns the incremental alone.
        "integration/store/test_saved_tracks.py::test_a_proved_walk_removes_what_it_has_not_met_and_keeps_the_row",
        "system/test_full_sync.py::test_edits_between_two_syncs",
    ),
    "12 items of a playlist are deleted before the new ones are there": (
        "integration/sync/test_legacy_defects.py::test_items_of_a_playlist_survive_a_reading_that_breaks_off",
        "integration/store/test_playlists.py::test_contents_stay_as_they_were_until_the_last_page_is_in",
    ),
    "13 a run that waits is shown as running": (
        "integration/sync/test_legacy_defects.py::test_a_run_that_waits_for_long_says_so_and_until_when",
    ),
    "14 pages drift while the library is edited": (
        "unit/core/test_walk.py::test_skips_no_remaining_row_despite_edits_between_requests",
        "unit/core/test_walk.py::test_the_model_detects_a_walk_that_does_not_step_back",
    ),
    "15 no test of sync, resume and limits": ("unit/test_legacy_defects.py::test_every_defect_has_tests_that_exist",),
}


@pytest.mark.parametrize("defect", FIFTEEN)
def test_every_defect_has_tests_that_exist(defect: str) -> None:
    for test in FIFTEEN[defect]:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text()


def test_the_table_has_fifteen_defects() -> None:
    assert [int(defect.split()[0]) for defect in FIFTEEN] == list(range(1, 16))


def test_the_schedule_starts_runs_like_every_other_caller() -> None:
    """Beat sends `tick` and `sweep` alone; `tick` joins or makes a run as the command line and other services do."""
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled <= set(app.tasks)
    assert scheduled <= {"spotisync.tick", "spotisync.sweep", "spotisync.enrich"}
    assert "schedule.take_due(" in (TESTS.parent / "spotisync/tasks.py").read_text().partition("def tick(")[2]
    for module in ("runs", "schedule"):
        source = (TESTS.parent / f"spotisync/sync/{module}.py").read_text()
        assert "runs.find(" in source
        assert "runs.create(" in source
