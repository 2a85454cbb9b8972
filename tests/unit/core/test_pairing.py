"""Pairing of reports with plays: one-to-one, as many as possible, likely pairs first."""

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.pairing import pair_up

OPTIONS = st.lists(st.lists(st.integers(0, 5), max_size=3, unique=True), max_size=6)


def largest(options: list[list[int]], taken: frozenset[int] = frozenset()) -> int:
    """The largest number of pairs, by trying everything."""
    if not options:
        return 0
    first, *others = options
    return max([largest(others, taken), *(1 + largest(others, taken | {play}) for play in first if play not in taken)])


@given(OPTIONS)
def test_pairs_as_many_as_possible_each_with_an_option_of_its_own(options: list[list[int]]) -> None:
    pairs = pair_up([options])
    assert all(play in options[report] for report, play in pairs.items())
    assert len(set(pairs.values())) == len(pairs) == largest(options)


def test_less_likely_options_are_used_only_for_reports_left_alone() -> None:
    likely = [[0], [1], []]
    assert pair_up([likely, [[0, 1], [1, 2], [1]]]) == {0: 0, 1: 2, 2: 1}
    assert pair_up([likely, [[0, 1], [1, 0], []]]) == {0: 0, 1: 1}
    assert pair_up([[[0, 1]], [[0, 1]]]) == {0: 0}
