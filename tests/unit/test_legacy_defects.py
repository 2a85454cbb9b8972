"""The fifteen defects of the program that this one replaces, and the tests which show that it has none of them."""

from pathlib import Path

import pytest

from spotisync.celery import app

TESTS = Path(__file__).parents[1]
FIFTEEN: dict[str, tuple[str, ...]] = {
    "1 a restart begins at offset 0, because the state key contains the id of a row that each run creates": (
        "integration/sync/test_legacy_defects.py::test_a_failed_run_resumes_where_it_stopped",
        "integration/store/test_schema.py::test_a_run_has_one_state_row_per_phase_with_its_key",
        "system/test_kill.py::test_a_run_survives_kills_of_a_child_at_four_points",
    ),
    "2 a crash leaves a run in progress, which blocks all later runs": (
        "integration/sync/test_legacy_defects.py::test_after_a_crash_a_trigger_joins_the_run_and_a_sweep_resumes_it",
        "integration/store/test_runs.py::test_a_run_of_a_dead_worker_is_due_and_claimable_at_once",
    ),
    "3 half of the stubs are skipped, because an offset is applied to a shrinking set": (
        "integration/sync/test_legacy_defects.py::test_looks_up_every_stub_exactly_once",
        "integration/store/test_catalogue.py::test_two_runs_never_claim_the_same_stub",
    ),
    "4 artists without genres are looked up again in every run": (
        "integration/sync/test_legacy_defects.py::test_the_next_run_does_not_repeat_look_ups",
        "integration/store/test_catalogue.py::test_an_artist_without_genres_does_not_stay_a_stub",
    ),
    "5 a new snapshot id is stored without the new contents": (
        "integration/store/test_playlists.py::test_a_new_snapshot_in_the_list_does_not_count_as_its_contents",
        "integration/store/test_playlists.py::test_reads_contents_again_when_the_snapshot_differs",
    ),
    "6 the watermark of an incremental is the end of the previous run": (
        "unit/core/test_incremental.py::test_one_calm_incremental_repairs_edits_between_any_requests",
        "integration/sync/test_moving_library.py::test_one_calm_sync_repairs_a_library_that_changed",
    ),
    "7 a 429 always waits for a day and ignores Retry-After": (
        "integration/sync/test_legacy_defects.py::test_a_seven_second_limit_causes_a_seven_second_wait",
        "unit/core/test_backoff.py::test_parses_every_form_of_retry_after",
    ),
    "8 each process has its own rate limit": (
        "integration/gate/test_gate.py::test_another_process_notices_a_cooldown_within_a_second",
        "integration/gate/test_gate.py::test_a_rate_limit_blocks_every_family",
    ),
    "9 the wait for a rate limit is part of a web request and is lost with it": (
        "integration/gate/test_gate.py::test_a_cooldown_survives_a_restart",
        "integration/store/test_runs.py::test_a_parked_run_is_due_when_its_family_is_free_at_any_wake_time",
    ),
    "10 the schedule runs old code without checkpoints": (
        "unit/test_legacy_defects.py::test_the_schedule_starts_runs_like_every_other_caller",
    ),
    "11 an incremental reads the whole library and never detects removals": (
        "unit/core/test_bisection.py::test_an_unchanged_library_costs_one_page",
        "integration/store/test_saved_tracks.py::test_a_proven_walk_marks_unseen_rows_removed_and_keeps_them",
        "system/test_full_sync.py::test_a_sync_stores_edits_made_since_the_last_one",
    ),
    "12 the items of a playlist are deleted before the new ones are stored": (
        "integration/sync/test_legacy_defects.py::test_an_interrupted_read_keeps_the_items_of_a_playlist",
        "integration/store/test_playlists.py::test_contents_change_only_when_the_last_page_is_stored",
    ),
    "13 a waiting run is shown as running": (
        "integration/sync/test_legacy_defects.py::test_a_long_wait_is_shown_with_its_end",
    ),
    "14 pages shift while the library is edited": (
        "unit/core/test_walk.py::test_skips_no_remaining_row_despite_edits_between_requests",
        "unit/core/test_walk.py::test_the_model_detects_a_walk_that_does_not_step_back",
    ),
    "15 sync, resume and limits have no tests": (
        "unit/test_legacy_defects.py::test_every_defect_has_tests_that_exist",
    ),
}


@pytest.mark.parametrize("defect", FIFTEEN)
def test_every_defect_has_tests_that_exist(defect: str) -> None:
    for test in FIFTEEN[defect]:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text()


def test_the_table_has_fifteen_defects() -> None:
    assert [int(defect.split()[0]) for defect in FIFTEEN] == list(range(1, 16))


def test_the_schedule_starts_runs_like_every_other_caller() -> None:
    """The scheduler only sends tasks; `tick` joins or creates a run like the command line and other services do."""
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled <= set(app.tasks)
    assert scheduled <= {"spotisync.tick", "spotisync.sweep", "spotisync.enrich", "spotisync.housekeeping"}
    assert "schedule.take_due(" in (TESTS.parent / "spotisync/tasks.py").read_text().partition("def tick(")[2]
    for module, calls in {"runs": ("runs.find(", "runs.create("), "schedule": ("runs.find_or_create(",)}.items():
        source = (TESTS.parent / f"spotisync/sync/{module}.py").read_text()
        assert all(call in source for call in calls)
