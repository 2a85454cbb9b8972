"""What spans may tell outside: no error texts, which may quote values of rows, and no query strings of URLs."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status

URLS = frozenset({"http.url", "url.full", "http.target"})
# `celery.retry.reason` quotes the error, as a description does.
DROPPED = frozenset({"url.query", "exception.message", "exception.stacktrace", "celery.retry.reason"})


class RedactedExporter(SpanExporter):
    """Passes redacted spans on, without statements and requests that belong to no task, such as a page's polling."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        kept = [redact(span) for span in spans if span.parent is not None or span.kind is not SpanKind.CLIENT]
        return self._exporter.export(kept) if kept else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._exporter.shutdown()


def redact(span: ReadableSpan) -> ReadableSpan:
    events = [Event(each.name, _redact(each.attributes), each.timestamp) for each in span.events]
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        _redact(span.attributes),
        events,
        span.links,
        span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redact(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {name: value for name, value in (attributes or {}).items() if name not in DROPPED}
    return {name: value.partition("?")[0] if name in URLS else value for name, value in kept.items()}
