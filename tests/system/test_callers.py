"""What other services build on a run: results, chains, joins, errbacks, cancel and resume."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery
import pytest
from celery import chain
from celery.result import AsyncResult

from tests.drive import Account
from tests.system.programs import Deployment, until
from tests.truth import assert_tables_equal_truth

Deploy = Callable[..., Deployment]


class Others:
    """A foreign service beside a deployment: its worker, and what was called in it."""

    def __init__(self, deployment: Deployment, directory: Path) -> None:
        self.deployment, self.calls_file = deployment, directory / "calls"
        self.calls_file.touch()
        deployment.worker(
            "tests.system.tasks_of_others",
            concurrency=1,
            options=("-Q", "foreign"),
            FOREIGN_BROKER=deployment.settings.broker,
            FOREIGN_CALLS=str(self.calls_file),
        )

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    def signature(self, name: str, **kwargs: Any) -> "celery.Signature[Any]":
        queue = "foreign" if name.startswith("foreign.") else "spotisync.sync"
        return self.deployment.foreign.signature(name, kwargs=kwargs, queue=queue)

    def full_sync(self, account: Account, **kwargs: Any) -> "celery.Signature[Any]":
        return self.signature("spotisync.full_sync", account=account.name, **kwargs)


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    deployment = deploy(120)
    deployment.beat()
    deployment.worker()
    return deployment


@pytest.fixture
def others(deployment: Deployment, tmp_path: Path) -> Others:
    return Others(deployment, tmp_path)


def test_get_gives_the_summary(deployment: Deployment) -> None:
    account = deployment.account()
    result = _full_sync(deployment, account)
    summary = result.get(timeout=60)
    assert summary["status"] == "success"
    assert summary["account"] == account.name
    assert set(summary["phases"]) == {"tracks", "artists", "albums", "playlists"}
    assert summary["items_processed"] == sum(phase["items_processed"] for phase in summary["phases"].values())
    calls = [each for each in deployment.simulator.control.requests() if each["path"].startswith("/v1/")]
    assert summary["api_calls"] == len(calls) - 1  # that one asked whose token it is


def test_the_chain_is_handed_on_and_not_run_twice(deployment: Deployment) -> None:
    """Pins what Celery does not document: a task that clears its `request.chain` has no next link sent."""
    _full_sync(deployment, deployment.account()).get(timeout=60)
    batches = deployment.scalar("SELECT sum(batches) FROM sync_state")
    until(lambda: deployment.logs().count("Task spotisync.finish[") == 2, "the last link")
    log = deployment.logs()
    assert log.count("Task spotisync.batch[") == 2 * batches  # received and succeeded
    assert log.count("Task spotisync.finish[") == 2


def _first(end: "AsyncResult[Any]") -> "AsyncResult[Any]":
    """The sync that a chain of two began with."""
    assert isinstance(end.parent, AsyncResult)
    return end.parent


def _full_sync(deployment: Deployment, account: Account, **kwargs: Any) -> "AsyncResult[Any]":
    return deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name, **kwargs}, queue="spotisync.sync"
    )


def test_while_it_goes_the_state_says_syncing(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    result = _full_sync(deployment, account)
    until(deployment.simulator.control.held, "the first request")
    assert str(result.state) == "SYNCING"
    deployment.simulator.control.release()
    assert result.get(timeout=60)["status"] == "success"


def test_a_link_of_a_foreign_chain_runs_once_with_the_summary(deployment: Deployment, others: Others) -> None:
    account = deployment.account()
    link = others.signature("foreign.follow_up", tag="after")
    end = chain(others.full_sync(account), link, app=deployment.foreign).apply_async()
    assert end.get(timeout=60)["tag"] == "after"
    assert [line.split()[:2] for line in others.calls()] == [["after", "success"]]


def test_joined_triggers_share_one_run_and_each_is_answered(deployment: Deployment, others: Others) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    ends = [
        chain(
            others.full_sync(account), others.signature("foreign.follow_up", tag=f"n{n}"), app=deployment.foreign
        ).apply_async()
        for n in range(5)
    ]
    until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 5, "five waiters")
    until(deployment.simulator.control.held, "the first request")
    deployment.simulator.control.release()
    assert {end.get(timeout=60)["sync_id"] for end in ends} == {_first(end).get(timeout=5)["sync_id"] for end in ends}
    assert deployment.scalar("SELECT count(*) FROM sync_history") == 1
    assert Counter(line.split()[0] for line in others.calls()) == {f"n{n}": 1 for n in range(5)}


def test_a_failed_run_raises_for_the_caller_and_calls_its_errback_once(deployment: Deployment, others: Others) -> None:
    account = deployment.account()
    deployment.simulator.control.revoke(account.name, access=True)
    error = others.signature("foreign.on_error", tag="failed")
    link = others.signature("foreign.follow_up", tag="never")
    end = chain(others.full_sync(account), link, app=deployment.foreign).on_error(error).apply_async()
    with pytest.raises(Exception, match="log"):
        _first(end).get(timeout=60)
    with pytest.raises(Exception, match="log"):
        end.get(timeout=10)
    until(lambda: others.calls() == ["failed errback"], "the errback")
    assert deployment.scalar("SELECT status FROM accounts") == "needs_login"


def test_cancel_reaches_the_caller_and_resume_goes_on_from_the_checkpoint(deployment: Deployment) -> None:
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="hold", path="/v1/artists")
    result = _full_sync(deployment, account)
    until(control.held, "the artists phase")
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    cancelled = deployment.foreign.send_task(
        "spotisync.cancel_sync", kwargs={"sync_id": sync_id}, queue="spotisync.control"
    )
    assert cancelled.get(timeout=20) == {"sync_id": sync_id, "status": "cancelled"}
    with pytest.raises(Exception, match="cancelled"):
        result.get(timeout=20)
    control.release()
    control.reset_log()
    resumed = deployment.foreign.send_task("spotisync.resume_sync", kwargs={"sync_id": sync_id}, queue="spotisync.sync")
    summary = resumed.get(timeout=60)
    assert (summary["sync_id"], summary["status"]) == (sync_id, "success")
    assert not [each for each in control.requests() if each["path"].startswith("/v1/me/tracks")]
    assert_tables_equal_truth(deployment.sync, account, deployment.simulator.world.truth(account.name))


def test_a_batch_delivered_again_at_once_and_later_has_one_effect(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    result = _full_sync(deployment, account)
    until(deployment.simulator.control.held, "the first batch")
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    again = {"sync_id": sync_id, "phase": "tracks", "seq": 0}
    copies = [_send_batch(deployment, again) for _ in range(3)]
    assert all(not copy.get(timeout=20)["success"] for copy in copies)
    deployment.simulator.control.release()
    summary = result.get(timeout=60)
    late = _send_batch(deployment, again).get(timeout=20)
    assert late["error_message"] == "the run is over"
    assert summary["phases"]["tracks"]["batches"] == deployment.scalar(
        "SELECT batches FROM sync_state WHERE entity_type = 'tracks'"
    )
    assert_tables_equal_truth(deployment.sync, account, deployment.simulator.world.truth(account.name))


def _send_batch(deployment: Deployment, kwargs: dict[str, Any]) -> "AsyncResult[Any]":
    return deployment.foreign.send_task("spotisync.batch", kwargs=kwargs, queue="spotisync.sync")


def test_an_idempotency_key_makes_one_run_for_ever(deployment: Deployment) -> None:
    account = deployment.account()
    first = _full_sync(deployment, account, idempotency_key="monday").get(timeout=60)
    second = _full_sync(deployment, account, idempotency_key="monday").get(timeout=60)
    assert first == second
    assert deployment.scalar("SELECT count(*) FROM sync_history") == 1


def test_a_trigger_for_nobody_fails_in_words(deployment: Deployment) -> None:
    deployment.account()
    with pytest.raises(Exception, match="there is no account 'nobody'"):
        _full_sync(deployment, Account("nobody")).get(timeout=20)
