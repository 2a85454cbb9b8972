"""What must be true after any faults: the tables equal the truth, and no impossible history."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import inf
from typing import Any

from proof.chaos_stage import Stage
from spotisync.core.states import PHASES

ENDS = ("success", "failed", "cancelled")
ORDER = {phase: number for number, phase in enumerate((*PHASES, "finish"))}
ALLOWANCE = 1.0
"""Seconds after a cooldown is committed within which a process reads it."""
UNCOUNTED = {"player", "accounts", "other"}


@dataclass(frozen=True)
class Happened:
    """A fault that was applied, from when to when; `hits`: how many requests or processes it struck."""

    kind: str
    began: float
    ended: float
    hits: int = 1


Figures = dict[str, float]


def check_history(stage: Stage) -> Iterator[str]:
    """Each batch is committed once, in order, and none after the end of the run."""
    events = stage.sql("SELECT sync_id, kind, phase, seq FROM run_events ORDER BY sync_id, id")
    for sync_id, found in groupby(events, lambda each: each.sync_id):
        for problem in _check_events(list(found)):
            yield f"run {sync_id} {problem}"
    yield from _check_runs(stage)


def _check_events(events: Sequence[Any]) -> Iterator[str]:
    batches = [(ORDER[each.phase], each.seq) for each in events if each.kind == "batch"]
    for before, after in pairwise(batches):
        if after == before:
            yield f"committed {after} twice"
        elif after < before:
            yield f"committed {after} after {before}"
    over = False
    for event in events:
        if over and event.kind in ("batch", *ENDS):
            yield f"has {event.kind!r} after its end"
        elif event.kind == "resumed" and not over:
            yield "was resumed, though it was not over"
        over = event.kind in ENDS or (over and event.kind != "resumed")


def _check_runs(stage: Stage) -> Iterator[str]:
    for run in stage.sql("""
            SELECT h.id, h.status, h.completed_at, h.api_calls, h.claim, e.calls, e.batches, s.batches AS counted
            FROM sync_history h,
            LATERAL (SELECT COALESCE(sum(calls), 0) AS calls, count(*) FILTER (WHERE kind = 'batch') AS batches
                FROM run_events WHERE sync_id = h.id) e,
            LATERAL (SELECT COALESCE(sum(batches), 0) AS batches FROM sync_state WHERE sync_id = h.id) s ORDER BY 1"""):
        if run.calls != run.api_calls:
            yield f"run {run.id} has {run.api_calls} calls, its events {run.calls}"
        if run.batches != run.counted:
            yield f"run {run.id} counts {run.counted} batches, its events {run.batches}"
        if run.status in ENDS and (run.completed_at is None or run.claim is not None):
            yield f"run {run.id} is {run.status}, but has no end or is claimed"


def check_waiters(stage: Stage) -> Iterator[str]:
    """Each caller is answered once."""
    answers = Counter(each.task_id for each in stage.sql("SELECT task_id FROM chaos_answers"))
    for waiter in stage.sql("SELECT task_id, sync_id, ended, answered_at, unanswerable FROM waiters"):
        if waiter.answered_at is None or waiter.ended is None or waiter.unanswerable:
            yield f"caller {waiter.task_id} of run {waiter.sync_id} was not answered: {waiter.unanswerable}"
        elif answers[waiter.task_id] != 1:
            yield f"caller {waiter.task_id} was marked as answered {answers[waiter.task_id]} times"


def check_follow_ups(stage: Stage, losses: Sequence[float], figures: Figures) -> Iterator[str]:
    """Each follow-up of a successful run runs, under its one task id.

    `losses`: when the broker lost its data. It can lose a follow-up that was handed over to it and not received yet.
    """
    known = {each.task_id: each for each in stage.sql("SELECT task_id, ended, answered_at FROM waiters")}
    for caller in stage.callers:
        waiter, ran = known.get(caller.task_id), stage.follow_ups(caller.tag)
        if waiter is None:
            figures["triggers lost before a run knew them"] += 1
            continue
        if {call[3] for call in ran} - {caller.follow_up}:
            yield f"the follow-up {caller.tag} ran under another task id: {ran}"
        if waiter.ended != "success":
            if ran:
                yield f"the follow-up {caller.tag} ran, although its run is {waiter.ended}"
        elif ran:
            figures["follow-ups run"] += 1
            figures["follow-ups run again"] += len(ran) - 1
        elif any(at >= waiter.answered_at.timestamp() - 60 for at in losses):
            figures["follow-ups lost with the broker's data"] += 1
        else:
            yield f"the follow-up {caller.tag} did not run; its caller was answered at {waiter.answered_at}"


def check_cooldowns(
    stage: Stage, requests: Sequence[dict[str, Any]], happened: Sequence[Happened], figures: Figures
) -> Iterator[str]:
    """No request of a blocked family, unless it was under way in a frozen process or a stalled connection."""
    changes = stage.sql("SELECT family, at, until FROM chaos_blocks ORDER BY family, at")
    holding = [each for each in happened if each.kind.split()[0] in ("freeze", "stall", "delay")]
    for family, found in groupby(changes, lambda each: each.family):
        blocks = list(found)
        for number, block in enumerate(blocks):
            if block.until is None:
                continue
            cleared = (later.at.timestamp() for later in blocks[number:] if later.until is None)
            began, end = block.at.timestamp() + ALLOWANCE, min(block.until.timestamp(), next(cleared, inf))
            figures["cooldowns"] += 1
            for request in requests:
                if not (began < request["time"] < end and _covers(family, request)):
                    continue
                if any(each.began < began and each.ended > request["time"] - ALLOWANCE for each in holding):
                    figures["requests in a cooldown, sent by a frozen process or delayed"] += 1
                else:
                    late_by = request["time"] - block.at.timestamp()
                    yield f"{request['path']} was requested {late_by:.2f} s after {family} was blocked"


def _covers(family: str, request: dict[str, Any]) -> bool:
    return family in ("*", request["family"]) and not request["path"].startswith("/_sim")


def check_waste(
    stage: Stage, requests: Sequence[dict[str, Any]], happened: Sequence[Happened], figures: Figures
) -> Iterator[str]:
    """At most one batch of calls is wasted per fault: calls whose replies were not stored."""
    sent = sum(each["path"].startswith("/v1/") and each["family"] not in UNCOUNTED for each in requests)
    ((recorded,),) = stage.sql("SELECT COALESCE(sum(calls), 0) FROM call_ledger WHERE family <> 'player'")
    ((failed,),) = stage.sql("SELECT COALESCE(sum(calls), 0) FROM chaos_waste")
    ((largest,),) = stage.sql("SELECT COALESCE(max(calls), 1) FROM run_events WHERE kind = 'batch'")
    hits = sum(each.hits for each in happened)
    figures["calls"] += sent
    figures["calls wasted"] += sent - recorded + failed
    if sent - recorded + failed > largest * hits:
        yield f"{sent - recorded + failed} calls of {sent} wasted by {hits} hits; a batch has at most {largest}"
