"""RunSlots: how many requests compute at once. The others wait, no longer than their deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from serving.embedded.status import StatusError


class RunSlots:
    """A bounded number of runs side by side: more than one per core only costs memory."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count)

    @contextmanager
    def hold(self, timeout_s: float | None) -> Iterator[None]:
        """Hold a slot.

        Args:
            timeout_s: the rest of the request's time; None: for ever.

        Raises:
            StatusError: DEADLINE_EXCEEDED, none became free in time.
        """
        if not self._free.acquire(timeout=None if timeout_s is None else max(0.0, timeout_s)):
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for a free slot to run in")
        try:
            yield
        finally:
            self._free.release()
