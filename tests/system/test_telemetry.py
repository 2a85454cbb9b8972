"""One run is one trace, whatever happens to its messages and workers."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from spotisync.core.states import PHASES
from tests.support.collector import Collector, collecting
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, Program

CALLER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
JOINING = ("5bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    socket, _, number = broker_url.removeprefix("redis+socket://").partition("?virtual_host=")
    with redis.Redis(unix_socket_path=socket, db=int(number)) as client:
        yield client


def start(deployment: Deployment, url: str) -> Program:
    """Start a worker. What it has not sent dies with it, so it sends its spans soon."""
    return deployment.worker(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="50")


def trigger(deployment: Deployment, account: Account, caller: tuple[str, str], **options: Any) -> None:
    headers = {"traceparent": f"00-{'-'.join(caller)}-01"}
    signature = deployment.foreign.signature("spotisync.full_sync", kwargs={"account": account.name})
    signature.apply_async(queue="spotisync.sync", headers=headers, **options)


@pytest.mark.slow
def test_a_run_is_one_trace_through_a_wait_a_kill_and_a_flush(
    deploy: Callable[..., Deployment], collector: Collector, broker: redis.Redis
) -> None:
    deployment = deploy(200, lease_seconds=4, max_countdown=1)
    account, control = deployment.account(), deployment.simulator.control
    control.add_fault(kind="status", status=429, retry_after=2, path="/v1/me/tracks", after=2)
    control.add_fault(kind="hold", path="/v1/albums")
    deployment.beat(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="50")
    worker = start(deployment, collector.url)
    trigger(deployment, account, CALLER)
    wait_until(control.held_requests, "a request of the albums phase")
    trigger(deployment, account, JOINING, link=deployment.foreign.signature("after", queue="foreign"))
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == 2, "the second caller")
    sync_id, committed = deployment.sql("SELECT sync_id, sum(batches) FROM sync_state GROUP BY 1")[0]
    wait_until(
        lambda: sum("spotisync.items" in span.attributes for span in collector.of_run(sync_id)) == committed,
        "the spans of the batches before the kill",
    )
    worker.kill()
    broker.flushdb()
    control.clear_faults()
    control.release()
    start(deployment, collector.url)
    wait_until(
        lambda: any(span.name == "run/spotisync.finish" for span in collector.of_run(sync_id)), "the end of the run"
    )
    assert deployment.scalar("SELECT status FROM sync_history") == "success"
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
    check_trace(collector, sync_id)
    # The second caller's own trace continues with its link.
    message = wait_until(lambda: broker.lpop("foreign"), "the caller's link")
    assert json.loads(message)["headers"]["traceparent"].split("-")[1] == JOINING[0]
    token = deployment.simulator.refresh_token(account.name)
    assert not [body for body in collector.bodies if token.encode() in body or b"Bearer" in body]


def check_trace(collector: Collector, sync_id: int) -> None:
    spans = collector.of_run(sync_id)
    assert {span.trace_id for span in spans} == {CALLER[0]}
    (root,) = [span for span in spans if span.name == "sync full"]
    work = [span for span in spans if span.name.startswith("batch ")]
    assert {span.parent_id for span in work} == {root.span_id}
    assert {span.attributes["spotisync.phase"] for span in work} == set(PHASES)
    assert "parked" in {name for span in work for name, _ in span.events}

    known = {CALLER, JOINING} | {(span.trace_id, span.span_id) for span in collector.spans}
    assert all(span.links for span in work)
    assert {link for span in spans for link in span.links} <= known
    names = {span.name.split()[0] for span in collector.spans if span.parent_id in {each.span_id for each in work}}
    assert {"GET", "SELECT", "UPDATE", "apply_async/spotisync.batch"} <= names


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a collector that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_a_silent_collector_delays_neither_a_sync_nor_a_stop(deploy: Callable[..., Deployment], silent: str) -> None:
    deployment = deploy(200)
    account = deployment.account()
    deployment.beat()
    worker = start(deployment, silent)
    trigger(deployment, account, CALLER)
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'success'"), "the end of the run", seconds=30
    )
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: worker.process.poll() is not None, "the end of the worker", seconds=8)
