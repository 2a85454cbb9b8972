"""Nested follow-ups of other services: their ids, which of them were sent, and the groups they belong to."""

import json
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature

from spotisync import callers, result_backend
from spotisync.celery import app as celery_app

others = Celery("foreign", set_as_current=False)


def task(name: str, **options: Any) -> Signature:
    return others.signature(name, **options)


def sent(signature: Signature) -> dict[str, Any]:
    """Return the canvas as it arrives in a message."""
    return dict(json.loads(json.dumps(signature)))


def ids(part: Any) -> list[str]:
    if isinstance(part, list):
        return [id_ for each in part for id_ in ids(each)]
    if not isinstance(part, dict):
        return []
    own = [str(part["options"]["task_id"])] if "task_id" in part.get("options", {}) else []
    return own + [id_ for value in part.get("kwargs", {}).values() for id_ in ids(value)]


CANVASES: dict[str, Any] = {
    "task": lambda: task("a"),
    "group": lambda: group(task("a"), task("b"), app=others),
    "chord": lambda: chord([task("a"), task("b")], task("c"), app=others),
    "group in a chord": lambda: chord(group(task("a"), task("b"), app=others), task("c"), app=others),
    "chain in a group": lambda: group(chain(task("a"), task("b"), app=others), task("c"), app=others),
}


@pytest.mark.parametrize("canvas", CANVASES)
def test_every_attempt_gives_the_same_ids(canvas: str) -> None:
    first, second = sent(CANVASES[canvas]()), sent(CANVASES[canvas]())
    callers.assign_task_ids(first, "waiter:callback:0")
    callers.assign_task_ids(second, "waiter:callback:0")
    assert ids(first) == ids(second) != []
    other = sent(CANVASES[canvas]())
    callers.assign_task_ids(other, "waiter:callback:1")
    assert not set(ids(other)) & set(ids(first))


def test_keeps_an_id_that_was_assigned_before() -> None:
    link = sent(task("a", options={"task_id": "promised"}))
    callers.assign_task_ids(link, "waiter:callback:0")
    assert ids(link) == ["promised"]


@pytest.fixture
def heard_of(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The task ids that the result backend knows."""
    known: set[str] = set()
    monkeypatch.setattr(celery_app.backend, "get_state", lambda task_id: "STARTED" if task_id in known else "PENDING")
    return known


def named(name: str) -> Signature:
    return task(name, options={"task_id": name})


def unsent(signature: Signature) -> set[str]:
    left = callers.find_unsent(celery_app.signature(sent(signature)))
    return set(ids(sent(left))) if left is not None else set()


def test_sends_a_link_again_unless_it_was_seen(heard_of: set[str]) -> None:
    assert unsent(named("a")) == {"a"}
    heard_of.add("a")
    assert unsent(named("a")) == set()


def test_sends_again_the_members_of_a_group_that_were_not_seen(heard_of: set[str]) -> None:
    both = group(named("a"), named("b"), app=others)
    both.options["task_id"] = "g"
    assert unsent(both) == {"g", "a", "b"}
    heard_of.add("a")
    assert unsent(both) == {"g", "b"}
    heard_of.add("b")
    assert unsent(both) == set()


def test_sends_a_chord_again_as_a_whole_or_not_at_all(heard_of: set[str]) -> None:
    gathered = chord([named("a"), named("b")], named("c"), app=others)
    heard_of.add("a")
    assert unsent(gathered) == {"a", "b", "c"}
    heard_of.add("b")
    assert unsent(gathered) == set()
    heard_of -= {"a", "b"}
    heard_of.add("c")
    assert unsent(gathered) == set(), "the body of a chord runs after its header"


def test_recognises_a_chain_in_a_group_by_its_first_task(heard_of: set[str]) -> None:
    both = group(chain(named("a"), named("b"), app=others), named("c"), app=others)
    heard_of |= {"a", "c"}
    assert unsent(both) == set()


def test_finds_the_groups_of_a_caller_at_any_depth() -> None:
    outer = task("outer")
    inner = task("inner", options={"group_id": "outer group", "chord": sent(outer)})
    last = task("last", options={"group_id": "of the chain", "chord": sent(inner)})
    envelope = {"group": "own", "chord": sent(inner), "chain": [sent(last), sent(task("next"))], "kwargs": {"a": 1}}
    assert result_backend.groups_in(envelope) == {"own", "outer group", "of the chain"}
    assert result_backend.groups_in({"group": None, "chain": None, "args": []}) == set()
