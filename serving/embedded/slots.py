"""RunSlots: how many requests compute at once. A bounded number of others waits, no longer than its deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from serving.embedded.caller import Caller
from serving.embedded.predict import Array, Call
from serving.embedded.servercore import Served
from serving.embedded.status import StatusError

_AWAITED = "a free slot to run in"


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

    def run(self, served: Served, call: Call, caller: Caller) -> list[Array]:
        """Compute one request in a slot; raises what `hold` and the servable raise."""
        with self.hold(caller):
            return served.servable.run(call.feeds, call.fetches)

    @contextmanager
    def hold(self, caller: Caller) -> Iterator[None]:
        """Hold a slot.

        Args:
            caller: gives its place up when it waits no longer.

        Raises:
            StatusError: UNAVAILABLE, too many wait already; DEADLINE_EXCEEDED, none became free in time; CANCELLED.
        """
        caller.require(_AWAITED)
        if not self._free.acquire(blocking=False):
            self._wait(caller)
        try:
            yield
        finally:
            self._free.release()

    def _wait(self, caller: Caller) -> None:
        with self._lock:
            if self._waiting >= self._max_waiting:
                raise StatusError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The queue is full: {self._waiting} requests wait for {self.count} that run; try again later",
                )
            self._waiting += 1
        try:
            while not self._free.acquire(timeout=caller.patience_s()):
                caller.require(_AWAITED)
        finally:
            with self._lock:
                self._waiting -= 1
