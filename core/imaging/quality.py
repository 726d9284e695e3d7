"""Doubts about a picture that its pixels tell: notes, never a refusal.

The thresholds were measured on 10,054 dermatoscopic pictures and on degraded copies of them (docs/reference/images.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.notes import ItemNote

_LINES: Final = 16  # rows, and columns, of the decoded picture that are looked at for detail
_POINTS: Final = 48  # a side of the grid of pixels that is looked at for colour and light
_SHARPEST: Final = 0.54, 0.56  # ratios of steps over one and two pixels, and over two and four
_SMALL: Final = 20_000  # pixels
_LEAST_STEP: Final = 0.25  # mean step over four pixels below which a picture is flat, not blurred


def notes_on_light(pixels: NDArray[np.uint8]) -> Iterator[ItemNote]:
    """greyscale, over_exposed, under_exposed.

    Args:
        pixels: the picture as the model sees it, without padding, uint8 [height, width, 3].
    """
    rows, columns = (-(-side // _POINTS) for side in pixels.shape[:2])
    red, green, blue = (pixels[::rows, ::columns, channel] for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    count = brightest.size
    if (brightest - darkest).max() <= 1 + brightest.mean() / 16:
        yield ItemNote.GREYSCALE
    if np.count_nonzero(darkest >= 250) > count / 4 or np.count_nonzero(brightest >= 254) > count * 3 / 4:
        yield ItemNote.OVER_EXPOSED
    if np.count_nonzero(brightest > 95) < count / 20:
        yield ItemNote.UNDER_EXPOSED


def is_blurred(image: Image.Image) -> bool:
    """Whether the picture has no detail finer than about four pixels, at the scale at which it was decoded for the model.

    Along a smooth curve the step over two pixels is twice the step over one. Where there is detail, it is less than that.

    Args:
        image: decoded, in mode L or RGB, at least twice the model's input where the file has as much.
    """
    width, height = image.size
    if min(width, height) < 16:
        return False
    rows, columns = _lines(image)
    steps = _steps(rows) + _steps(columns)
    one, two, four = steps
    return bool(four > 2 * _LEAST_STEP and one < _SHARPEST[0] * two and two < _SHARPEST[1] * four)


def _lines(image: Image.Image) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Evenly spaced rows, and columns, of the picture; of colours, green, which has most of the light."""
    width, height = image.size
    if width * height <= _SMALL:  # one copy costs less than two passes
        whole = _green(image)
        return whole[:: -(-height // _LINES)], whole[:, :: -(-width // _LINES)].T
    rows = image.resize((width, min(_LINES, height)), Image.Resampling.NEAREST)
    columns = image.resize((min(_LINES, width), height), Image.Resampling.NEAREST)
    return _green(rows), _green(columns).T


def _green(image: Image.Image) -> NDArray[np.int16]:
    values = np.asarray(image)
    return (values[..., 1] if values.ndim == 3 else values).astype(np.int16)


def _steps(lines: NDArray[np.int16]) -> NDArray[np.float64]:
    """The mean differences between values that lie one, two and four pixels apart along the lines."""
    means = np.empty(3)
    for number, by in enumerate((1, 2, 4)):
        steps = np.abs(lines[:, by:] - lines[:, :-by])
        means[number] = np.add.reduce(steps, axis=None) / steps.size
    return means
