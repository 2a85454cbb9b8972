"""Look-ups by id: ids per call, and the results of answers, refusals and missing objects."""

from typing import Any

import pytest

from spotisync.core import lookups
from spotisync.core.cursors import Lookups
from spotisync.core.parse import Unreadable
from spotisync.core.requests import Request
from spotisync.core.steps import Answer, DeferralStep, LookupStep
from spotisync.errors import Refused

ARTISTS, ALBUMS = Lookups("artists"), Lookups("albums")


def names(count: int) -> list[str]:
    return [f"t{n}" for n in range(count)]


def fold(cursor: Lookups, answers: list[Answer]) -> LookupStep:
    step = lookups.fold(cursor, answers)
    assert isinstance(step, LookupStep)
    return step


def test_keeps_look_ups_before_an_unreadable_page() -> None:
    good, bad = Request("artists", ids=("a1",)), Request("artists", ids=("a2",))
    answers = [Answer(good, {"artists": [{"id": "a1"}]}), Answer(bad, {"artists": []})]
    assert set(fold(ARTISTS, answers).known) == {"a1"}
    with pytest.raises(Unreadable):
        fold(ARTISTS, answers[1:])


@pytest.mark.parametrize(("entity", "size"), [("artists", 50), ("albums", 20)])
def test_a_look_up_call_holds_as_many_ids_as_the_endpoint_accepts(entity: Any, size: int) -> None:
    requests = lookups.plan_batched(entity, names(101))
    assert [len(request.ids) for request in requests] == [size] * (101 // size) + [101 % size]
    assert [id_ for request in requests for id_ in request.ids] == names(101)


FORBIDDEN = Refused(403, "Forbidden")


def test_a_refused_look_up_of_many_means_that_the_app_is_restricted() -> None:
    answers = [Answer(Request("artists", ids=("a1",)), refused=FORBIDDEN)]
    step = fold(ARTISTS, answers)
    assert (step.regime, step.missed) == ("restricted", frozenset())
    assert step.cursor == ARTISTS


def test_a_refused_look_up_of_one_id_defers_the_rest() -> None:
    step = lookups.fold(ARTISTS, [Answer(Request("artist", ids=("a1",)), refused=FORBIDDEN)])
    assert step == DeferralStep()


def test_keeps_answers_before_a_refusal_and_leaves_later_ids_open() -> None:
    good = Answer(Request("albums", ids=("b1",)), {"albums": [{"id": "b1"}]})
    step = fold(ALBUMS, [good, Answer(Request("albums", ids=("b2",)), refused=FORBIDDEN)])
    assert (set(step.known), set(step.missed)) == ({"b1"}, set())


def test_folds_look_ups_of_single_ids() -> None:
    requests = lookups.plan_single("artists", ["a1", "a2", "a3"])
    bodies: list[Any] = [{"id": "a1", "type": "artist"}, None, {"type": "artist"}]
    answers = [Answer(request, body) for request, body in zip(requests, bodies, strict=True)]
    answers[1] = Answer(requests[1], refused=Refused(404, "Resource not found"))
    step = fold(ARTISTS, answers)
    assert [set(ids) for ids in (step.known, step.gone, step.missed)] == [{"a1"}, {"a2"}, {"a3"}]
    assert (step.regime, step.partial) == (None, True)


def test_an_artist_with_a_popularity_means_the_full_regime() -> None:
    body = {"id": "a1", "type": "artist", "popularity": 5}
    step = fold(ARTISTS, [Answer(Request("artist", ids=("a1",)), body)])
    assert (step.regime, step.partial) == ("full", False)
