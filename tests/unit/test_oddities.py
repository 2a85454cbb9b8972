"""The oddities of Spotify and the tests that cover each: in the simulator, the parsers and the whole program."""

import re
from pathlib import Path

import pytest

from spotisync.simulator.http.faults import LIES

TESTS = Path(__file__).parents[1]
WORLD = "unit/simulator/test_world.py::test_the_world_contains_every_oddity"
PARSE = "unit/core/test_parse.py::test_"
WHOLE = "system/test_full_sync.py::test_tables_equal_the_truth"
ODD = "integration/sync/test_oddities.py::test_"
ODDITIES: dict[str, tuple[str, ...]] = {
    "null rows among saved tracks": (
        WORLD,
        "unit/simulator/test_pages.py::test_saved_tracks_are_sorted_by_minute_newest_first",
        f"{PARSE}null_rows_keep_their_position",
        f"{ODD}a_track_hidden_by_a_null_row_stays_until_that_row_disappears",
        f"{ODD}detects_a_removal_beside_old_null_rows",
        "unit/core/test_moving_library.py::test_one_calm_run_repairs_a_library_that_changed",
    ),
    "null rows in the list of playlists": (
        WORLD,
        f"{PARSE}null_playlists_keep_their_position",
        f"{ODD}a_playlist_hidden_by_a_null_row_keeps_its_contents",
        f"{ODD}a_new_null_row_among_playlists_hides_no_later_removal",
        "unit/core/test_listing.py::test_a_null_row_may_be_counted_twice",
    ),
    "null rows in a playlist, counted in its total": (
        WORLD,
        f"{PARSE}an_empty_row_is_unavailable_and_keeps_its_position",
        WHOLE,
    ),
    "a playlist's row without snapshot, total, owner, name": (
        f"{PARSE}accepts_a_playlist_whose_fields_are_all_null",
        f"{PARSE}reads_the_length_of_a_playlist_under_either_key",
        f"{ODD}keeps_playlist_fields_that_the_list_omits",
        f"{ODD}reads_contents_with_an_unknown_snapshot_every_time",
        f"{ODD}a_missing_total_with_a_new_snapshot_is_not_the_old_total",
    ),
    "local files": (WORLD, f"{PARSE}a_local_file_has_no_id", WHOLE),
    "episodes, as such and in the form of tracks": (
        WORLD,
        "unit/simulator/test_pages.py::test_an_episode_comes_as_a_track_unless_episodes_are_requested",
        f"{PARSE}an_episode_is_no_track_in_either_form",
        f"{PARSE}one_marker_of_an_episode_is_enough",
        f"{PARSE}a_show_listed_as_an_artist_creates_no_artist",
        WHOLE,
    ),
    "the same track several times in a playlist": (f"{PARSE}a_track_listed_twice_yields_two_rows", WHOLE),
    "no date, no adder, or 1970": (
        WORLD,
        f"{PARSE}accepts_old_playlist_rows_without_date_and_adder",
        f"{PARSE}a_missing_date_becomes_the_epoch",
        "integration/store/test_saved_tracks.py::test_a_row_without_a_date_keeps_the_stored_date",
        WHOLE,
    ),
    '"0000", years and months for a release date': (
        WORLD,
        f"{PARSE}stores_a_release_date_as_sent_and_derives_its_first_day",
        WHOLE,
    ),
    "floats where whole numbers are documented": (
        f"{PARSE}accepts_whole_numbers_sent_as_floats",
        f"{PARSE}accepts_a_total_that_is_a_float",
        "unit/core/test_recorded.py::test_parses_recorded_artists_completely",
        WHOLE,
    ),
    "relinked twins": (
        f"{PARSE}stores_a_relinked_track_under_the_id_that_spotify_lists",
        "unit/simulator/test_world.py::test_relinking_keeps_isrc_and_date",
        "unit/core/test_tracks.py::test_returns_both_rows_of_a_track_that_is_listed_twice",
        "integration/store/test_saved_tracks.py::test_the_newest_of_two_rows_on_different_pages_counts",
        f"{ODD}stores_the_counts_of_a_proven_walk",
    ),
    "empty and huge names, and characters that Postgres rejects": (
        WORLD,
        f"{PARSE}keeps_any_name",
        f"{PARSE}removes_nul_and_lone_surrogates_from_a_name_for_postgres",
        WHOLE,
    ),
    "no genres, no images, images without a size": (
        f"{PARSE}an_empty_list_of_genres_differs_from_a_missing_one",
        f"{PARSE}picks_the_largest_image_or_the_first_without_sizes",
        "integration/store/test_catalogue.py::test_an_artist_without_genres_does_not_stay_a_stub",
        WHOLE,
    ),
    "ids that are gone from the start or during a run: null among many, 404 alone": (
        WORLD,
        "unit/simulator/test_pages.py::test_a_missing_id_is_null_among_many_and_404_alone",
        "unit/simulator/test_world.py::test_a_withdrawn_object_is_gone_from_then_on",
        f"{PARSE}a_null_among_looked_up_ids_means_that_the_id_is_gone",
        f"{ODD}an_id_withdrawn_before_its_look_up_is_gone",
        f"{ODD}an_id_withdrawn_after_its_look_up_keeps_what_is_known",
    ),
    "an id that Spotify refuses among others": (
        "system/test_full_sync.py::test_an_id_that_spotify_refuses_does_not_affect_others",
    ),
    "playlists that answer 403 and 404": (
        WORLD,
        "unit/core/test_contents.py::test_a_refused_playlist_does_not_stop_the_others",
        "integration/store/test_playlists.py::test_a_refusal_of_one_account_keeps_the_contents_of_another",
        f"{ODD}an_account_reads_a_playlist_that_another_account_has_read",
        WHOLE,
    ),
    "error bodies of any shape": (
        "unit/simulator/test_faults.py::test_error_bodies_take_every_recorded_form",
        "unit/spotify/test_spotify.py::test_other_refusals_keep_their_status_for_any_body",
        "unit/spotify/test_spotify.py::test_a_5xx_is_transient_for_any_body",
        "unit/spotify/test_spotify.py::test_a_429_raises_throttled_and_detects_a_quota_in_its_body",
    ),
    "a success without a usable body, or cut off": (
        "unit/simulator/test_faults.py::test_a_success_can_have_an_unusable_body",
        "unit/spotify/test_spotify.py::test_a_broken_reply_is_transient_and_the_next_one_is_parsed",
        f"{PARSE}a_page_without_items_or_total_is_unreadable_and_not_empty",
    ),
    "lists that move while they are read": (
        "unit/core/test_walk.py::test_skips_no_remaining_row_despite_edits_between_requests",
        "integration/sync/test_moving_library.py::test_one_calm_sync_repairs_a_library_that_changed",
        "system/test_moving.py::test_workers_sync_a_library_that_changes",
    ),
    "snapshot ids that lag behind, with another one in between": (
        "unit/simulator/test_world.py::test_a_new_snapshot_id_appears_after_a_lag",
        f"{ODD}contents_are_right_although_the_snapshot_id_lags",
    ),
    "`next` of the list of playlists has another path": (
        "unit/simulator/test_pages.py::test_the_next_page_of_playlists_is_under_the_user",
        "unit/spotify/test_spotify.py::test_requests_fifty_rows_from_the_offset",
    ),
    "rows with `track`, `item`, or both": (f"{PARSE}reads_a_track_from_item_or_track_or_both",),
    "all recorded replies of Spotify": (
        "unit/core/test_recorded.py::test_parses_recorded_saved_tracks_completely",
        "unit/core/test_recorded.py::test_every_recorded_reply_has_a_test",
        "unit/simulator/test_recorded.py::test_no_recorded_key_is_missing",
    ),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_every_oddity_has_tests_that_exist(oddity: str) -> None:
    for test in ODDITIES[oddity]:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text(), test


def test_the_page_of_oddities_names_every_lie_and_only_tests_that_exist() -> None:
    text = (TESTS.parent / "docs" / "spotify-oddities.md").read_text()
    assert [kind for kind in LIES if f"`{kind}`" not in text] == []
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(named) > 80
    assert [name for path, name in named if f"def test_{name}(" not in (TESTS / path).read_text()] == []
