"""The size of the next batch: it grows while batches are quick, and is small after trouble."""

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import batch_size

factors = st.integers(1, batch_size.MOST)


@given(factors, st.floats(0, 100), st.booleans())
def test_the_factor_is_bounded_and_one_after_trouble(factor: int, seconds: float, undisturbed: bool) -> None:
    found = batch_size.next_factor(factor, seconds, undisturbed=undisturbed)
    assert 1 <= found <= batch_size.MOST
    assert undisturbed or found == 1


@given(st.floats(0.001, 0.5), st.floats(0, 0.5))
def test_a_kill_loses_at_most_two_seconds_of_steady_work(seconds_each: float, fixed: float) -> None:
    """While each unit costs the same, no batch takes longer than that after the first one."""
    factor = 1
    for _ in range(20):
        seconds = fixed + factor * seconds_each
        assert seconds <= 2
        factor = batch_size.next_factor(factor, seconds, undisturbed=True)


def test_slow_batches_shrink() -> None:
    factor = batch_size.MOST
    for _ in range(5):
        factor = batch_size.next_factor(factor, 3.0, undisturbed=True)
    assert factor == 1
