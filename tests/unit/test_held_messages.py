"""A worker holds a bounded number of messages with an eta, of a bounded size."""

import time

import pytest

from spotisync.held_messages import EtaLimit, HeldMessages


def test_number_and_size_are_bounded() -> None:
    held = HeldMessages(max_messages=3, max_bytes=100)
    later = time.time() + 60
    for tag in "ab":
        assert held.has_room(40)
        held.add(tag, later, 40)
    assert held.has_room(20)
    assert not held.has_room(21)
    held.add("c", later, 0)
    assert not held.has_room(0)


def test_due_messages_leave_room(monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldMessages(max_messages=2, max_bytes=100)
    now = time.time()
    held.add("later", now + 60, 50)
    held.add("sooner", now + 10, 50)
    assert not held.has_room(0)
    monkeypatch.setattr(time, "time", lambda: now + 11)
    assert held.has_room(50)
    assert "sooner" not in held
    assert "later" in held


def test_far_messages_take_no_room_of_nearer_ones() -> None:
    limit = EtaLimit(near=60)
    now = time.time()
    past, soon, today, never = kinds = [limit.choose(now + seconds) for seconds in (-5, 59, 3_600, 1e11)]
    assert past is soon
    never.max_messages = 0
    assert [each.has_room(1) for each in kinds] == [True, True, True, False]
    soon.add("1", now + 59, 1)
    today.add("2", now + 3_600, 1)
    assert all(tag in limit for tag in "12")
