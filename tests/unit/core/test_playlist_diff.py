"""Differences between two versions of a playlist."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.playlist_diff import Difference, compare

ROWS = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.parametrize(
    ("older", "newer", "added", "removed", "reordered"),
    [
        ("", "", [], [], False),
        ("abc", "abc", [], [], False),
        ("abc", "abcd", [3], [], False),
        ("abc", "xabc", [0], [], False),
        ("abc", "ac", [], [1], False),
        ("abc", "axc", [1], [1], False),
        ("abc", "cab", [], [], True),
        ("abc", "cxa", [1], [1], True),
        # Of equal rows, the later ones count.
        ("aba", "ab", [], [2], False),
        ("ab", "aab", [1], [], False),
        ("", "aa", [0, 1], [], False),
        ("aa", "", [], [0, 1], False),
    ],
)
def test_finds_what_is_new_gone_and_moved(
    older: str, newer: str, added: list[int], removed: list[int], reordered: bool
) -> None:
    assert compare(older, newer) == Difference(added, removed, reordered)


@given(ROWS, ROWS)
def test_a_difference_leads_from_one_version_to_the_other(older: list[str], newer: list[str]) -> None:
    found = compare(older, newer)
    kept = [row for place, row in enumerate(older) if place not in found.removed]
    stays = [row for place, row in enumerate(newer) if place not in found.added]
    assert Counter(kept) == Counter(stays)
    assert found.reordered == (kept != stays)
    # No row is both added and removed.
    assert not {newer[place] for place in found.added} & {older[place] for place in found.removed}


@given(ROWS, ROWS)
def test_the_reverse_difference_swaps_new_and_gone(older: list[str], newer: list[str]) -> None:
    there, back = compare(older, newer), compare(newer, older)
    assert (there.added, there.removed, there.reordered) == (back.removed, back.added, back.reordered)
