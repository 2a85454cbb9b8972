"""What spans don't tell."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from spotisync.telemetry.redaction import RedactedExporter

SECRET = "sw0rdfish"


def traced() -> tuple[Tracer, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactedExporter(exporter)))
    return provider.get_tracer("test"), exporter


def texts(spans: Sequence[ReadableSpan]) -> str:
    return "".join(span.to_json() for span in spans)


def test_an_error_keeps_its_type_and_loses_its_text() -> None:
    tracer, exporter = traced()
    with tracer.start_as_current_span("batch tracks") as span:
        span.record_exception(ValueError(f"Key (id)=({SECRET}) already exists"))
        span.set_status(Status(StatusCode.ERROR, f"Key (id)=({SECRET}) already exists"))
        span.set_attribute("celery.retry.reason", SECRET)
    (sent,) = exporter.get_finished_spans()
    assert SECRET not in texts([sent])
    assert sent.status.status_code is StatusCode.ERROR
    assert [event.attributes and event.attributes["exception.type"] for event in sent.events] == ["ValueError"]


def test_urls_lose_their_query() -> None:
    tracer, exporter = traced()
    with tracer.start_as_current_span("GET") as span:
        span.set_attributes({"http.url": f"https://h/callback?code={SECRET}", "url.query": f"code={SECRET}"})
    (sent,) = exporter.get_finished_spans()
    assert sent.attributes == {"http.url": "https://h/callback"}


def test_spans_keep_their_place_in_the_trace() -> None:
    tracer, exporter = traced()
    with tracer.start_as_current_span("batch") as batch, tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
        pass
    request, sent = exporter.get_finished_spans()
    assert (sent.context, sent.name) == (batch.get_span_context(), "batch")
    assert request.parent == sent.context
    assert request.kind is SpanKind.CLIENT
    assert sent.end_time
    assert sent.start_time
    assert sent.end_time >= sent.start_time


def test_statements_outside_any_task_are_not_sent() -> None:
    tracer, exporter = traced()
    tracer.start_span("SELECT", kind=SpanKind.CLIENT).end()
    assert exporter.get_finished_spans() == ()
