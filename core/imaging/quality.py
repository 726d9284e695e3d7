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
_SMALL: Final = 20_000  # pixels
_POINTS: Final = 48  # a side of the grid of pixels that is looked at for colour and light
_DARK_MEAN: Final = 95 * 19 / 20 + 255 / 20  # where 19 of 20 points are 95 at most, the mean is no more
_SHARPEST: Final = 0.54, 0.56  # ratios of steps over one and two pixels, and over two and four
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
    mean = np.add.reduce(brightest, axis=None, dtype=np.int64) / count
    if np.maximum.reduce(brightest - darkest, axis=None) <= 1 + mean / 16:
        yield ItemNote.GREYSCALE
    if np.count_nonzero(brightest >= 250) > count / 4 and (
        np.count_nonzero(darkest >= 250) > count / 4 or np.count_nonzero(brightest >= 254) > count * 3 / 4
    ):
        yield ItemNote.OVER_EXPOSED
    if mean <= _DARK_MEAN and np.count_nonzero(brightest > 95) < count / 20:
        yield ItemNote.UNDER_EXPOSED


def is_blurred(image: Image.Image, green: NDArray[np.uint8] | None = None) -> bool:
    """Whether the picture has no detail finer than about four pixels, at the scale at which it was decoded for the model.

    Along a smooth curve the step over two pixels is twice the step over one. Where there is detail, it is less than that.

    Args:
        image: decoded, in mode L or RGB, at least twice the model's input where the file has as much.
        green: its green channel, uint8 [height, width], where there is an array of it.
    """
    side = min(image.size)
    if side < 16:
        return False
    lines = _lines(image) if green is None else _lines_of(green)
    two = _step(lines, 2)
    if _step(lines, 1) >= _SHARPEST[0] * two:  # most pictures have detail, and need no third look
        return False
    four = _step(lines, 4)
    return four > _LEAST_STEP and two < _SHARPEST[1] * four


def _lines(image: Image.Image) -> NDArray[np.int16]:
    """Evenly spaced rows and columns, as long as the shorter side; of colours, green, which has most of the light."""
    width, height = image.size
    if width * height <= _SMALL:  # one copy costs less than two passes
        return _lines_of(_green(image))
    rows = image.resize((width, min(_LINES, height)), Image.Resampling.NEAREST)
    columns = image.resize((min(_LINES, width), height), Image.Resampling.NEAREST)
    side = min(width, height)
    return np.concatenate((_green(rows)[:, :side], _green(columns).T[:, :side])).astype(np.int16)


def _lines_of(green: NDArray[np.uint8]) -> NDArray[np.int16]:
    height, width = green.shape
    side = min(width, height)
    return np.concatenate((green[:: -(-height // _LINES), :side], green[:side, :: -(-width // _LINES)].T)).astype(np.int16)


def _green(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image)
    return values[..., 1] if values.ndim == 3 else values


def _step(lines: NDArray[np.int16], by: int) -> float:
    """The mean difference between values that lie `by` pixels apart along the lines."""
    steps = lines[:, by:] - lines[:, :-by]
    np.abs(steps, out=steps)
    return float(np.add.reduce(steps, axis=None, dtype=np.int64)) / steps.size
