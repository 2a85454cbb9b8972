"""Listeners with rhythms: what each kind does, and that a world lets it happen when its clock has passed it."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.simulator import Server, World
from spotisync.simulator.world.rhythms import DAY, HOUR, KINDS, RhythmEvent, Tune, events_between

from .reader import Reader

MONDAY = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
WEEK = 7 * DAY
TUNES = [Tune(number, 180_000 + 500 * number) for number in range(120)]
moments = st.integers(0, 4 * WEEK).map(lambda seconds: MONDAY + seconds)


def listen(kind: str, seed: int = 1, days: float = 28, tunes: list[Tune] = TUNES) -> list[RhythmEvent]:
    return events_between(kind, tunes, seed, MONDAY, MONDAY + days * DAY)


def plays(events: list[RhythmEvent]) -> list[RhythmEvent]:
    return [event for event in events if event.op == "play"]


def hour(event: RhythmEvent) -> float:
    return event.at_ms / 1000 % DAY / HOUR


def days(events: list[RhythmEvent]) -> set[int]:
    return {int(event.at_ms / 1000 - MONDAY) // DAY for event in events}


@given(st.sampled_from(KINDS), st.integers(0, 50), moments, moments)
def test_the_steps_in_which_events_are_read_do_not_matter(kind: str, seed: int, first: float, second: float) -> None:
    begin, middle = min(first, second), max(first, second)
    end = middle + 3 * DAY
    whole = events_between(kind, TUNES, seed, begin, end)
    assert whole == events_between(kind, TUNES, seed, begin, middle) + events_between(kind, TUNES, seed, middle, end)
    assert whole == sorted(whole, key=lambda event: event.at_ms)
    assert all(begin * 1000 < event.at_ms <= end * 1000 for event in whole)


@given(st.sampled_from(KINDS), st.integers(0, 50))
def test_no_two_plays_overlap(kind: str, seed: int) -> None:
    for one, next_one in pairwise(plays(listen(kind, seed, 8))):
        pause = next_one.at_ms - (next_one.ms_played or 0) - one.at_ms
        assert pause >= 0
        assert one.track != next_one.track or pause > HOUR * 1000


def test_idle_never_does_anything() -> None:
    assert listen("idle", days=365) == []


def test_regular_plays_mornings_and_evenings_and_edits_a_little() -> None:
    events = listen("regular")
    assert all(7 <= hour(event) <= 23 for event in events)
    assert days(plays(events)) == set(range(28))
    assert {hour(event) < 12 for event in plays(events)} == {True, False}
    assert 28 <= len(events) - len(plays(events)) <= 28 * 6
    assert all(event.ms_played is not None and event.ms_played >= 180_000 for event in plays(events))


def test_night_plays_when_regular_sleeps_at_home() -> None:
    """From 22 h to at most 5 h in UTC+9."""
    assert all(13 <= hour(event) <= 20 for event in listen("night"))


def test_weekend_plays_for_hours_on_two_days_only() -> None:
    played = plays(listen("weekend"))
    assert days(played) == {day for week in range(4) for day in (7 * week + 5, 7 * week + 6)}
    assert len(played) > 8 * 5 * HOUR / 250


def test_skippers_hear_less_than_a_minute_of_each_track() -> None:
    played = plays(listen("skipper"))
    assert all(35_000 <= (event.ms_played or 0) <= 60_000 for event in played)
    fifty = played[49].at_ms - played[0].at_ms
    assert fifty < HOUR * 1000


def test_an_occasional_skipper_skips_once_a_week() -> None:
    skipped = [event for event in listen("occasional_skipper") if (event.ms_played or HOUR * 1000) < 60_000]
    skipping = sorted(days(skipped))
    assert len(skipping) == 4
    assert {later - earlier for earlier, later in pairwise(skipping)} == {7}
    assert len(skipped) > 4 * 50, "more than recently played lists, each time"


def test_a_shop_plays_eighteen_hours_a_day() -> None:
    played = plays(listen("all_day"))
    assert all(hour(event) >= 6 or hour(event) == 0 for event in played)
    assert 17.5 * HOUR < sum(event.ms_played or 0 for event in played) / 28 / 1000 < 18 * HOUR


def test_a_burst_editor_saves_sixty_tracks_in_twenty_minutes_then_rests() -> None:
    events = listen("burst_editor")
    assert plays(events) == []
    assert len(days(events)) == 7
    saved = [event.at_ms for event in events if event.op == "like"]
    for first in range(0, len(saved), 60):
        burst = saved[first : first + 60]
        assert burst[-1] - burst[0] <= 20 * 60_000
    assert {event.op for event in events} > {"like", "add_items"}


Advance = Callable[[float], None]


@pytest.fixture
def world(server: Server) -> World:
    """At the beginning of a week."""
    server.world.clock_offset += MONDAY + WEEK * 10 - server.world.now()
    return server.world


def new_plays(world: World, account: str | None = None) -> list[dict[str, Any]]:
    return [play for play in world.truth(account)["plays"] if play["played_at"] > "2026"]


def test_moving_the_clock_lets_days_of_listening_happen(server: Server, world: World) -> None:
    server.control.start_rhythm("regular", "user02", seed=3)
    assert new_plays(world, "user02") == []
    world.clock_offset += WEEK
    heard = new_plays(world, "user02")
    assert len({play["played_at"][:10] for play in heard}) >= 7
    assert new_plays(world, "user01") == []
    truth = server.control.truth("user02")
    assert {edit["op"] for edit in truth["edits"]} & {"like", "add_items"}
    for edit in truth["edits"]:
        if edit["op"] == "like":
            made = datetime.fromtimestamp(edit["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            assert edit["added_at"] == made, "at its own time, not when it was noticed"


def test_a_request_sees_what_has_happened_until_then(server: Server, world: World) -> None:
    server.control.start_rhythm("all_day")
    world.clock_offset += 3 * DAY
    with Reader(server.url, server.access_token()) as reader:
        items = reader.json("/me/player/recently-played", limit=50)["items"]
    visible = [each["played_at"] for each in new_plays(world)[-50:]]
    assert [each["played_at"] for each in items] == visible[::-1]
    assert len(visible) == 50


@pytest.mark.parametrize("kind", KINDS)
def test_many_small_steps_lead_to_the_same_world(kind: str) -> None:
    def build(steps: int) -> World:
        world = World("tiny", accounts=2)
        world.now = lambda: MONDAY + world.clock_offset  # type: ignore[method-assign]
        for account in world.accounts:
            world.start_rhythm(kind, account, seed=5)
        for _ in range(steps):
            world.clock_offset += 8 * DAY / steps
            world.catch_up()
        return world

    once, often = build(1), build(4_096)
    assert [once.truth(account) for account in once.accounts] == [often.truth(account) for account in often.accounts]
    assert (kind == "idle") == (new_plays(once) == once.truth()["edits"] == [])


def test_a_new_rhythm_replaces_the_old_one(world: World) -> None:
    world.start_rhythm("all_day")
    world.clock_offset += DAY
    world.start_rhythm("idle")
    before = len(new_plays(world))
    world.clock_offset += WEEK
    assert len(new_plays(world)) == before > 0


def test_an_unknown_rhythm_is_rejected_with_the_known_ones(server: Server) -> None:
    with pytest.raises(ValueError, match="no rhythm 'odd'; the rhythms are idle, regular"):
        server.control.start_rhythm("odd")
