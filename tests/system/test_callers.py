"""Canvases of other services: results, chains, joins, errbacks, cancel and resume."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from celery import chain, chord, group
from celery.result import AsyncResult

from spotisync.sync import accounts
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, ForeignService

pytestmark = [
    pytest.mark.xdist_group("shared"),
    # Celery uses it to store the size of a chord.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
]


@pytest.fixture
def deployment(others: ForeignService) -> Deployment:
    return others.deployment


def test_get_returns_the_summary(deployment: Deployment) -> None:
    account = deployment.account()
    result = _full_sync(deployment, account)
    summary = result.get(timeout=60)
    assert summary["status"] == "success"
    assert summary["account"] == account.name
    assert set(summary["phases"]) == {"tracks", "artists", "albums", "playlists"}
    assert summary["items_processed"] == sum(phase["items_processed"] for phase in summary["phases"].values())
    calls = [each for each in deployment.simulator.control.requests() if each["path"].startswith("/v1/")]
    assert summary["api_calls"] == len(calls) - 1  # that request asked for the owner of the token


def test_the_chain_is_handed_over_and_not_run_twice(deploy: Callable[..., Deployment]) -> None:
    """Check undocumented behaviour of Celery: it sends no next link for a task that clears its `request.chain`.

    In a separate deployment, because messages left by other tests would be counted.
    """
    deployment = deploy(120)
    worker = deployment.worker().log
    _full_sync(deployment, deployment.account()).get(timeout=60)
    batches = deployment.scalar("SELECT sum(batches) FROM sync_state")
    wait_until(lambda: worker.read_text().count("Task spotisync.finish[") == 2, "the last link")
    log = worker.read_text()
    assert log.count("Task spotisync.batch[") == 2 * batches  # received and succeeded
    assert log.count("Task spotisync.finish[") == 2


def _first(end: "AsyncResult[Any]") -> "AsyncResult[Any]":
    """Return the first sync of a chain of two."""
    assert isinstance(end.parent, AsyncResult)
    return end.parent


def _full_sync(deployment: Deployment, account: Account, **kwargs: Any) -> "AsyncResult[Any]":
    return deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name, **kwargs}, queue="spotisync.sync"
    )


def test_the_state_of_an_active_run_is_syncing(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    result = _full_sync(deployment, account)
    wait_until(deployment.simulator.control.held_requests, "the first request")
    wait_until(lambda: str(result.state) == "SYNCING", "the state of the caller")
    deployment.simulator.control.release()
    assert result.get(timeout=60)["status"] == "success"


def test_a_link_of_a_foreign_chain_runs_once_with_the_summary(deployment: Deployment, others: ForeignService) -> None:
    account = deployment.account()
    link = others.signature("foreign.follow_up", tag="after")
    end = chain(others.full_sync(account), link, app=deployment.foreign).apply_async()
    assert end.get(timeout=60)["tag"] == "after"
    assert [line.split()[:2] for line in others.calls()] == [["after", "success"]]


def test_joined_triggers_share_one_run_and_each_is_answered(deployment: Deployment, others: ForeignService) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    ends = [
        chain(
            others.full_sync(account), others.signature("foreign.follow_up", tag=f"n{n}"), app=deployment.foreign
        ).apply_async()
        for n in range(10)
    ]
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 10, "ten waiters")
    wait_until(deployment.simulator.control.held_requests, "the first request")
    deployment.simulator.control.release()
    assert {end.get(timeout=60)["sync_id"] for end in ends} == {_first(end).get(timeout=5)["sync_id"] for end in ends}
    assert deployment.scalar("SELECT count(*) FROM sync_history") == 1
    assert Counter(line.split()[0] for line in others.calls()) == {f"n{n}": 1 for n in range(10)}


def test_a_failed_run_raises_and_calls_its_errback_once(deployment: Deployment, others: ForeignService) -> None:
    account = deployment.account(2)  # no other test uses this account: its login is revoked
    deployment.simulator.control.revoke(account.name, access=True)
    error = others.signature("foreign.on_error", tag="failed")
    link = others.signature("foreign.follow_up", tag="never")
    end = chain(others.full_sync(account), link, app=deployment.foreign).on_error(error).apply_async()
    with pytest.raises(Exception, match="log"):
        _first(end).get(timeout=60)
    with pytest.raises(Exception, match="log"):
        end.get(timeout=60)
    wait_until(lambda: others.calls() == ["failed errback"], "the errback")
    assert deployment.scalar("SELECT status FROM accounts") == "needs_login"
    with pytest.raises(Exception, match="spotisync login"):
        _full_sync(deployment, account).get(timeout=60)


def test_the_caller_sees_a_cancel_and_a_resume_from_the_checkpoint(deployment: Deployment) -> None:
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="hold", path="/v1/artists")
    result = _full_sync(deployment, account)
    wait_until(control.held_requests, "the artists phase")
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    cancelled = deployment.foreign.send_task(
        "spotisync.cancel_sync", kwargs={"sync_id": sync_id}, queue="spotisync.control"
    )
    assert cancelled.get(timeout=60) == {"sync_id": sync_id, "status": "cancelled"}
    with pytest.raises(Exception, match="cancelled"):
        result.get(timeout=60)
    control.release()
    control.reset_log()
    resumed = deployment.foreign.send_task("spotisync.resume_sync", kwargs={"sync_id": sync_id}, queue="spotisync.sync")
    summary = resumed.get(timeout=60)
    assert (summary["sync_id"], summary["status"]) == (sync_id, "success")
    assert not [each for each in control.requests() if each["path"].startswith("/v1/me/tracks")]
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


def test_a_redelivered_batch_has_one_effect(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    result = _full_sync(deployment, account)
    wait_until(deployment.simulator.control.held_requests, "the first batch")
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    again = {"sync_id": sync_id, "phase": "tracks", "seq": 0}
    copies = [_send_batch(deployment, again) for _ in range(3)]
    assert all(not copy.get(timeout=60)["success"] for copy in copies)
    deployment.simulator.control.release()
    summary = result.get(timeout=60)
    late = _send_batch(deployment, again).get(timeout=60)
    assert late["error_message"] == "the run is over"
    assert summary["phases"]["tracks"]["batches"] == deployment.scalar(
        "SELECT batches FROM sync_state WHERE entity_type = 'tracks'"
    )
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


def _send_batch(deployment: Deployment, kwargs: dict[str, Any]) -> "AsyncResult[Any]":
    return deployment.foreign.send_task("spotisync.batch", kwargs=kwargs, queue="spotisync.sync")


def test_an_idempotency_key_always_returns_the_same_run(deployment: Deployment) -> None:
    account, other = deployment.account(), deployment.account(1)
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks", times=2)
    together = [_full_sync(deployment, account, idempotency_key="monday") for _ in range(2)]
    together.append(_full_sync(deployment, other, idempotency_key="monday"))
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 3, "three waiters")
    wait_until(lambda: len(deployment.simulator.control.held_requests()) == 2, "both runs")
    deployment.simulator.control.release()
    first, second, others = (each.get(timeout=60) for each in together)
    assert first == second
    assert (first["account"], others["account"]) == (account.name, other.name)
    assert _full_sync(deployment, account, idempotency_key="monday").get(timeout=60) == first
    assert deployment.scalar("SELECT count(*) FROM sync_history") == 2


@pytest.mark.slow
def test_a_sync_works_in_every_canvas(deployment: Deployment, others: ForeignService) -> None:
    one, two = deployment.account(), deployment.account(1)
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks", times=2)
    app = deployment.foreign
    syncs = [others.full_sync(one), others.full_sync(two)]
    gather = others.signature("foreign.gather", tag="body")
    both = group(syncs, app=app).apply_async()
    body = chord(syncs, gather, app=app).apply_async()
    fan = chain(syncs[0], group(others.follow_up("left"), others.follow_up("right")), app=app).apply_async()
    deeper = chord([chain(syncs[0], others.follow_up("inner")), syncs[1]], gather.clone(kwargs={"tag": "deeper"}))
    deep = deeper.apply_async()
    linked = others.full_sync(one).apply_async(link=others.follow_up("callback"))
    after = chain(syncs[1], chord([others.follow_up("a"), others.follow_up("b")], gather), app=app).apply_async()
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 9, "nine waiters")
    wait_until(lambda: len(deployment.simulator.control.held_requests()) == 2, "both runs")
    deployment.simulator.control.release()
    assert [each["account"] for each in both.get(timeout=60)] == [one.name, two.name]
    assert body.get(timeout=60) == [one.name, two.name]
    assert deep.get(timeout=60) == ["inner", two.name]
    assert [each["tag"] for each in fan.get(timeout=60)] == ["left", "right"]
    assert after.get(timeout=60) == ["a", "b"]
    assert linked.get(timeout=60)["status"] == "success"
    wait_until(lambda: others.called("callback"), "the callback")
    tags = Counter(line.split()[0] for line in others.calls())
    assert tags == {**dict.fromkeys(["left", "right", "inner", "callback", "a", "b", "deeper"], 1), "body": 2}
    assert deployment.scalar("SELECT count(*) FROM sync_history") == 2


def test_a_chord_with_a_cancelled_sync_fails(deployment: Deployment, others: ForeignService) -> None:
    one, two = deployment.account(), deployment.account(1)
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    first = others.full_sync(one)
    body = others.signature("foreign.gather", tag="never").on_error(others.on_error("body"))
    end = chord([first, others.full_sync(two)], body, app=deployment.foreign).apply_async()
    wait_until(deployment.simulator.control.held_requests, "a run")
    sync_id = deployment.scalar("SELECT min(id) FROM sync_history")
    _cancel(deployment, sync_id).get(timeout=60)
    deployment.simulator.control.release()
    with pytest.raises(Exception, match="cancelled"):
        end.get(timeout=60)
    wait_until(lambda: others.calls() == ["body errback"], "the errback of the body")


def _cancel(deployment: Deployment, sync_id: int) -> "AsyncResult[Any]":
    return deployment.foreign.send_task("spotisync.cancel_sync", kwargs={"sync_id": sync_id}, queue="spotisync.control")


def test_cancelling_a_parked_run_answers_every_caller(deployment: Deployment, others: ForeignService) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="status", status=429, retry_after=86_400, path="/v1/me/tracks")
    link = others.follow_up("never")
    end = chain(others.full_sync(account), link, app=deployment.foreign).on_error(others.on_error("parked"))
    result = end.apply_async()
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'rate_limited'"), "the run to be parked"
    )
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    assert _cancel(deployment, sync_id).get(timeout=60)["status"] == "cancelled"
    for each in (_first(result), result):
        with pytest.raises(Exception, match=f"run {sync_id} cancelled"):
            each.get(timeout=60)
    wait_until(lambda: others.calls() == ["parked errback"], "the errback")


REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("full_sync", (), {"account": "nobody"}, "Unknown account 'nobody'. Known:"),
    ("full_sync", (), {}, "More than one account"),
    ("full_sync", (), {"account": 5}, "account of spotisync.full_sync must be a string"),
    (
        "full_sync",
        (),
        {"account": "a", "idempotency_key": "\x00"},
        "idempotency_key of spotisync.full_sync must be a string",
    ),
    ("full_sync", ("alice",), {}, "keyword arguments only"),
    ("full_sync", (), {"acount": "alice"}, "acount"),
    ("resume_sync", (), {"sync_id": 10**9}, "No run 1000000000"),
    ("resume_sync", (), {"sync_id": "seven"}, "sync_id of spotisync.resume_sync must be the number of a run"),
    ("resume_sync", (), {"sync_id": 2**70}, "must be the number of a run"),
    ("resume_sync", (), {}, "sync_id"),
    ("cancel_sync", (), {"sync_id": True}, "must be the number of a run"),
    ("cancel_sync", (), {"sync_id": 10**9}, "No run 1000000000"),
]


@pytest.mark.slow
def test_refusals_name_the_command_that_fixes_them(deployment: Deployment, others: ForeignService) -> None:
    one, two = deployment.account(), deployment.account(1)
    refused = [*REFUSED, ("full_sync", (), {"account": two.name}, "enable it: spotisync accounts enable")]
    accounts.set_status(deployment.context, two.name, "disabled")
    results = [
        deployment.foreign.send_task(
            f"spotisync.{name}", args, kwargs, queue="spotisync.sync", link_error=others.on_error(f"e{number}")
        )
        for number, (name, args, kwargs, _) in enumerate(refused)
    ]
    for result, (_, _, _, words) in zip(results, refused, strict=True):
        with pytest.raises(Exception, match=words):
            result.get(timeout=60)
    wait_until(lambda: len(others.calls()) == len(refused), "the errbacks")
    assert sorted(others.calls()) == sorted(f"e{number} errback" for number in range(len(refused)))
    assert deployment.sql("SELECT 1 FROM sync_history") == []
    over = _full_sync(deployment, one).get(timeout=60)["sync_id"]
    again = deployment.foreign.send_task("spotisync.resume_sync", kwargs={"sync_id": over}, queue="spotisync.sync")
    with pytest.raises(Exception, match="already succeeded"):
        again.get(timeout=60)


@pytest.mark.slow
def test_removing_an_account_answers_callers_and_leaves_nothing(deployment: Deployment, others: ForeignService) -> None:
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="hold", path="/v1/artists")
    ends = [
        chain(others.full_sync(account), others.follow_up("never"), app=deployment.foreign)
        .on_error(others.on_error(f"e{number}"))
        .apply_async()
        for number in range(3)
    ]
    wait_until(control.held_requests, "a batch in flight")
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 3, "three waiters")
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    accounts.remove(deployment.context, account.name)
    late = [_send_batch(deployment, {"sync_id": sync_id, "phase": "tracks", "seq": seq}) for seq in range(3)]
    control.release()
    for end in ends:
        with pytest.raises(Exception, match="cancelled: the account was removed"):
            end.get(timeout=60)
    assert all(not each.get(timeout=60)["success"] for each in late)
    wait_until(lambda: sorted(others.calls()) == [f"e{number} errback" for number in range(3)], "the errbacks")
    wait_until(lambda: not deployment.sql("SELECT 1 FROM waiters"), "the waiters to be deleted")
    own = ("accounts", "sync_history", "sync_state", "saved_tracks", "account_playlists", "followed_artists")
    assert [table for table in own if deployment.sql(f"SELECT 1 FROM {table}")] == []


@pytest.mark.slow
def test_stores_results_again_that_the_backend_lost(deployment: Deployment, others: ForeignService) -> None:
    one, two = deployment.account(), deployment.account(1)
    done = chain(others.full_sync(one), others.follow_up("once"), app=deployment.foreign).apply_async()
    done.get(timeout=60)
    control = deployment.simulator.control
    control.add_fault(kind="hold", path="/v1/me/tracks")
    cancelled = chain(others.full_sync(one), others.follow_up("never"), app=deployment.foreign).apply_async()
    wait_until(control.held_requests, "the run that is cancelled")
    _cancel(deployment, deployment.scalar("SELECT max(id) FROM sync_history")).get(timeout=60)
    control.release()
    wait_until(
        lambda: deployment.scalar("SELECT count(*) FROM waiters WHERE answered_at IS NOT NULL") == 2, "both answers"
    )
    control.add_fault(kind="hold", path="/v1/me/tracks")
    waits = _full_sync(deployment, two)
    wait_until(control.held_requests, "the run that continues")
    with _backend(deployment) as client:
        client.flushdb()
    fresh: list[AsyncResult[Any]] = [
        AsyncResult(each.id, app=deployment.foreign) for each in (_first(done), _first(cancelled), cancelled)
    ]
    assert fresh[0].get(timeout=60)["status"] == "success"
    for each in fresh[1:]:
        with pytest.raises(Exception, match="cancelled"):
            each.get(timeout=60)
    wait_until(lambda: str(waits.state) == "SYNCING", "the state of the waiting caller")
    control.release()
    assert waits.get(timeout=60)["status"] == "success"
    assert [line.split()[0] for line in others.calls()] == ["once"]


def _backend(deployment: Deployment) -> "redis.Redis":
    socket, _, number = deployment.settings.backend.removeprefix("redis+socket://").partition("?virtual_host=")
    return redis.Redis(unix_socket_path=socket, db=int(number))


@pytest.mark.slow
def test_keeps_alive_a_chord_whose_counters_would_expire(deployment: Deployment, others: ForeignService) -> None:
    """Like when a run is parked for longer than results are kept."""
    one, two = deployment.account(), deployment.account(1)
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks", times=2)
    inner = chord([others.full_sync(one)], others.signature("foreign.gather", tag="inner"))
    outer = chord([inner, others.full_sync(two)], others.signature("foreign.count", tag="outer"))
    with _backend(deployment) as client:
        before = set(client.scan_iter("celery-taskset-meta-*.s"))
        end = outer.apply_async()
        wait_until(lambda: len(deployment.simulator.control.held_requests()) == 2, "both runs")
        sizes = set(client.scan_iter("celery-taskset-meta-*.s")) - before
        assert len(sizes) == 2
        for key in sizes:
            client.expire(key, 60)
        deployment.sql("UPDATE waiters SET kept_at = now() - interval '61 minutes'")
        wait_until(lambda: all(client.ttl(key) > 80_000 for key in sizes), "the results to be kept alive")
    deployment.simulator.control.release()
    end.get(timeout=60)
    assert [len(others.called(tag)) for tag in ("inner", "outer")] == [1, 1]


def test_task_events_show_the_end_of_a_trigger(deployment: Deployment) -> None:
    """Flower shows the last event of a task, and a task that ends with Ignore sends none."""
    account = deployment.account()
    seen: dict[str, dict[str, Any]] = {}
    with _events(deployment, seen):
        done = _full_sync(deployment, account)
        done.get(timeout=60)
        wait_until(lambda: done.id in seen, "the event of a success")
        deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
        gone = _full_sync(deployment, account)
        wait_until(deployment.simulator.control.held_requests, "the second run")
        _cancel(deployment, deployment.scalar("SELECT max(id) FROM sync_history")).get(timeout=60)
        wait_until(lambda: gone.id in seen, "the event of a failure")
    assert (seen[done.id]["type"], seen[gone.id]["type"]) == ("task-succeeded", "task-failed")
    assert "'status': 'success'" in seen[done.id]["result"]
    assert 0 < seen[done.id]["runtime"] < 60
    assert "cancelled" in seen[gone.id]["exception"]
    assert seen[done.id]["hostname"].endswith("@test"), "the hostname is that of an existing worker"


@contextmanager
def _events(deployment: Deployment, seen: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Collect the events that Flower would get, by task id, during the block."""
    over, ready = threading.Event(), threading.Event()

    def note(event: dict[str, Any]) -> None:
        seen[event["uuid"]] = event

    def listen() -> None:
        with deployment.foreign.connection() as connection:
            receiver = deployment.foreign.events.Receiver(
                connection, handlers={"task-succeeded": note, "task-failed": note}
            )
            with receiver.consumer_context() as (own, *_):
                ready.set()
                while not over.is_set():
                    with suppress(TimeoutError):
                        own.drain_events(timeout=0.2)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        over.set()
        thread.join()
