"""RunSlots: how many requests compute at once. A bounded number of others waits, no longer than its deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from serving.embedded.predict import Array, Call
from serving.embedded.servercore import Served
from serving.embedded.status import StatusError


class RunSlots:
    """A bounded number of runs side by side, since more than one per core only costs memory, and a bounded queue for them."""

    def __init__(self, count: int, max_waiting: int) -> None:
        """All free.

        Args:
            count: runs at once.
            max_waiting: requests that may wait for one of them.
        """
        self.count = count
        self._max_waiting = max_waiting
        self._free = threading.Semaphore(count)
        self._waiting = 0
        self._lock = threading.Lock()

    def run(self, served: Served, call: Call, timeout_s: float | None) -> list[Array]:
        """Compute one request in a slot; raises what `hold` and the servable raise."""
        with self.hold(timeout_s):
            return served.servable.run(call.feeds, call.fetches)

    @contextmanager
    def hold(self, timeout_s: float | None) -> Iterator[None]:
        """Hold a slot.

        Args:
            timeout_s: the rest of the request's time; None: for ever.

        Raises:
            StatusError: UNAVAILABLE, too many wait already; DEADLINE_EXCEEDED, none became free in time.
        """
        if timeout_s is not None and timeout_s <= 0:
            raise _too_late()
        if not self._free.acquire(blocking=False):
            self._wait(timeout_s)
        try:
            yield
        finally:
            self._free.release()

    def _wait(self, timeout_s: float | None) -> None:
        with self._lock:
            if self._waiting >= self._max_waiting:
                raise StatusError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The queue is full: {self._waiting} requests wait for {self.count} that run; try again later",
                )
            self._waiting += 1
        try:
            if not self._free.acquire(timeout=timeout_s):
                raise _too_late()
        finally:
            with self._lock:
                self._waiting -= 1


def _too_late() -> StatusError:
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for a free slot to run in")
