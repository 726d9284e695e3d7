"""Groups of pictures that look alike, by their difference hashes.

Not all pairs are compared. The 64 bits are cut into 6 bands: two hashes that differ in at most 3 bits are equal in 3 of them or
more. So each pair is found by one of the 20 choices of 3 bands, of which only hashes with equal bands are compared (multi-index
hashing, Norouzi et al. 2012).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from core.evaluation.arrays import BoolArray, IntArray

MOST_BITS = 3  # that may differ
_BANDS = 6
_BLOCK = 512  # hashes that are compared with a whole bucket at once
Hashes = npt.NDArray[np.uint64]


class Groups(Mapping[int, int]):
    """Item → first item of its group, of items that look like another one. Two numbers an item, however many there are."""

    def __init__(self, items: IntArray, leaders: IntArray) -> None:
        """Take both, int64 [n]; `items` rises."""
        self._items = items
        self._leaders = leaders

    def look_up(self, items: IntArray) -> tuple[IntArray, BoolArray]:
        """For each item the first one of its group, int64 [n], and whether it has one, bool [n]."""
        if not len(self._items):
            return np.zeros(len(items), np.int64), np.zeros(len(items), np.bool_)
        at = np.minimum(np.searchsorted(self._items, items), len(self._items) - 1)
        return self._leaders[at], self._items[at] == items

    def __getitem__(self, item: int) -> int:
        leaders, has = self.look_up(np.array([item]))
        if not has[0]:
            raise KeyError(item)
        return int(leaders[0])

    def __iter__(self) -> Iterator[int]:
        return iter(self._items.tolist())

    def __len__(self) -> int:
        return len(self._items)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """As `items`, which looks each item up: a tenth of its time."""
        return zip(self._items.tolist(), self._leaders.tolist(), strict=True)

    def items_of(self, leader: int) -> list[int]:
        """The items of a group, by its first one."""
        found: list[int] = self._items[self._leaders == leader].tolist()
        return found


def group_alike(hashes: IntArray, most_bits: int = MOST_BITS) -> IntArray:
    """For each hash the position of the first one of its group, int64 [n]; its own where nothing is like it.

    A group is what a chain of pairs joins: its ends may differ in more bits than `most_bits`.

    Args:
        hashes: int64 [n], of core.imaging.differencehash.
        most_bits: at most `MOST_BITS`.
    """
    different, first, inverse = np.unique(hashes.astype(np.uint64), return_index=True, return_inverse=True)
    parents = np.arange(len(different))
    for ones, others in _pairs(different, most_bits):
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            _join(parents, one, other)
    roots = _roots(parents)
    leaders = np.full(len(different), len(hashes), np.int64)
    np.minimum.at(leaders, roots, first)
    found: IntArray = leaders[roots][inverse]
    return found


def _pairs(different: Hashes, most_bits: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Positions of hashes that are close, a part of a bucket at a time: all of them together may be very many."""
    if most_bits == 0 or len(different) < 2:
        return
    bounds = [64 * at // _BANDS for at in range(_BANDS + 1)]
    masks = [((1 << high) - 1) ^ ((1 << low) - 1) for low, high in pairwise(bounds)]
    for chosen in combinations(masks, _BANDS - MOST_BITS):
        keys = different & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        begins = np.append(0, np.flatnonzero(np.diff(keys[order])) + 1)
        ends = np.append(begins[1:], len(order))
        several = ends - begins > 1
        for begin, end in zip(begins[several].tolist(), ends[several].tolist(), strict=True):
            yield from _close(different, order[begin:end], most_bits)


def _close(different: Hashes, bucket: IntArray, most_bits: int) -> Iterator[tuple[IntArray, IntArray]]:
    for begin in range(0, len(bucket), _BLOCK):
        rows = bucket[begin : begin + _BLOCK]
        bits = np.bitwise_count(different[rows][:, None] ^ different[bucket][None, :])
        ones, others = np.nonzero(bits <= most_bits)
        is_first = rows[ones] < bucket[others]
        yield rows[ones[is_first]], bucket[others[is_first]]


def _roots(parents: IntArray) -> IntArray:
    """The root of each, by jumps that double."""
    while not np.array_equal(above := parents[parents], parents):
        parents = above
    return parents


def _root(parents: IntArray, at: int) -> int:
    while (above := int(parents[at])) != at:
        parents[at] = parents[above]
        at = int(parents[at])
    return at


def _join(parents: IntArray, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)
