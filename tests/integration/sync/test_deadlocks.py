"""Triggers that meet a commit in flight."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from spotisync.core.outcomes import Outcome
from spotisync.simulator import Server
from spotisync.store import listings, saved_tracks
from spotisync.sync import Context, runs
from spotisync.sync.callers import Caller
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow


@pytest.mark.parametrize("writes", mostly_slow(["walk", "listing"]))
def test_a_trigger_meets_the_commit_that_ends_a_list(
    context: Context,
    make_context: Callable[..., Context],
    simulator: Server,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    writes: str,
) -> None:
    other = make_context(simulator)
    in_commit = threading.Event()
    module, name = (saved_tracks, "end_walk") if writes == "walk" else (listings, "record_read")
    real: Any = getattr(module, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        in_commit.set()
        time.sleep(0.5)  # a commit of 200 rows on a busy server
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, slow)
    sync_type: Any = "full" if writes == "walk" else "incremental"
    run = runs.trigger(context, account.name, sync_type, "cli").run
    outcomes: list[Outcome] = []

    def work() -> None:
        while driver.get_run(context, run).phase != "finish" and not (outcomes and in_commit.is_set()):
            outcomes.append(driver.step(context, run))

    thread = threading.Thread(target=work)
    thread.start()
    assert in_commit.wait(30)
    joined = runs.trigger(other, account.name, sync_type, "task", caller=Caller("one", {"id": "one"}))
    thread.join(60)
    assert joined.run.id == run.id
    assert driver.run_to_end(context, run)["status"] == "success"
