"""Who computes next, where more requests come than can run at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest

from serving.embedded.caller import Caller
from serving.embedded.slots import MOST_PASSED, RunSlots
from serving.embedded.status import StatusError


class Queue:
    """One slot, held from the beginning, and requests that wait for it in a known order."""

    def __init__(self, max_waiting: int = 100) -> None:
        self.slots = RunSlots(1, max_waiting)
        self.order: list[str] = []
        self._threads = ThreadPoolExecutor(32)
        self._held = ExitStack()
        self._held.enter_context(self.slots.hold(Caller()))

    def join(self, name: str, size: int, timeout_s: float | None = None) -> Future[None]:
        """Let a request wait; returns once it does. It computes nothing."""
        waiting = len(self.slots._waiting)
        future = self._threads.submit(self._run, name, size, timeout_s)
        while len(self.slots._waiting) == waiting and not future.done():
            time.sleep(0.001)
        return future

    def go(self) -> list[str]:
        """Let all run; returns their names in the order in which they ran."""
        self._held.close()
        self._threads.shutdown()
        return self.order

    def close(self) -> None:
        self._held.close()
        self._threads.shutdown()

    def _run(self, name: str, size: int, timeout_s: float | None) -> None:
        with self.slots.hold(Caller(timeout_s), size):
            self.order.append(name)


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.close()


def test_the_smallest_is_next_and_of_equal_ones_the_first(queue: Queue) -> None:
    for name, size in (("batch 1", 8), ("batch 2", 8), ("image 1", 1), ("batch 3", 8), ("image 2", 1), ("rest", 3)):
        queue.join(name, size)
    assert queue.go() == ["image 1", "image 2", "rest", "batch 1", "batch 2", "batch 3"]


def test_a_batch_is_passed_over_so_often_and_no_more(queue: Queue) -> None:
    queue.join("batch", 128)
    for number in range(MOST_PASSED + 3):
        queue.join(f"image {number}", 1)
    assert queue.go().index("batch") == MOST_PASSED


def test_a_slot_goes_to_one_that_waits_not_to_one_that_comes(queue: Queue) -> None:
    """Otherwise a request that waits begins to wait anew whenever another one comes at the moment of the release."""
    queue.join("waits", 8)
    queue._held.close()
    with queue.slots.hold(Caller(), 1):
        queue.order.append("comes")
    assert queue.go() == ["waits", "comes"]


def test_all_slots_are_free_again_after_requests_that_gave_up(queue: Queue) -> None:
    given_up = [queue.join(f"late {number}", 1, timeout_s=0.05) for number in range(3)]
    for each in given_up:
        error = each.exception(timeout=20)
        assert isinstance(error, StatusError)
        assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    queue.join("patient", 8)
    assert queue.go() == ["patient"]
    assert (queue.slots._free, queue.slots._waiting) == (1, [])


def test_a_slot_given_to_one_that_has_just_given_up_is_passed_on() -> None:
    slots = RunSlots(1, 10)
    released = threading.Event()

    class Gone(Caller):
        """Gives up after it was called, and before it has seen that."""

        asked = 0

        def patience_s(self) -> float:
            return 0.0

        def require(self, awaited: str) -> None:
            self.asked += 1
            if self.asked > 1:
                released.wait(20)
                raise StatusError(grpc.StatusCode.CANCELLED, awaited)

    with ThreadPoolExecutor(1) as threads:
        with slots.hold(Caller()):
            gone = threads.submit(slots.hold(Gone()).__enter__)
            while not slots._waiting:
                time.sleep(0.001)
        released.set()
        assert isinstance(gone.exception(timeout=20), StatusError)
    assert (slots._free, slots._waiting) == (1, [])


def test_too_many_that_wait_are_refused() -> None:
    queue = Queue(max_waiting=1)
    queue.join("waits", 1)
    refused = queue.join("too many", 1).exception(timeout=20)
    assert isinstance(refused, StatusError)
    assert refused.code == grpc.StatusCode.UNAVAILABLE
    assert refused.details.startswith("The queue is full: 1 requests wait for 1 that run")
    assert queue.go() == ["waits"]
