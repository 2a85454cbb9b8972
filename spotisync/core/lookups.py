"""Plan look-ups of artists and albums by id and fold the answers. Pure."""

import itertools
from collections.abc import Collection, Sequence

from spotisync.core import parse
from spotisync.core.cursors import Entity, Lookups
from spotisync.core.regimes import Regime, regime_of_lookup
from spotisync.core.requests import IDS_PER_CALL, Kind, Request
from spotisync.core.rows import CatalogueRows
from spotisync.core.steps import Answer, DeferralStep, LookupStep, read_prefix

SINGLY: dict[Entity, Kind] = {"artists": "artist", "albums": "album"}

# Spotify's answers to one id: 404 if there is none such, 400 if it can't be an id.
GONE = {400, 404}


def plan_batched(entity: Entity, ids: Sequence[str], alone: Collection[str] = ()) -> tuple[Request, ...]:
    """Plan as many ids per call as Spotify accepts; ids in `alone`, which an answer lacked before, get a call each."""
    size = IDS_PER_CALL[entity]
    together = [id_ for id_ in ids if id_ not in alone]
    chunks = [together[at : at + size] for at in range(0, len(together), size)]
    return tuple(Request(entity, ids=tuple(chunk)) for chunk in (*chunks, *([id_] for id_ in ids if id_ in alone)))


def plan_single(entity: Entity, ids: Sequence[str]) -> tuple[Request, ...]:
    """Plan one id per call, the only way open to a restricted app."""
    return tuple(Request(SINGLY[entity], ids=(id_,)) for id_ in ids)


def fold(cursor: Lookups, answers: Sequence[Answer]) -> LookupStep | DeferralStep:
    """Keep the cursor: the phase ends when the store has no pending stub."""
    forbidden = [answer for answer in answers if _is_forbidden(answer)]
    if forbidden and (len(forbidden) == len(answers) or forbidden[0].request.kind != SINGLY[cursor.entity]):
        return _fold_forbidden(cursor, answers)
    answered = [answer for answer in answers if not answer.refused]
    found: list[parse.LookupResult] = read_prefix(answered, lambda answer: answer.parsed)
    catalogue = CatalogueRows()
    for each in found:
        catalogue.add(each.catalogue)
    known = frozenset[str]().union(*(each.known for each in found))
    refused_alone = {
        answer.request.ids[0]
        for answer in answers
        if answer.refused and answer.refused.status in GONE and len(answer.request.ids) == 1
    }
    gone = frozenset(refused_alone).union(*(each.gone for each in found))
    asked = frozenset[str]().union(*(answer.request.ids for answer in answers))
    regime = _regime(cursor.entity, answered)
    return LookupStep(
        cursor=cursor,
        catalogue=catalogue,
        entity=cursor.entity,
        known=known,
        gone=gone,
        missed=asked - known - gone,
        # Among answers to others, a 403 concerns the id alone.
        given_up=frozenset(answer.request.ids[0] for answer in forbidden),
        regime=regime,
        partial=regime is None,
    )


def _fold_forbidden(cursor: Lookups, answers: Sequence[Answer]) -> LookupStep | DeferralStep:
    """Conclude the restricted regime from a 403 to a call for many ids; after nothing but 403s, defer the look-ups."""
    before = list(itertools.takewhile(lambda answer: not _is_forbidden(answer), answers))
    if before:
        return fold(cursor, before)
    if answers[0].request.kind == SINGLY[cursor.entity]:
        return DeferralStep()
    return LookupStep(cursor=cursor, entity=cursor.entity, regime="restricted")


def _regime(entity: Entity, answers: Sequence[Answer]) -> Regime | None:
    if any(answer.request.kind != SINGLY[entity] for answer in answers):
        return "full"
    return next((regime for answer in answers if (regime := regime_of_lookup(answer.body))), None)


def _is_forbidden(answer: Answer) -> bool:
    return answer.refused is not None and answer.refused.status == 403
