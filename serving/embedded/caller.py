"""Caller: who waits for an answer, and for how long. What nobody waits for any more is not run, and holds no place."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from serving.embedded.status import StatusError

LOOK_S = 0.1  # how long it may take until a cancelled request is found among those that wait


class Caller:
    """The client of one request, as seen from where the request waits. Thread-safe."""

    def __init__(self, timeout_s: float | None = None, is_there: Callable[[], bool] = lambda: True) -> None:
        """The time runs from now on.

        Args:
            timeout_s: the rest of the request's time; None: for ever.
            is_there: whether the client still waits; False once it has cancelled, or its connection is gone.
        """
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._is_there = is_there

    def patience_s(self) -> float:
        """How long to wait, in seconds, until `require` is to be asked again."""
        return LOOK_S if self._deadline is None else max(0.0, min(LOOK_S, self._deadline - time.monotonic()))

    def require(self, awaited: str) -> None:
        """Raise, if nobody waits any more.

        Args:
            awaited: what the request waits for.

        Raises:
            StatusError: DEADLINE_EXCEEDED or CANCELLED.
        """
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, f"Timed out waiting for {awaited}")
        if not self._is_there():
            raise StatusError(grpc.StatusCode.CANCELLED, f"The client went while the request waited for {awaited}")
