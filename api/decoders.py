"""Processes that decode images for the API, under limits of memory and time. Pages and single images share them.

A picture of a hundred kilobytes can take hundreds of megabytes to decode, and a hostile one can take the process with it. So
the API's own process never decodes, and what goes wrong is the error of one picture.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from core.errors import ItemError, ItemErrorCode
from core.memorylimit import limit_memory
from core.settings import PictureSettings

T = TypeVar("T")

_TASKS_PER_PROCESS = 500  # then a fresh one: memory that a decoder kept goes with it


class DecoderPool:
    """A few processes. Thread-safe; starts them with the first task, or with `warm`."""

    def __init__(self, settings: PictureSettings) -> None:
        """Nothing is started yet.

        Args:
            settings: processes, and what one picture may take.
        """
        self.processes = settings.processes
        self._settings = settings
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._first: Future[None] | None = None

    def start(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Run a function of a module in one of the processes; `settle` waits for what becomes of it."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPool(
                    max_workers=self._settings.processes,
                    max_tasks=_TASKS_PER_PROCESS,
                    initializer=limit_memory,
                    initargs=[self._settings.memory_bytes],
                    context=multiprocessing.get_context("spawn"),  # the API has threads: no fork
                )
            future: Future[T] = self._pool.schedule(work, args=list(args), timeout=self._settings.timeout_s)
        return future

    def warm(self) -> bool:
        """Whether the processes run. If not, they are started; this does not wait for it."""
        if self._first is None:
            self._first = self.start(_get_ready)
        return self._first.done()

    def settle(self, future: Future[T]) -> T:
        """Wait for what a task returns.

        Raises:
            ItemError: decode_timeout, decoder_crash (also for too much memory), or what the task raised.
        """
        try:
            return future.result()
        except (FutureTimeoutError, TimeoutError) as error:
            limit = self._settings.timeout_s
            raise ItemError(ItemErrorCode.DECODE_TIMEOUT, f"the picture took longer than {limit:g} s to decode") from error
        except (ProcessExpired, MemoryError) as error:
            limit = self._settings.memory_bytes // 1024**2
            raise ItemError(
                ItemErrorCode.DECODER_CRASH, f"the process that decoded the picture ended; it may take {limit} MiB of memory"
            ) from error

    def close(self) -> None:
        """End the processes, whatever they do."""
        with self._lock:
            pool, self._pool, self._first = self._pool, None, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()


def _get_ready() -> None:
    """Import what decoding needs."""
    import core.imaging  # noqa: F401, PLC0415 - in the process of the pool
