"""RunSlots: how many requests compute at once. A bounded number of others waits, no longer than its deadline.

A slot that becomes free is given to one that waits. A request that comes at that moment does not overtake it: else, with a few
clients that send one batch after the other, some waited for seconds.

Of those that wait, the smallest is next: the one image of somebody who waits for it does not stand behind the batches of a
large job, which each take many times as long. Of requests of one size, the first is next. The one that has waited the longest
is passed over MOST_PASSED times and no more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from serving.embedded.caller import Caller
from serving.embedded.predict import Array, Call
from serving.embedded.servercore import Served
from serving.embedded.status import StatusError

MOST_PASSED = 8

_AWAITED = "a free slot to run in"


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request that waits."""

    size: int
    called: threading.Event = field(default_factory=threading.Event)  # it has a slot
    passed: int = 0  # how often another one was called although this one had waited for longer than all


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
        self._free = count  # 0 while anybody waits
        self._waiting: list[_Waiting] = []  # in the order in which they came
        self._lock = threading.Lock()

    def run(self, served: Served, call: Call, caller: Caller) -> list[Array]:
        """Compute one request in a slot; raises what `hold` and the servable raise."""
        with self.hold(caller, _size_of(call)):
            return served.servable.run(call.feeds, call.fetches)

    @contextmanager
    def hold(self, caller: Caller, size: int = 1) -> Iterator[None]:
        """Hold a slot.

        Args:
            caller: gives its place up when it waits no longer.
            size: rows of the request.

        Raises:
            StatusError: UNAVAILABLE, too many wait already; DEADLINE_EXCEEDED, none became free in time; CANCELLED.
        """
        caller.require(_AWAITED)
        waiting = self._enter(size)
        if waiting is not None:
            self._wait(waiting, caller)
        try:
            yield
        finally:
            self._release()

    def _enter(self, size: int) -> _Waiting | None:
        """Take a free slot, or a place among those that wait."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            if len(self._waiting) >= self._max_waiting:
                raise StatusError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The queue is full: {len(self._waiting)} requests wait for {self.count} that run; try again later",
                )
            waiting = _Waiting(size)
            self._waiting.append(waiting)
            return waiting

    def _wait(self, waiting: _Waiting, caller: Caller) -> None:
        try:
            while not waiting.called.wait(caller.patience_s()):
                caller.require(_AWAITED)
        except BaseException:
            with self._lock:
                is_called = waiting.called.is_set()
                if not is_called:
                    self._waiting.remove(waiting)
            if is_called:
                self._release()
            raise

    def _release(self) -> None:
        """Give a slot to the request that is next, or back."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            first = self._waiting[0]
            chosen = first if first.passed >= MOST_PASSED else min(self._waiting, key=lambda each: each.size)
            first.passed += chosen is not first
            self._waiting.remove(chosen)
            chosen.called.set()


def _size_of(call: Call) -> int:
    """Rows of the largest input."""
    return max((len(array) for array in call.feeds.values() if array.ndim), default=1)
