"""Traces, if somebody wants them: spans that cost a function call while they are off, and import nothing then.

A trace starts with the request that submits a job. Its context (W3C Trace Context, `traceparent`) is stored with the job, so
that whoever takes up prepare or a chunk, after whatever message was lost or sent again, continues it; calls of Serving carry it
as gRPC metadata. OpenTelemetry itself is in core.telemetry.otel. It is loaded where traces are on: DERMQ_TRACING_ENABLED, or
one of OpenTelemetry's own variables that name an endpoint
(opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from core.settings import TracingSettings
from core.telemetry.logs import get_logger
from core.telemetry.spans import Attribute, Kind, Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_log = get_logger(__name__)


class _Nothing:
    """The span of those who make none; its own context manager."""

    traceparent: str | None = None

    def rename(self, name: str) -> None: ...

    def set(self, attributes: Mapping[str, Attribute]) -> None: ...

    def fail(self, why: str) -> None: ...

    def end(self, *, after_s: float | None = None) -> None: ...

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


_NOTHING = _Nothing()
_tracer: Tracer | None = None


def is_wanted(settings: TracingSettings) -> bool:
    """Whether the settings, or OpenTelemetry's variables, ask for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or settings.enabled is False:
        return False
    return bool(settings.enabled) or any(os.environ.get(name) for name in _ENDPOINTS)


def preload_tracing(settings: TracingSettings) -> None:
    """Import what children will need, before the fork, so that they share its memory. Starts no thread."""
    if is_wanted(settings):
        with suppress(ImportError):  # configure_tracing says so
            importlib.import_module("core.telemetry.otel")


def configure_tracing(settings: TracingSettings, service: str) -> None:
    """Switch traces on in this process, if they are wanted; after a fork, never before.

    Args:
        settings: whether.
        service: what this process is called, where OTEL_SERVICE_NAME does not say.
    """
    if not is_wanted(settings):
        return
    try:
        from core.telemetry.otel import OtelTracer  # noqa: PLC0415 - only where there are traces
    except ImportError as error:
        _log.warning("tracing_not_installed", error=str(error), advice='pip install "dermq[tracing]"')
        return
    use_tracer(OtelTracer(service))


def use_tracer(tracer: Tracer | None) -> None:
    """Make this the process's tracer; None switches traces off."""
    global _tracer  # noqa: PLW0603 - one for each process, like its log
    _tracer = tracer


def close_tracing() -> None:
    """Send what is left and switch off."""
    if _tracer is not None:
        _tracer.close()
    use_tracer(None)


def span(name: str, kind: Kind, parent: str | None = None) -> AbstractContextManager[Span]:
    """A span around a block.

    Args:
        name: few different ones; no ids.
        kind: which side of a call it is.
        parent: traceparent of a span in another process; None: the current span here.
    """
    return _NOTHING if _tracer is None else _tracer.span(name, kind, parent)


def no_span() -> AbstractContextManager[Span]:
    """Stands in for a span where none is wanted."""
    return _NOTHING


def begin_span(name: str, kind: Kind) -> Span:
    """A span below the current one, which is ended by hand: for work that overlaps with other work."""
    return _NOTHING if _tracer is None else _tracer.begin(name, kind)


def current_traceparent() -> str | None:
    """The current span's context, to be stored or sent along; None if traces are off."""
    return None if _tracer is None else _tracer.traceparent()


def call_metadata(traceparent: str | None) -> tuple[tuple[str, str], ...] | None:
    """gRPC metadata that carry a context."""
    return None if traceparent is None else (("traceparent", traceparent),)
