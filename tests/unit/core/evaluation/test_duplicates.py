"""Pictures that look alike are found, and others are not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from core.evaluation.duplicates import MOST_BITS, Groups, group_alike
from core.imaging.differencehash import difference_hash


def hash_of(image: Image.Image) -> int:
    found = difference_hash(np.asarray(image))
    assert found is not None
    return found


def bits_apart(one: int, other: int) -> int:
    return bin((one ^ other) & (2**64 - 1)).count("1")


def drawn(seed: int, size: int = 128) -> Image.Image:
    """A picture of smooth random patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def test_the_hash_by_hand() -> None:
    falling = np.repeat(np.arange(89, -1, -1, dtype=np.uint8)[None, :], 16, axis=0)
    assert difference_hash(np.dstack([falling] * 3)) == -1  # all 64 bits: each cell is brighter than the next
    assert difference_hash(np.dstack([falling[:, ::-1]] * 3)) == 0
    assert difference_hash(np.full((8, 9, 3), 70, np.uint8)) == 0
    uneven = np.full((28, 28, 3), 70, np.uint8)  # 28 is no multiple of 9: columns of 3 and 4 pixels have the same mean
    assert difference_hash(uneven) == 0
    assert difference_hash(np.zeros((7, 9, 3), np.uint8)) is None


def test_a_picture_saved_anew_is_close_and_another_is_far() -> None:
    original = drawn(1)
    saved = io.BytesIO()
    original.resize((300, 300)).save(saved, "JPEG", quality=60)
    again = Image.open(saved).convert("RGB").resize((128, 128))
    brighter = original.point(lambda value: min(255, value // 2 + 100))
    first = hash_of(original)
    assert bits_apart(first, hash_of(again)) <= MOST_BITS
    assert bits_apart(first, hash_of(brighter)) <= MOST_BITS
    others = [hash_of(drawn(seed)) for seed in range(2, 12)]
    assert min(bits_apart(first, other) for other in others) > 10


def test_groups_are_those_of_all_pairs() -> None:
    generator = np.random.default_rng(7)
    hashes = generator.integers(-(2**63), 2**63, 300, dtype=np.int64)
    for at in range(200, 300):  # each differs from an earlier one in 0 to 5 bits
        flipped = 0
        for bit in generator.choice(64, generator.integers(0, 6), replace=False):
            flipped ^= 1 << int(bit)
        hashes[at] = np.int64(np.uint64(int(hashes[at - 150]) % 2**64) ^ np.uint64(flipped))
    apart = np.bitwise_count(hashes.view(np.uint64)[:, None] ^ hashes.view(np.uint64)[None, :])
    expected = np.arange(300)
    for _ in range(300):  # the smallest position that a chain reaches
        reached = np.where(apart <= MOST_BITS, expected[None, :], 300).min(axis=1)
        if (reached == expected).all():
            break
        expected = reached
    found = group_alike(hashes)
    np.testing.assert_array_equal(found, expected)
    assert 40 < (found != np.arange(300)).sum() < 100


def test_nothing_and_one() -> None:
    assert group_alike(np.array([], np.int64)).tolist() == []
    assert group_alike(np.array([5], np.int64)).tolist() == [0]
    assert group_alike(np.array([5, 9, 5], np.int64)).tolist() == [0, 0, 0]  # 5 and 9 differ in two bits


def test_a_long_chain_has_one_first_item() -> None:
    """Each differs from the next in one bit of a Gray code, and its ends in many."""
    codes = np.arange(4096, dtype=np.int64)
    hashes = np.random.default_rng(3).permutation(codes ^ (codes >> 1))
    assert group_alike(hashes).tolist() == [0] * 4096


def test_groups_are_looked_up_one_by_one_and_together() -> None:
    groups = Groups(np.array([2, 5, 7, 9]), np.array([2, 2, 7, 7]))
    assert dict(groups) == dict(groups.pairs()) == {2: 2, 5: 2, 7: 7, 9: 7}
    assert (groups.get(5), groups.get(3), groups.get(99), len(groups)) == (2, None, None, 4)
    leaders, has = groups.look_up(np.array([9, 0, 5, 10]))
    assert (has.tolist(), leaders[has].tolist()) == ([True, False, True, False], [7, 2])
    assert groups.items_of(2) == [2, 5]
    nobody = Groups(np.array([], np.int64), np.array([], np.int64))
    assert (dict(nobody), nobody.get(1), nobody.look_up(np.array([1]))[1].tolist()) == ({}, None, [False])
