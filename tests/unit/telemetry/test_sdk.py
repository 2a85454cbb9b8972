"""Which trace and which parent the spans of runs and tasks get, and that no collector stops anything."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spotisync.errors import Unavailable
from spotisync.telemetry.sdk import STOP_SECONDS, OncePerMinute, Tracing
from tests.support.parameters import mostly_slow
from tests.support.waiting import wait_until

CALLER, RUN = "0af7651916cd43dd8448eb211c80319c", "5bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT, OF_RUN = f"00-{CALLER}-b7ad6b7169203331-01", f"00-{RUN}-00f067aa0ba902b7-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[Tracing]:
    made = Tracing([exporter], lambda _: OF_RUN)
    yield made
    made.stop()


def sent(tracing: Tracing, exporter: InMemorySpanExporter) -> tuple[ReadableSpan, ...]:
    tracing.provider.force_flush()
    return exporter.get_finished_spans()


def trace_of(traceparent: str) -> str:
    return traceparent.split("-")[1]


def test_a_run_without_a_caller_begins_a_trace(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    traceparent = tracing.begin_run(7, "full", "cli")
    (span,) = sent(tracing, exporter)
    assert (span.name, span.parent, span.attributes) == (
        "sync full", None, {"spotisync.run": 7, "spotisync.trigger": "cli"},
    )  # fmt: skip
    assert span.resource.attributes["service.name"] == "spotisync"
    assert span.context is not None
    assert traceparent.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")


def test_a_run_continues_the_trace_of_its_caller(tracing: Tracing) -> None:
    with tracing.within(TRACEPARENT):
        assert trace_of(tracing.begin_run(7, "full", "task")) == CALLER
    assert not trace.get_current_span().get_span_context().is_valid


def test_each_run_of_a_tick_has_its_own_trace(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.within(TRACEPARENT):
        begun = {trace_of(tracing.begin_run(number, "full", "beat")) for number in (1, 2)}
    assert len(begun | {CALLER}) == 3
    assert [f"{span.links[0].context.trace_id:032x}" for span in sent(tracing, exporter)] == [CALLER, CALLER]


def enter(tracing: Tracing, name: str, **headers: str) -> str:
    """Return the trace that the task's span would belong to."""
    task = SimpleNamespace(name=name, request=SimpleNamespace(**headers))
    tracing._enter(task=task, task_id="1", kwargs={"sync_id": 7})
    found = trace.get_current_span().get_span_context()
    assert baggage.get_all() == {}
    tracing._leave(task_id="1")
    assert not trace.get_current_span().get_span_context().is_valid
    return f"{found.trace_id:032x}"


@pytest.mark.parametrize(
    ("task", "expected"), [("batch", RUN), ("finish", RUN), ("cancel_sync", CALLER), ("full_sync", CALLER)]
)
def test_a_task_of_a_run_belongs_to_its_trace_whoever_sent_it(task: str, expected: str, tracing: Tracing) -> None:
    assert enter(tracing, f"spotisync.{task}", traceparent=TRACEPARENT, baggage="user=alice") == expected


def test_a_task_without_a_sender_begins_a_trace(tracing: Tracing) -> None:
    assert enter(tracing, "spotisync.sweep") == "0" * 32


def _unavailable(_: int) -> str:
    raise Unavailable("away")


@pytest.mark.parametrize("find", [_unavailable, lambda _: None, lambda _: "not a traceparent"])
def test_without_a_stored_trace_the_message_decides(find: Callable[[int], str | None]) -> None:
    tracing = Tracing([], find)
    assert enter(tracing, "spotisync.batch", traceparent=TRACEPARENT) == CALLER


def test_attributes_and_events_are_those_of_the_current_span(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.provider.get_tracer("test").start_as_current_span("run/spotisync.batch"):
        tracing._describe(kwargs={"sync_id": 7, "phase": "tracks", "seq": 3, "account": "alice"})
        tracing.set_attributes({"items": 5, "cursor": None})
        tracing.add_event("parked", {"until": "2026-11-29T18:00:00+00:00"})
    (span,) = sent(tracing, exporter)
    assert span.name == "batch tracks"
    assert span.attributes == {
        "spotisync.run": 7, "spotisync.phase": "tracks", "spotisync.batch": 3, "spotisync.items": 5,
    }  # fmt: skip
    assert [(event.name, event.attributes) for event in span.events] == [
        ("parked", {"spotisync.until": "2026-11-29T18:00:00+00:00"})
    ]


# ---- a broken collector ---------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def refusing() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("kind", mostly_slow(["refusing", "silent"]))
def test_a_broken_collector_costs_no_time(kind: str, request: Any, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{request.getfixturevalue(kind)}/v1/traces"
    others, exporter = set(threading.enumerate()), OTLPSpanExporter(url, timeout=1)
    tracing = Tracing([exporter])
    tracer = tracing.provider.get_tracer("test")
    began = time.monotonic()
    for number in range(3000):  # more than the queue holds
        tracer.start_span(str(number)).end()
    assert time.monotonic() - began < 3
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < STOP_SECONDS + 1
    # Threads that still send would use `random` during other tests, which Hypothesis reports.
    exporter.shutdown()  # type: ignore[no-untyped-call]
    wait_until(lambda: set(threading.enumerate()) <= others, "the end of the exporter's threads")


def test_the_log_of_failed_attempts_is_limited() -> None:
    once: Any = OncePerMinute()
    assert [once.filter(None) for _ in range(3)] == [True, False, False]
