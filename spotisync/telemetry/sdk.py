"""OpenTelemetry's SDK and its instrumentations of Celery, SQLAlchemy and requests."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Token
from importlib.metadata import version
from threading import Thread
from typing import Any, Final

from celery.signals import task_postrun, task_prerun
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor, celery_getter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spotisync.settings import Settings, export_otel_variables
from spotisync.telemetry.redaction import RedactedExporter

STOP_SECONDS: Final = 2.0
PREFIX: Final = "spotisync."
# The tasks of a run. `spotisync.cancel_sync` names a run too, but belongs to its caller.
TASKS_OF_RUN: Final = ("spotisync.batch", "spotisync.finish")
ARGUMENTS: Final = {"sync_id": "run", "phase": "phase", "seq": "batch"}
W3C: Final = TraceContextTextMapPropagator()


def start(
    settings: Settings, exporters: Sequence[str], find_traceparent: Callable[[int], str | None] | None
) -> "Tracing":
    export_otel_variables(settings)
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").addFilter(OncePerMinute())
    tracing = Tracing([_make_exporter(name) for name in exporters if name != "none"], find_traceparent)
    trace.set_tracer_provider(tracing.provider)  # FastAPI finds it there
    traced_urls = (settings.spotify_api_url, settings.spotify_accounts_url)
    tracing.instrument(traced_urls, settings.otel_python_disabled_instrumentations or "")
    return tracing


def _make_exporter(name: str) -> SpanExporter:
    # The output of commands is on stdout.
    return ConsoleSpanExporter(out=sys.stderr) if name == "console" else OTLPSpanExporter()


class Tracing:
    """The SDK of this process. Its own thread sends the spans, and drops them if the collector is too slow."""

    def __init__(
        self, exporters: Sequence[SpanExporter], find_traceparent: Callable[[int], str | None] | None = None
    ) -> None:
        named = Resource({"service.name": "spotisync"}).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=Resource.create(named.attributes), shutdown_on_exit=False)
        for exporter in exporters:
            self.provider.add_span_processor(BatchSpanProcessor(RedactedExporter(exporter)))
        self._tracer = self.provider.get_tracer("spotisync", version("spotisync"))
        self._find_traceparent = find_traceparent
        self._tokens: dict[str, Token[Context]] = {}

    def instrument(self, traced_urls: Sequence[str], disabled: str) -> None:
        """Requests to other URLs, such as those of notifications, may contain secrets: these are not traced."""
        # With links, the parent of a task's span is the current span, which `_enter` sets. So `_enter` comes first.
        task_prerun.connect(self._enter, weak=False)
        CeleryInstrumentor().instrument(  # type: ignore[no-untyped-call]
            tracer_provider=self.provider, use_span_links=True
        )
        task_prerun.connect(self._describe, weak=False)
        task_postrun.connect(self._leave, weak=False)
        if "sqlalchemy" not in disabled:
            # Without a check of versions: its release precedes SQLAlchemy 2.1, with which it works.
            SQLAlchemyInstrumentor().instrument(tracer_provider=self.provider, skip_dep_check=True)
        if "requests" not in disabled:
            others = f"^(?!({'|'.join(map(re.escape, traced_urls))})/)"
            RequestsInstrumentor().instrument(tracer_provider=self.provider, excluded_urls=others)

    def stop(self) -> None:
        # In a thread, since the SDK waits for the collector up to half a minute.
        stopping = Thread(target=self.provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(STOP_SECONDS)

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def _enter(self, task: Any, task_id: str, kwargs: Mapping[str, Any], **_: Any) -> None:
        """Make the span of a task a child of its run's, or of the one that published the message."""
        # Baggage would be sent on to Spotify.
        parent = baggage.clear(propagate.extract(task.request, getter=celery_getter))
        if task.name in TASKS_OF_RUN and self._find_traceparent:
            with suppress(Exception):  # Postgres may be away; then the message's trace, usually the same one, serves
                parent = _parse(self._find_traceparent(kwargs["sync_id"])) or parent
        self._tokens[task_id] = contexts.attach(parent)

    def _describe(self, kwargs: Mapping[str, Any], **_: Any) -> None:
        self.set_attributes({ARGUMENTS[name]: value for name, value in kwargs.items() if name in ARGUMENTS})
        if "phase" in kwargs:
            trace.get_current_span().update_name(f"batch {kwargs['phase']}")

    def _leave(self, task_id: str, **_: Any) -> None:
        if token := self._tokens.pop(task_id, None):
            contexts.detach(token)

    # ---- runs -------------------------------------------------------------------------------------------------------

    def begin_run(self, sync_id: int, sync_type: str, trigger: str) -> str:
        """Begin a trace; continue the one of the caller, if there is a caller: a tick may start several runs."""
        current = trace.get_current_span().get_span_context()
        is_own = trigger == "beat"
        span = self._tracer.start_span(
            f"sync {sync_type}",
            Context() if is_own else None,
            links=[Link(current)] if is_own and current.is_valid else [],
            attributes={f"{PREFIX}run": sync_id, f"{PREFIX}trigger": trigger},
        )
        span.end()  # no process lives as long as the run
        carrier: dict[str, str] = {}
        W3C.inject(carrier, trace.set_span_in_context(span))
        return carrier["traceparent"]

    @contextmanager
    def within(self, traceparent: str) -> Iterator[None]:
        token = contexts.attach(_parse(traceparent))
        try:
            yield
        finally:
            contexts.detach(token)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        trace.get_current_span().set_attributes(_prefix(attributes))

    def add_event(self, name: str, attributes: Mapping[str, Any]) -> None:
        trace.get_current_span().add_event(name, _prefix(attributes))


def _parse(traceparent: str | None) -> Context:
    """Empty if it is none or not valid."""
    return W3C.extract({"traceparent": traceparent or ""})


def _prefix(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{PREFIX}{name}": value for name, value in attributes.items() if value is not None}


class OncePerMinute(logging.Filter):
    """For the exporter, which logs every attempt while the collector is away."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        if time.monotonic() < self._passed_at + 60:
            return False
        self._passed_at = time.monotonic()
        return True
