"""Pictures for pages: decoded in processes of their own, under limits of memory and time; small ones are kept for a while.

A picture of a hundred kilobytes can take hundreds of megabytes to decode, and a hostile one can take the process with it. So
the API's own process never decodes, and what goes wrong is the error of one picture.
"""

from __future__ import annotations

import multiprocessing
import resource
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from pebble import ProcessExpired, ProcessPool

from core.errors import ItemError, ItemErrorCode
from core.imaging import thumbnail
from core.settings import ImageLimits, PictureSettings

_TASKS_PER_PROCESS = 500  # then a fresh one: memory that a decoder kept goes with it


class PictureMaker:
    """Makes small upright JPEGs without metadata. Thread-safe; starts its processes with the first picture."""

    def __init__(self, settings: PictureSettings, limits: ImageLimits) -> None:
        """Nothing is started yet.

        Args:
            settings: processes, and what one picture may take.
            limits: bytes and pixels that an image may have.
        """
        self._settings = settings
        self._limits = limits
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._kept = _Kept(settings.cache_bytes)

    def find(self, key: Hashable) -> bytes | None:
        """A picture that was made for this key not long ago."""
        return self._kept.find(key)

    def make(self, data: bytes, max_side: int) -> bytes:
        """A JPEG of the whole image, at most `max_side` pixels wide and high.

        Raises:
            ItemError: why this image cannot be decoded, with too much memory or time among the reasons.
        """
        return self._outcome(self._start(data, max_side))

    def make_all(self, images: Sequence[tuple[Hashable, bytes]], max_side: int) -> dict[Hashable, bytes | ItemError]:
        """As `make`, several at a time, each with what became of it; the pictures are kept under their keys."""
        started = [(key, self._start(data, max_side)) for key, data in images]
        return {key: self._settle(key, future) for key, future in started}

    def close(self) -> None:
        """End the processes, whatever they do."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def _settle(self, key: Hashable, future: Future[bytes]) -> bytes | ItemError:
        try:
            picture = self._outcome(future)
        except ItemError as error:
            return error
        self._kept.keep(key, picture)
        return picture

    def _start(self, data: bytes, max_side: int) -> Future[bytes]:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPool(
                    max_workers=self._settings.processes,
                    max_tasks=_TASKS_PER_PROCESS,
                    initializer=_limit_memory,
                    initargs=[self._settings.memory_bytes],
                    context=multiprocessing.get_context("spawn"),  # the API has threads: no fork
                )
            future: Future[bytes] = self._pool.schedule(
                _make, args=[data, max_side, self._limits], timeout=self._settings.timeout_s
            )
        return future

    def _outcome(self, future: Future[bytes]) -> bytes:
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


class _Kept:
    """The pictures that were asked for last, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pictures: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> bytes | None:
        with self._lock:
            picture = self._pictures.get(key)
            if picture is not None:
                self._pictures.move_to_end(key)
            return picture

    def keep(self, key: Hashable, picture: bytes) -> None:
        with self._lock:
            self._bytes += len(picture) - len(self._pictures.pop(key, b""))
            self._pictures[key] = picture
            while self._bytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._bytes -= len(oldest)


def _limit_memory(max_bytes: int) -> None:
    """Of this process: what is allocated beyond is a MemoryError, and not the machine's trouble."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = max_bytes if hard == resource.RLIM_INFINITY else min(max_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _make(data: bytes, max_side: int, limits: ImageLimits) -> bytes:
    return thumbnail(data, max_side=max_side, limits=limits)
