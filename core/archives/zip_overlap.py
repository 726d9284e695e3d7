"""Entries of a ZIP that share bytes: how a few kilobytes become many members (D. Fifield, "A better zip bomb", WOOT 2019).

A directory in the order of its members needs nothing of this: each member begins where the one before it has ended, or later.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from core.errors import ArchiveError

_MAX_UNSORTED = 20_000_000  # entries; some 500 MB, once


class Overlaps:
    """Which entries share bytes with others."""

    def __init__(self, places: Iterable[tuple[int, int]]) -> None:
        """`places`: first byte and end of each entry in any order.

        Raises:
            ArchiveError: more than 20 million entries.
        """
        flat = array("Q")
        for place in places:
            flat.extend(place)
            if len(flat) > 2 * _MAX_UNSORTED:
                raise ArchiveError(f"the ZIP has more than {_MAX_UNSORTED:,} entries that are not in order: pack it again")
        self._starts = _shared_starts(np.frombuffer(flat, np.uint64).reshape(-1, 2))

    def at(self, start: int) -> bool:
        """Whether the entry that begins at this byte shares bytes with another one."""
        index = int(np.searchsorted(self._starts, np.uint64(start)))
        return index < len(self._starts) and int(self._starts[index]) == start


def _shared_starts(places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    order = np.argsort(places[:, 0], kind="stable")
    starts = places[order, 0]
    reach = np.maximum.accumulate(places[order, 1])  # so that every entry within a long one is found, not only its neighbour
    into = starts[1:] < reach[:-1]
    shared = np.zeros(len(starts), bool)
    shared[1:] |= into
    shared[:-1] |= into
    result: NDArray[np.uint64] = starts[shared]
    return result
