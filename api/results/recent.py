"""What was computed from a job lately, kept in memory: each value is computed once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values that were asked for last. Thread-safe."""

    def __init__(self, most: int) -> None:
        """Nothing is held yet.

        Args:
            most: values that are held; beyond, the one that nobody asked for the longest is dropped.
        """
        self._most = most
        self._held: OrderedDict[K, V] = OrderedDict()
        self._making: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()  # of the two above, never held for long

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value of a key, computed if it is not held. What `compute` raises is raised, and nothing is held.

        Who asks for a key waits for nobody who computes another one.
        """
        with self._lock:
            if key in self._held:
                return self._touch(key)
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._held:
                    return self._touch(key)
            try:
                value = compute()
                with self._lock:
                    self._held[key] = value
                    return self._touch(key)
            finally:  # only now: who comes later finds the value, or a lock
                with self._lock:
                    self._making.pop(key, None)

    def _touch(self, key: K) -> V:
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return self._held[key]
