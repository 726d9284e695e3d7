"""Groups of pictures that look alike, by their difference hashes.

Not all pairs are compared. The 64 bits are cut into 6 bands: two hashes that differ in at most 3 bits are equal in 3 of them or
more. So each pair is found by one of the 20 choices of 3 bands, of which only hashes with equal bands are compared (multi-index
hashing, Norouzi et al. 2012).
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from core.evaluation.arrays import IntArray

MOST_BITS = 3  # that may differ
_BANDS = 6
_BLOCK = 512  # hashes that are compared with a whole bucket at once
Hashes = npt.NDArray[np.uint64]


def group_alike(hashes: IntArray, most_bits: int = MOST_BITS) -> IntArray:
    """For each hash the position of the first one of its group, int64 [n]; its own where nothing is like it.

    A group is what a chain of pairs joins: its ends may differ in more bits than `most_bits`.

    Args:
        hashes: int64 [n], of core.imaging.differencehash.
        most_bits: at most `MOST_BITS`.
    """
    different, first, inverse = np.unique(hashes.astype(np.uint64), return_index=True, return_inverse=True)
    parents = list(range(len(different)))
    for one, other in _pairs(different, most_bits):
        _join(parents, one, other)
    roots = np.array([_root(parents, at) for at in range(len(different))], np.int64)
    leaders = np.full(len(different), len(hashes), np.int64)
    np.minimum.at(leaders, roots, first)
    return leaders[roots][inverse]


def _pairs(different: Hashes, most_bits: int) -> list[tuple[int, int]]:
    if most_bits == 0 or len(different) < 2:
        return []
    bounds = [64 * at // _BANDS for at in range(_BANDS + 1)]
    masks = [((1 << high) - 1) ^ ((1 << low) - 1) for low, high in pairwise(bounds)]
    found: list[tuple[int, int]] = []
    for chosen in combinations(masks, _BANDS - MOST_BITS):
        keys = different & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        begins = np.append(0, np.flatnonzero(np.diff(keys[order])) + 1)
        ends = np.append(begins[1:], len(order))
        several = ends - begins > 1
        for begin, end in zip(begins[several].tolist(), ends[several].tolist(), strict=True):
            found += _close(different, order[begin:end], most_bits)
    return found


def _close(different: Hashes, bucket: IntArray, most_bits: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin in range(0, len(bucket), _BLOCK):
        rows = bucket[begin : begin + _BLOCK]
        bits = np.bitwise_count(different[rows][:, None] ^ different[bucket][None, :])
        ones, others = np.nonzero(bits <= most_bits)
        found += [(one, other) for one, other in zip(rows[ones].tolist(), bucket[others].tolist(), strict=True) if one < other]
    return found


def _root(parents: list[int], at: int) -> int:
    while parents[at] != at:
        parents[at] = parents[parents[at]]
        at = parents[at]
    return at


def _join(parents: list[int], one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)
