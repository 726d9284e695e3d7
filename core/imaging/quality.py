"""Doubts about pictures that their pixels tell: notes, never a refusal. Of many pictures at once, as each call of NumPy costs.

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
_LEAST_SIDE: Final = 16  # pixels of a picture that is looked at for detail


def points_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Evenly spaced points, a view: uint8 [rows, columns, 3].

    Args:
        pixels: the picture as the model sees it, without padding, uint8 [height, width, 3].
    """
    rows, columns = (-(-side // _POINTS) for side in pixels.shape[:2])
    return pixels[::rows, ::columns]


def notes_on_light(points: NDArray[np.uint8]) -> Iterator[tuple[ItemNote, NDArray[np.bool_]]]:
    """greyscale, over_exposed, under_exposed, each with the pictures that have it, bool [pictures].

    Args:
        points: of pictures of one size, uint8 [pictures, rows, columns, 3].
    """
    red, green, blue = (points[..., channel].reshape(len(points), -1) for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    count = brightest.shape[1]
    mean = np.add.reduce(brightest, axis=1, dtype=np.int64) / count
    yield ItemNote.GREYSCALE, np.maximum.reduce(brightest - darkest, axis=1) <= 1 + mean / 16
    bright = _count(brightest >= 250) > count / 4
    if bright.any():
        bright &= (_count(darkest >= 250) > count / 4) | (_count(brightest >= 254) > count * 3 / 4)
    yield ItemNote.OVER_EXPOSED, bright
    dark = mean <= _DARK_MEAN
    if dark.any():
        dark &= _count(brightest > 95) < count / 20
    yield ItemNote.UNDER_EXPOSED, dark


def lines_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """Evenly spaced rows and columns of a decoded picture, as long as its shorter side: a copy, uint8 [lines, length].

    None of a picture that is too small to be looked at for detail.

    Args:
        image: decoded, in mode L or RGB, at least twice the model's input where the file has as much. Of colours, green is
            taken, which has most of the light.
    """
    width, height = image.size
    side = min(width, height)
    if side < _LEAST_SIDE:
        return None
    if width * height <= _SMALL:  # one copy costs less than two passes
        return lines_of_green(_green(image))
    rows = image.resize((width, min(_LINES, height)), Image.Resampling.NEAREST)
    columns = image.resize((min(_LINES, width), height), Image.Resampling.NEAREST)
    return np.concatenate((_green(rows)[:, :side], _green(columns).T[:, :side]))


def lines_of_green(green: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """As `lines_of`, of the picture's green channel: uint8 [height, width]."""
    height, width = green.shape
    side = min(width, height)
    if side < _LEAST_SIDE:
        return None
    return np.concatenate((green[:: -(-height // _LINES), :side], green[:side, :: -(-width // _LINES)].T))


def are_blurred(lines: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pictures have no detail finer than about four pixels, at the scale at which they were decoded: bool [pictures].

    Along a smooth curve the step over two pixels is twice the step over one. Where there is detail, it is less than that.

    Args:
        lines: of pictures of one size, uint8 [pictures, lines, length].
    """
    values = lines.astype(np.int16)
    two = _step(values, 2)
    smooth = _step(values, 1) < _SHARPEST[0] * two  # most pictures have detail, and need no third look
    if smooth.any():
        four = _step(values[smooth], 4)
        smooth[smooth] = (four > _LEAST_STEP) & (two[smooth] < _SHARPEST[1] * four)
    return smooth


def _green(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image)
    return values[..., 1] if values.ndim == 3 else values


def _count(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of each row: bool [rows, columns] → [rows]."""
    counts: NDArray[np.int64] = np.add.reduce(chosen, axis=1, dtype=np.int64)
    return counts


def _step(lines: NDArray[np.int16], by: int) -> NDArray[np.float64]:
    """The mean difference between values that lie `by` pixels apart along the lines, of each picture."""
    steps = lines[..., by:] - lines[..., :-by]
    np.abs(steps, out=steps)
    means: NDArray[np.float64] = np.add.reduce(steps, axis=(1, 2), dtype=np.int64) / (steps.shape[1] * steps.shape[2])
    return means
