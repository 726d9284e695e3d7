"""What was computed from a job lately, kept in memory: each value is computed once."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _for_good(_took_s: float) -> float:
    return math.inf


class Recent(Generic[K, V]):
    """The values that were asked for last. Thread-safe."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is held yet.

        Args:
            most: values that are held; beyond, the one that nobody asked for the longest is dropped.
            monotonic: the clock of values that do not hold for good, in seconds.
        """
        self._most = most
        self._monotonic = monotonic
        self._held: OrderedDict[K, tuple[float, V]] = OrderedDict()  # until when, and the value
        self._making: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()  # of the two above, never held for long

    def get(self, key: K, compute: Callable[[], V], holds_s: Callable[[float], float] = _for_good) -> V:
        """The value of a key, computed if it is not held. What `compute` raises is raised, and nothing is held.

        Who asks for a key waits for nobody who computes another one.

        Args:
            key: of all that the value depends on, unless it holds for a while only.
            compute: makes the value.
            holds_s: for how many seconds a value holds that took so many to compute.
        """
        with self._lock:
            if (held := self._find(key)) is not None:
                return held[1]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if (held := self._find(key)) is not None:
                    return held[1]
            try:
                began = self._monotonic()
                value = compute()
                ended = self._monotonic()
                with self._lock:
                    self._hold(key, ended + holds_s(ended - began), value)
                return value
            finally:  # only now: who comes later finds the value, or a lock
                with self._lock:
                    self._making.pop(key, None)

    def _find(self, key: K) -> tuple[float, V] | None:
        held = self._held.get(key)
        if held is None or self._monotonic() >= held[0]:
            return None
        self._held.move_to_end(key)
        return held

    def _hold(self, key: K, until: float, value: V) -> None:
        self._held[key] = until, value
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
