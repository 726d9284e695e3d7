"""core.telemetry.spans' protocols on OpenTelemetry. Imported only where traces are on; needs the extra `tracing`."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.telemetry.spans import Attribute, Kind, Span

_CLOSE_S = 3.0  # for the last spans of a process that ends: longer than a collector needs, shorter than a container waits
_W3C = TraceContextTextMapPropagator()


class OtelSpan:
    """A span of the SDK."""

    def __init__(self, span: trace.Span, began_ns: int) -> None:
        self._span = span
        self._began_ns = began_ns

    @property
    def traceparent(self) -> str | None:
        return _traceparent(self._span.get_span_context())

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, why: str) -> None:
        self._span.set_attribute("error.type", why)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self, *, after_s: float | None = None) -> None:
        self._span.end(None if after_s is None else self._began_ns + int(after_s * 1e9))


class OtelTracer:
    """Makes spans and exports them in batches, from a thread of its own. Sampling is the SDK's: OTEL_TRACES_SAMPLER."""

    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        """Start the thread.

        Args:
            service: service.name, unless OTEL_SERVICE_NAME says something else.
            exporter: where spans go; None: OTLP over HTTP, to where OTEL_EXPORTER_OTLP_* say.
        """
        attributes = {"service.namespace": "dermq", "service.version": importlib.metadata.version("dermq")}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes["service.name"] = service
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("dermq")

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str | None) -> Iterator[Span]:
        made = self._make(name, kind, _extract(parent))
        with trace.use_span(made, record_exception=False, set_status_on_exception=False):
            wrapped = OtelSpan(made, 0)
            try:
                yield wrapped
            except BaseException as error:
                wrapped.fail(type(error).__name__)
                raise
            finally:
                made.end()

    def begin(self, name: str, kind: Kind) -> Span:
        began_ns = time.time_ns()
        return OtelSpan(self._make(name, kind, None, began_ns), began_ns)

    def traceparent(self) -> str | None:
        return _traceparent(trace.get_current_span().get_span_context())

    def flush(self) -> None:
        """Export what has ended so far."""
        self._provider.force_flush()

    def close(self) -> None:
        """Export what is left. The SDK would wait for up to half a minute."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(_CLOSE_S)

    def _make(self, name: str, kind: Kind, context: Context | None, began_ns: int | None = None) -> trace.Span:
        return self._tracer.start_span(name, context, trace.SpanKind[kind], start_time=began_ns)


def _extract(parent: str | None) -> Context | None:
    """A context with a remote parent; None, which means the current one, if there is no valid one."""
    if parent is None:
        return None
    context = _W3C.extract({"traceparent": parent}, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def _traceparent(context: trace.SpanContext) -> str | None:
    """The wire form of W3C Trace Context, version 00."""
    if not context.is_valid:
        return None
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-{context.trace_flags:02x}"
