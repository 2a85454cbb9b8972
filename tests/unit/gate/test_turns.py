"""The turns of a batch: in order, and none after the first error."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.pace import Turn
from spotisync.core.requests import Family
from spotisync.errors import Stopping, Transient, Wait
from spotisync.gate import BatchTurns, Gate


class ScarceGate(Gate):
    """Has this many turns."""

    def __init__(self, turns: int) -> None:
        self.turns, self.asked = turns, 0

    def take_turn(self, family: Family) -> Turn:
        self.asked += 1
        if self.asked > self.turns:
            raise Wait(family, datetime.now(UTC), "pace", 3.0)
        return Turn(0.0, self.asked)


@given(requests=st.integers(1, 20), turns=st.integers(0, 20), threads=st.integers(1, 4))
def test_requests_take_turns_in_order_up_to_the_first_refusal(requests: int, turns: int, threads: int) -> None:
    gate, batch = ScarceGate(turns), BatchTurns()

    def take(number: int) -> int:
        with batch.ending_with_error():
            return batch.take(number, gate, "library").sent

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(take, number) for number in range(requests)]
    given_turns = [future.result() for future in futures if not future.exception()]
    assert given_turns == list(range(1, min(requests, turns) + 1))
    assert gate.asked <= turns + 1, "after a refusal, no later request asks"


def test_no_request_is_sent_after_one_that_failed() -> None:
    gate, batch = ScarceGate(3), BatchTurns()
    assert batch.take(0, gate, "library").sent
    with pytest.raises(Transient), batch.ending_with_error():
        raise Transient("502")
    with pytest.raises(Transient):
        batch.take(1, gate, "library")
    assert gate.asked == 1


def test_no_request_waits_for_a_cancelled_one_when_closed() -> None:
    gate, batch = ScarceGate(3), BatchTurns()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(batch.take, 1, gate, "library")
        batch.close()
        with pytest.raises(Stopping):
            second.result(timeout=10)
    assert gate.asked == 0
