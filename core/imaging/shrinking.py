"""The resize of a decoded RGB picture to the size that a model expects, by Pillow's C functions without the Python around them.

`Image.frombuffer`, `Image.resize` and `Image.tobytes` call the same functions. What they do in Python besides costs 12 of 53
microseconds for a picture of 100 x 75 pixels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, _imaging

from core.imaging.picture import Box

_FEWEST_ENCODED: Final = 16  # bytes that Pillow's raw encoder wants to be able to write at a time


def shrink(pixels: NDArray[np.uint8], size: tuple[int, int], box: Box) -> NDArray[np.uint8]:
    """What lies in `box`, bilinear with antialiasing: the values of Pillow's `resize` without a `reducing_gap`.

    Args:
        pixels: uint8 [height, width, 3], its rows one behind the other in memory.
        size: (width, height) of the result, pixels.
        box: left, top, right, bottom within `pixels`.

    Returns:
        uint8 [height, width, 3], read-only.

    Raises:
        ValueError: Pillow does not take or give all pixels.
    """
    stored = pixels.shape[1], pixels.shape[0]
    image = _imaging.new("RGB", stored)
    decoder = _imaging.raw_decoder("RGB", "RGB", 0, 1)
    decoder.setimage(image, (0, 0, *stored))
    left, fault = decoder.decode(pixels)
    if left >= 0 or fault:
        raise ValueError(f"expected pixels for an image of {stored}, got {pixels.dtype} {list(pixels.shape)}")
    small = image.resize(size, Image.Resampling.BILINEAR, box)
    encoder = _imaging.raw_encoder("RGB", "RGB")
    encoder.setimage(small, (0, 0, *size))
    _, end, data = encoder.encode(max(_FEWEST_ENCODED, 3 * size[0] * size[1]))
    if end != 1:
        raise ValueError(f"expected all pixels of {size} at once, got {len(data)} bytes")
    return np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3)
