"""Paths through the model of the protocol, replayed on the real code, and bugs that the replay must find."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from proof import traces
from proof.check import PROGRAMS, RARE, Step
from proof.replay import Difference, Replay, replaying
from proof.traces import Summary
from spotisync import callers as answers
from spotisync.gate import Gate
from spotisync.settings import Settings
from spotisync.store import runs, waiters
from spotisync.store.database import Connection
from spotisync.sync import callers
from tests.conftest import settings_for

STEPS = 50


@pytest.fixture
def settings(database_url: str, directory: Path) -> Settings:
    return settings_for(database_url, directory, "http://127.0.0.1:9")


def test_random_paths(settings: Settings) -> None:
    summary = Summary()
    traces.replay_random(settings, seed=1, runs=6, steps=STEPS, summary=summary)
    assert summary.paths == 6


@pytest.mark.slow
def test_many_random_paths(settings: Settings) -> None:
    seed, summary = random.randrange(10**9), Summary()
    print(f"make proof ARGS='traces --runs 100 --steps {STEPS} --seed {seed}'")
    traces.replay_random(settings, seed, runs=100, steps=STEPS, summary=summary)
    assert set(summary.steps) == {rule.name for rule in traces.load().RULES}


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="rumur is not installed")
def test_the_shortest_paths_to_rare_situations(settings: Settings) -> None:
    summary = Summary()
    traces.replay_rare(settings, summary)
    assert summary.paths == len(RARE)


# ---- bugs in the real code ------------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def wrap(patch: Patch, owner: Any, name: str, *, before: str = "", after: str = "") -> None:
    """Execute a statement before or after a function of the store. `:id` and `:token` are its arguments."""
    real = getattr(owner, name)

    def changed(connection: Connection, run: Any, *arguments: Any, **options: Any) -> Any:
        values = {"id": getattr(run, "id", run), "token": arguments[0] if arguments else None}
        if before:
            connection.execute(text(before), values)
        done = real(connection, run, *arguments, **options)
        if after:
            connection.execute(text(after), values)
        return done

    patch.setattr(owner, name, changed)


def ignore_the_fence(name: str) -> Callable[[Patch], None]:
    taken = "UPDATE sync_history SET claim = :token, status = 'in_progress' WHERE id = :id"
    return lambda patch: wrap(patch, runs, name, before=taken)


def claim_a_claimed_batch(patch: Patch) -> None:
    expired = "UPDATE sync_history SET wake_at = now() WHERE id = :id AND :token IS NOT NULL"
    wrap(patch, runs, "claim", before=expired)


def resume_from_the_start(patch: Patch) -> None:
    wrap(patch, runs, "reopen", after="UPDATE sync_history SET phase = 'tracks', seq = 0 WHERE id = :id")


def cancel_leaves_wake_at(patch: Patch) -> None:
    wrap(patch, runs, "end", after="UPDATE sync_history SET wake_at = now() WHERE id = :id")


def start_again_at_a_second_delivery(patch: Patch) -> None:
    patch.setattr(callers, "is_known_waiter", lambda *_: False)
    patch.setattr(waiters, "find_run_id", lambda *_: None)


def let_two_processes_answer(patch: Patch) -> None:
    wrap(patch, waiters, "claim_unanswered", after="UPDATE waiters SET wake_at = now() WHERE :id > 0")


def send_despite_a_cooldown(patch: Patch) -> None:
    patch.setattr(Gate, "check_cooldown", lambda *_: None)


# Each bug, and what the replay reports of it.
BUGS = {
    "commit without a token": (ignore_the_fence("lock_claim"), r"commit w=\d\n.*is PUBLISH_NEXT, in the model IDLE"),
    "release without a token": (ignore_the_fence("release"), r"is PUBLISH_AGAIN, in the model IDLE"),
    "renewal without a token": (ignore_the_fence("renew"), r"renew_lease w=\d\n.*is SENT, in the model IDLE"),
    "claim of a claimed batch": (claim_a_claimed_batch, r"deliver .*\n.*is CLAIMED, in the model IDLE"),
    "resume from the start": (resume_from_the_start, r"resume .*\nrun\[\d\].at is 0, in the model \d"),
    "a run that is over wakes up": (cancel_leaves_wake_at, r"wake is PASSED, in the model NEVER"),
    "a second delivery starts again": (start_again_at_a_second_delivery, r"trigger .*\n.*, in the model ABSENT"),
    "two processes answer": (let_two_processes_answer, r"busy is false, in the model true"),
    "request during a cooldown": (send_despite_a_cooldown, r"is SENT, in the model MUST_WAIT"),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_the_replay_finds_a_bug(bug: str, settings: Settings, monkeypatch: Patch) -> None:
    plant, found = BUGS[bug]
    plant(monkeypatch)
    with pytest.raises(Difference, match=found):
        traces.replay_random(settings, seed=1, runs=400, steps=STEPS, summary=Summary())


CRASH_WHILE_ANSWERING: list[Step] = [
    ("trigger", {"w": 1, "c": 0, "copy": False}),
    ("publish", {"w": 1}),
    ("cancel", {"r": 0}),
    ("claim_waiter", {"w": 1, "c": 0}),
    ("send_follow_ups", {"w": 1}),
    ("crash", {"w": 1}),
    ("pass_waiter_claim", {"c": 0}),
    ("claim_waiter", {"w": 2, "c": 0}),
    ("send_follow_ups", {"w": 2}),
    ("store_result", {"w": 2}),
    ("mark_answered", {"w": 2}),
]


def test_follow_ups_are_sent_once_after_a_crash(settings: Settings, monkeypatch: Patch) -> None:
    model, summary = traces.load(), Summary()
    with replaying(settings) as begin:
        traces.replay_path(model, begin(), CRASH_WHILE_ANSWERING, summary)
        monkeypatch.setattr(answers, "find_unsent", lambda follow_up: follow_up)
        with pytest.raises(Difference, match=r"links is 2, in the model 1"):
            traces.replay_path(model, begin(), CRASH_WHILE_ANSWERING, summary)
    assert summary.paths == 1


def test_a_difference_names_the_steps(settings: Settings, monkeypatch: Patch) -> None:
    monkeypatch.setattr(Replay, "_crash", lambda *_, **__: None)
    with pytest.raises(Difference, match=r"(?s)seed \d+, after these steps.*\d\. crash w="):
        traces.replay_random(settings, seed=1, runs=50, steps=STEPS, summary=Summary())
