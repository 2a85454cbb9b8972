"""The learned rate: kept in `paces`, lowered by 429s for the rate, raised while it is used, and known to every gate."""

from collections.abc import Callable

import pytest

from spotisync.core.pace import FALL, START, LearnedRate
from spotisync.gate import Gate, Pace
from spotisync.gate.gate import CACHE_SECONDS
from spotisync.status.usage import calls_document
from spotisync.store import paces
from spotisync.sync import Context
from tests.support.store import CLIENT, Store


def make_gate(store: Store, window: float = 31.0) -> Gate:
    return Gate(store.database.begin, CLIENT, Pace(None, CLIENT, "auto", window))


def refresh(gate: Gate) -> int:
    gate._read_at -= 2 * CACHE_SECONDS
    gate.find_block("library")
    return gate._pace.rate


def stored(store: Store) -> LearnedRate:
    with store.database.begin() as connection:
        return paces.find(connection, CLIENT)


def use(gate: Gate, sent: int) -> None:
    gate._pace.take_turn("player")
    gate._pace._sent = sent


def pass_time(store: Store, seconds: int) -> None:
    store.sql("UPDATE paces SET changed_at = changed_at - make_interval(secs => :seconds)", seconds=seconds)


def test_every_gate_uses_what_one_has_learned(store: Store) -> None:
    one, other = make_gate(store), make_gate(store)
    assert refresh(one) == refresh(other) == START
    one.record_429("library", "5", quota=False, sent=41)
    assert stored(store) == LearnedRate(FALL * 41, 41)
    assert refresh(one) == refresh(other) == int(FALL * 41)
    other.record_429("library", "5", quota=False, sent=40)
    assert stored(store).failed == 41, "the 429s of a burst count once"


@pytest.mark.parametrize(("header", "quota", "sent"), [("5", True, 41), ("3600", False, 41), ("5", False, 0)])
def test_other_429s_teach_nothing(store: Store, header: str, quota: bool, sent: int) -> None:
    """Those of a quota, and of requests that took no turn, such as a refresh of a token."""
    gate = make_gate(store)
    gate.record_429("library", header, quota=quota, sent=sent)
    assert refresh(gate) == START


def test_a_window_that_was_used_raises_the_rate_once(store: Store) -> None:
    gates = [make_gate(store) for _ in range(3)]
    for gate in gates:
        refresh(gate)
        use(gate, int(START))
    pass_time(store, 32)
    assert [refresh(gate) for gate in gates] == [int(1.5 * START)] * 3
    pass_time(store, 32)
    assert [refresh(gate) for gate in gates] == [int(1.5 * START)] * 3, "not used"


def test_only_one_of_two_processes_changes_what_both_have_read(store: Store) -> None:
    refresh(make_gate(store))
    with store.database.begin() as connection:
        known, _ = paces.read(connection, CLIENT)
        assert paces.replace(connection, CLIENT, known, LearnedRate(50))
        assert not paces.replace(connection, CLIENT, known, LearnedRate(60))


@pytest.mark.parametrize(("seconds", "reads"), [(-30, 1), (80, 1), (100, 0)])
def test_playback_needs_a_turn_for_each_read_that_is_due(store: Store, seconds: int, reads: int) -> None:
    store.sql(
        """INSERT INTO schedules (account_id, kind, due_at, last_at, rule)
        VALUES (:id, 'playback', now() + make_interval(secs => :seconds), now(), 'every')""",
        id=store.account_id,
        seconds=seconds,
    )
    with store.database.begin() as connection:
        found = [paces.count_due_reads(connection, CLIENT, 91, is_default=each) for each in (True, False)]
        assert found == [reads, 0]
    store.sql("UPDATE accounts SET client_id = :client", client=CLIENT)
    with store.database.begin() as connection:
        assert paces.count_due_reads(connection, CLIENT, 91, is_default=False) == reads


@pytest.mark.parametrize(("rate", "ceiling", "learned"), [(90, 90, False), (0, None, False), ("auto", 34, True)])
def test_the_status_shows_the_rate(
    make_context: Callable[..., Context], simulator: object, store: Store, rate: object, ceiling: object, learned: bool
) -> None:
    context = make_context(simulator, api_rate=rate)
    developer = context.default_app.developer
    store.sql("INSERT INTO paces (developer, rate) VALUES (:developer, 34.85)", developer=developer)
    with context.database.begin() as connection:
        document = calls_document(connection, context.settings, context.default_app, {"blocked": None})  # type: ignore[arg-type]
    assert (document["window"]["ceiling"], document["window"]["learned"]) == (ceiling, learned)
