"""One Predict on its way: how long it takes, and its span in a trace."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from core.telemetry.spans import Kind
from core.telemetry.tracing import begin_span, call_metadata


class Flight:
    """Begins when it is made; `land` ends it."""

    def __init__(self, model: str, version: int, images: int, monotonic: Callable[[], float]) -> None:
        self._span = begin_span("Predict", Kind.CLIENT)
        self._span.set({"rpc.system": "grpc", "dermq.model": model, "dermq.model.version": version, "dermq.images": images})
        self._monotonic = monotonic
        self._first: grpc.Future | None = None
        self._answered_at: float | None = None
        self.sent_at = monotonic()
        self.metadata = call_metadata(self._span.traceparent)  # for the call and its retries

    def watch(self, first: grpc.Future) -> None:
        """Note when the first attempt is answered, in gRPC's thread: that may be long before somebody asks for the answer."""
        self._first = first
        first.add_done_callback(self._note)

    def cancel(self) -> None:
        """Tell the server that nobody waits any more."""
        if self._first is not None:
            self._first.cancel()
        self._span.fail("cancelled")
        self._span.end()

    def land(self, error: BaseException | None = None) -> float:
        """The answer is there, or will not come; returns the seconds that it took, retries included."""
        in_time = error is None and self._first is not None and self._first.code() is grpc.StatusCode.OK
        ended_at = self._answered_at if in_time and self._answered_at is not None else self._monotonic()
        if error is not None:
            self._span.fail(type(error).__name__)
        self._span.end(after_s=ended_at - self.sent_at)
        return ended_at - self.sent_at

    def _note(self, _: grpc.Future) -> None:
        self._answered_at = self._monotonic()
