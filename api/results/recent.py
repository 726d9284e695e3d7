"""What was computed from a job lately, kept in memory: each value once, one at a time, since it takes a core."""

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
        self._lock = threading.Lock()

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value of a key, computed if it is not held. What `compute` raises is raised, and nothing is held."""
        with self._lock:
            if key not in self._held:
                self._held[key] = compute()
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return self._held[key]
