"""The number of calls that an incremental saves."""

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.calls_saved import ListLengths, calls_saved, full_read_calls


def test_counts_calls_for_ten_thousand_tracks_and_a_hundred_playlists() -> None:
    lists = ListLengths(10_000, 120, 0, 100, [250] * 99 + [1])
    assert full_read_calls(lists) == 200 + 3 + 1 + 2 + 99 * 5 + 1
    assert calls_saved(lists, 6) == 702 - 6


def test_an_empty_library_costs_one_call_per_list() -> None:
    assert full_read_calls(ListLengths(0, 0, 0, 0, [])) == 4


def test_a_deferred_list_saves_no_calls() -> None:
    assert full_read_calls(ListLengths(None, None, 7, None, [])) == 1
    assert calls_saved(ListLengths(None, None, None, None, []), 3) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**5))
def test_the_number_of_calls_saved_is_never_negative(tracks: int, spent: int) -> None:
    lists = ListLengths(tracks, 0, 0, 0, [])
    assert 0 <= calls_saved(lists, spent) <= full_read_calls(lists)
