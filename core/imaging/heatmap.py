"""A map of which places of a picture speak for a class, drawn to be laid over the picture."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.imaging.decoding import Resize

MAX_SIDE: Final = 256  # pixels; a map has few places, and a browser scales it smoothly
# Violet to yellow, equally spaced: of matplotlib's viridis (CC0), which grows lighter evenly and does without red and green.
_STOPS: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def draw_heatmap(values: NDArray[np.uint8], *, size: tuple[int, int], seen: tuple[int, int], resize: Resize) -> bytes:
    """A PNG in the aspect ratio of the whole upright picture; the stronger a place, the less transparent and the more yellow.

    Args:
        values: uint8 [h, w] of the picture as the model sees it, 255 at the strongest place.
        size: (width, height) of the original, upright.
        seen: (width, height) of what the model sees.
        resize: how the one becomes the other. What "crop" cuts off is transparent; what "pad" adds is left out.
    """
    scale = MAX_SIDE / max(size)
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    across, down = _share(size, seen, resize)
    rows = _weights(values.shape[0], height, down)
    columns = _weights(values.shape[1], width, across)
    drawn = np.rint(rows @ values.astype(np.float64) @ columns.T).astype(np.uint8)
    image = Image.frombytes("P", (width, height), drawn.tobytes())
    image.putpalette(_palette().tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True, transparency=bytes(range(256)))
    return stream.getvalue()


def _share(size: tuple[int, int], seen: tuple[int, int], resize: Resize) -> tuple[float, float]:
    """How much of the picture, across and down, the model sees around its middle; more than 1 where a border was added."""
    if resize == "stretch":
        return 1.0, 1.0
    aspect = seen[0] / seen[1] * size[1] / size[0]
    choose = min if resize == "crop" else max
    return choose(1.0, aspect), choose(1.0, 1 / aspect)


def _weights(places: int, pixels: int, share: float) -> NDArray[np.float64]:
    """Linear interpolation along one side: what each place contributes to each pixel, float64 [pixels, places]."""
    at = ((np.arange(pixels) + 0.5) / pixels - 0.5) / share + 0.5  # where the pixel lies in what the model sees, 0…1
    position = np.clip(at * places - 0.5, 0, places - 1)  # beyond the middle of the outermost place: that place
    weights: NDArray[np.float64] = np.maximum(0.0, 1 - np.abs(position[:, None] - np.arange(places)))
    weights[(at < 0) | (at > 1)] = 0
    return weights


def _palette() -> NDArray[np.uint8]:
    """uint8 [256, 3]."""
    at = np.linspace(0, len(_STOPS) - 1, 256)
    channels = [np.interp(at, range(len(_STOPS)), channel) for channel in zip(*_STOPS, strict=True)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
