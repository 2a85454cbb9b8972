"""Traces in OpenTelemetry, where the standard `OTEL_*` variables ask for them. Elsewhere nothing of it is imported.

One run is one trace, whatever becomes of its messages and workers: the row of the run contains the `traceparent` (W3C
Trace Context) of the span that began it. That span is the parent of each batch's span, which also has a link to the
span that published the batch's message.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from spotisync.settings import Settings

if TYPE_CHECKING:
    from spotisync.telemetry.sdk import Tracing

log = logging.getLogger(__name__)

EXPORTERS: Final = ("otlp", "console", "none")
INSTALL: Final = "pip install 'spotisync[otel]'"
# Set by `start`.
_tracing: "Tracing | None" = None


def is_requested(settings: Settings) -> bool:
    if (settings.otel_sdk_disabled or "").lower() == "true" or _list_exporters(settings) == ["none"]:
        return False
    endpoint = settings.otel_exporter_otlp_traces_endpoint or settings.otel_exporter_otlp_endpoint
    return bool(endpoint or settings.otel_traces_exporter)


def _list_exporters(settings: Settings) -> list[str]:
    return [name.strip().lower() for name in (settings.otel_traces_exporter or "otlp").split(",")]


def find_problem(settings: Settings) -> str | None:
    """Why requested traces can't be sent: one sentence, and one on how to fix it."""
    if unknown := set(_list_exporters(settings)).difference(EXPORTERS):
        return f"OTEL_TRACES_EXPORTER names {', '.join(sorted(unknown))}. Use otlp, console or none"
    protocol = settings.otel_exporter_otlp_traces_protocol or settings.otel_exporter_otlp_protocol
    if protocol not in {None, "http/protobuf"}:
        variable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
        return f"traces are not sent by {protocol}. Set {variable} and a URL that accepts it, usually with port 4318"
    try:
        import spotisync.telemetry.sdk  # noqa: F401
    except ImportError as error:
        return f"OTEL_* variables ask for traces, but {error.name} is not installed. Run: {INSTALL}"
    return None


def start(settings: Settings, find_traceparent: Callable[[int], str | None] | None = None) -> None:
    """Send this process's traces, if they are requested. Call it after any fork. It never raises.

    `find_traceparent`: of a run; only processes that execute tasks need it.
    """
    global _tracing  # noqa: PLW0603 (the SDK exists once per process)
    if _tracing is not None or not is_requested(settings):
        return
    if problem := find_problem(settings):
        log.warning("no traces are sent: %s", problem)
        return
    try:
        from spotisync.telemetry import sdk

        _tracing = sdk.start(settings, _list_exporters(settings), find_traceparent)
    except Exception:  # syncs don't need traces
        log.exception("no traces are sent: OpenTelemetry can't be set up")


def stop() -> None:
    """Send the last spans, for two seconds at most."""
    global _tracing  # noqa: PLW0603
    if _tracing is not None:
        _tracing.stop()
        _tracing = None


def begin_run(sync_id: int, sync_type: str, trigger: str) -> str | None:
    """Begin the trace of a run, or its part of the trace of the caller. Returns its `traceparent`."""
    return _tracing.begin_run(sync_id, sync_type, trigger) if _tracing is not None else None


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Make the spans that begin inside children of this one. None: leave them where they are."""
    if _tracing is None or traceparent is None:
        yield
        return
    with _tracing.within(traceparent):
        yield


def set_attributes(**attributes: str | int | None) -> None:
    """Add attributes, without their prefix, to the span of the task."""
    if _tracing is not None:
        _tracing.set_attributes(attributes)


def add_event(name: str, **attributes: str | float | None) -> None:
    """Add an event to the span of the task."""
    if _tracing is not None:
        _tracing.add_event(name, attributes)
