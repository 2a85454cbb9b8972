"""The trace of a run is in its row."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spotisync import telemetry
from spotisync.simulator import Server
from spotisync.sync import Context, runs
from spotisync.telemetry.sdk import Tracing
from tests.support import driver
from tests.support.driver import Account

CALLER = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    tracing = Tracing([made])
    monkeypatch.setattr(telemetry, "_tracing", tracing)
    yield made
    tracing.stop()


def stored(context: Context, account: Account) -> str | None:
    found = driver.get_run(context, driver.start(context, account))  # joins the run
    return found.traceparent


def test_a_run_keeps_the_trace_of_the_caller_that_created_it(
    context: Context, account: Account, exporter: InMemorySpanExporter
) -> None:
    with telemetry.within(f"00-{CALLER}-b7ad6b7169203331-01"):
        run = driver.start(context, account)
    assert run.traceparent
    assert run.traceparent.split("-")[1] == CALLER
    assert stored(context, account) == run.traceparent == runs.join_trace(context, run.id)


def test_a_run_created_without_traces_gets_one_from_the_first_worker(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driver.start(context, account)
    assert run.traceparent is None
    assert runs.join_trace(context, run.id) is None
    tracing = Tracing([])
    monkeypatch.setattr(telemetry, "_tracing", tracing)
    first = runs.join_trace(context, run.id)
    assert first
    assert runs.join_trace(context, run.id) == first == stored(context, account)
    assert runs.join_trace(context, 999_999) is None
    tracing.stop()


def test_a_batch_tells_what_it_did_and_until_when_it_waits(
    context: Context, account: Account, simulator: Server, exporter: InMemorySpanExporter
) -> None:
    run = driver.start(context, account)
    first = step(context, run.id, exporter)
    simulator.control.add_fault(kind="status", status=429, retry_after=100, path="/v1/me/following")
    parked = step(context, run.id, exporter)
    assert first.attributes
    assert first.attributes["spotisync.cursor"] == "TracksWalk"
    assert first.attributes["spotisync.family"] == "library"
    assert first.attributes["spotisync.items"]
    (event,) = parked.events
    assert event.name == "parked"
    assert event.attributes
    assert str(event.attributes["spotisync.until"]).startswith("20")


def step(context: Context, sync_id: int, exporter: InMemorySpanExporter) -> ReadableSpan:
    """Run the due batch inside a span, as Celery's instrumentation does."""
    run = runs.get_run(context, sync_id)
    assert run
    tracing = telemetry._tracing
    assert tracing
    with tracing.provider.get_tracer("test").start_as_current_span("batch"):
        driver.step(context, run)
    assert not trace.get_current_span().get_span_context().is_valid
    tracing.provider.force_flush()
    return [span for span in exporter.get_finished_spans() if span.name == "batch"][-1]
