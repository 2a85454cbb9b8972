"""The queue of each kind of run, and the turns of the queues at a worker."""

from collections import Counter
from itertools import groupby

import pytest
from kombu.utils.scheduling import cycle_by_name

from spotisync.celery import app
from spotisync.core import queues
from spotisync.core.queues import BACKLOG, CONTROL, HOUSEKEEPING, INTERACTIVE, SYNC, WeightedCycle


def take(cycle: WeightedCycle, busy: set[str], messages: int) -> list[str]:
    """Take messages as Redis does: from the first queue that has any."""
    return [
        cycle.rotate(next(name for name in cycle.consume(len(queues.WEIGHTS)) if name in busy)) for _ in range(messages)
    ]


@pytest.mark.parametrize(
    ("sync_type", "asked", "queue"),
    [
        ("incremental", True, "spotisync.interactive"),
        ("incremental", False, "spotisync.sync"),
        ("full", True, "spotisync.sync"),
        ("full", False, "spotisync.backlog"),
    ],
)
def test_a_run_has_the_queue_of_its_kind(sync_type: str, asked: bool, queue: str) -> None:
    assert queues.get_queue(sync_type, asked=asked) == queue


def test_the_worker_consumes_all_queues_in_this_order() -> None:
    assert {queue.name for queue in app.conf.task_queues} == set(queues.WEIGHTS)
    strategy: type = cycle_by_name(app.conf.broker_transport_options["queue_order_strategy"])
    assert strategy is WeightedCycle


@pytest.mark.parametrize(
    "busy", [{SYNC, BACKLOG}, {INTERACTIVE, SYNC}, {INTERACTIVE, HOUSEKEEPING}, set(queues.WEIGHTS)]
)
def test_busy_queues_share_the_turns_by_weight(busy: set[str]) -> None:
    found = Counter(take(WeightedCycle(queues.WEIGHTS), busy, 1000))
    weights = {name: queues.WEIGHTS[name] for name in busy}
    for name in busy:
        assert found[name] == pytest.approx(1000 * weights[name] / sum(weights.values()), abs=len(busy))


def test_no_queue_waits_longer_than_its_turn() -> None:
    taken = take(WeightedCycle(queues.WEIGHTS), set(queues.WEIGHTS), 1000)
    others = [len(list(each)) for is_backlog, each in groupby(taken, lambda name: name == BACKLOG) if not is_backlog]
    assert max(others) <= sum(queues.WEIGHTS.values())


def test_the_only_busy_queue_gets_every_turn() -> None:
    assert take(WeightedCycle(queues.WEIGHTS), {BACKLOG}, 20) == [BACKLOG] * 20


def test_a_queue_without_messages_collects_no_turns() -> None:
    cycle = WeightedCycle(queues.WEIGHTS)
    take(cycle, {BACKLOG}, 500)
    found = take(cycle, {SYNC, BACKLOG}, 90)
    assert Counter(found)[BACKLOG] == pytest.approx(10, abs=1)
    take(cycle, {SYNC}, 500)
    assert Counter(take(cycle, {SYNC, BACKLOG}, 90))[BACKLOG] == pytest.approx(10, abs=1)


def test_a_worker_can_add_and_remove_queues() -> None:
    cycle = WeightedCycle()
    cycle.update([SYNC, "foreign"])
    take(cycle, {SYNC}, 50)
    cycle.update([SYNC, "foreign", CONTROL])
    assert Counter(take(cycle, {SYNC, CONTROL, "foreign"}, 50)) == Counter({CONTROL: 32, SYNC: 16, "foreign": 2})
    cycle.update([SYNC])
    assert cycle.consume(3) == [SYNC]
    assert cycle.rotate("unknown") == "unknown"
