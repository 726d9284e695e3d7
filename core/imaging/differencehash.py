"""A 64-bit difference hash: pictures that look alike have hashes of which few bits differ.

Krawetz, "Kind of Like That" (2013): the picture is reduced to 9 x 8 cells, and each bit says whether a cell is brighter than
the one to its right. Encoding anew, resizing and brightness change few bits. Here the cells are means over the green channel of
the picture as the model sees it, which is decoded already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 8, 9


def difference_hash(pixels: NDArray[np.uint8]) -> int | None:
    """The hash as a signed 64-bit integer, which both databases store; None of a picture of fewer cells.

    Args:
        pixels: uint8 [height, width, 3].
    """
    return difference_hashes(pixels[None])[0]


def difference_hashes(pixels: NDArray[np.uint8]) -> list[int] | list[None]:
    """As `difference_hash`, of pictures of one size: uint8 [pictures, height, width, 3]."""
    count, height, width = pixels.shape[:3]
    if height < ROWS or width < COLUMNS:
        return [None] * count
    tops, lefts = np.arange(ROWS) * height // ROWS, np.arange(COLUMNS) * width // COLUMNS
    rows = np.add.reduceat(pixels[..., 1], tops, axis=1, dtype=np.int64)
    sums = np.add.reduceat(rows, lefts, axis=2)
    means = sums / np.diff(np.append(lefts, width))  # of a row of cells, whose height is the same
    bits = means[..., :-1] > means[..., 1:]
    hashes: list[int] = np.packbits(bits.reshape(count, ROWS * (COLUMNS - 1)), axis=1).view(">i8").ravel().tolist()
    return hashes
