"""Random geometric and colour changes of a batch. Whoever calls draws the numbers, so that a run can be repeated.

On any backend of Keras, and inside `tf.data`.

All geometry is one affine map, so an image is interpolated once. Dermatoscopic pictures have no up or down: any rotation is
allowed, as are both mirror images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from training.experiments.base import Augmentation

# draw(shape, stream, low, high): float32 of this shape, uniform over low…high. Streams count from 1; each is asked for once.
Draw = Callable[[Any, int, float, float], Any]

TINT = 8  # the one stream of three numbers an image; all others have one
COLUMNS = 17  # numbers an image, of all streams


def draw_from(columns: Any) -> Draw:
    """A `Draw` that hands out numbers drawn before: float32 [n, COLUMNS], uniform over 0…1."""

    def draw(shape: Any, stream: int, low: float, high: float) -> Any:
        first = stream - 1 if stream <= TINT else stream + 1
        values = columns[:, first : first + (3 if stream == TINT else 1)]
        return low + (high - low) * ops.reshape(values, (-1, *shape[1:]))

    return draw


def augment(images: Any, draw: Draw, settings: Augmentation) -> Any:
    """A changed copy of `images`, float32 [n, h, w, 3] in 0…255."""
    changed = _colour(_geometry(images, draw, settings), draw, settings)
    return _vignette(changed, draw, settings.vignettes) if settings.vignettes else changed


def _geometry(images: Any, draw: Draw, settings: Augmentation) -> Any:
    """One affine map per image about its centre; what comes from outside is mirrored."""
    n, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
    angle = draw([n], 1, -1.0, 1.0) * (settings.rotation_degrees * math.pi / 180.0)
    scale = 1.0 + draw([n], 2, -1.0, 1.0) * settings.zoom
    aspect = 1.0 + draw([n], 3, -1.0, 1.0) * settings.stretch
    mirror = ops.sign(draw([n], 4, -1.0, 1.0)) if settings.flip else 1.0
    flip = ops.sign(draw([n], 5, -1.0, 1.0)) if settings.flip else 1.0
    shift_x = draw([n], 6, -1.0, 1.0) * (settings.shift * width)
    shift_y = draw([n], 7, -1.0, 1.0) * (settings.shift * height)
    cos, sin = ops.cos(angle), ops.sin(angle)
    across, down = mirror / (scale * aspect), flip * aspect / scale
    if settings.squares:  # the middle 3:4 of the width, stretched: what a square crop does to a picture of 4:3
        across *= ops.where(draw([n], 12, 0.0, 1.0) < settings.squares, 0.75, 1.0)
    a0, a1 = across * cos, -across * sin
    b0, b1 = down * sin, down * cos
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    a2 = centre_x + shift_x - a0 * centre_x - a1 * centre_y
    b2 = centre_y + shift_y - b0 * centre_x - b1 * centre_y
    zero = ops.zeros_like(a0)
    moves = ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    return ops.image.affine_transform(images, moves, interpolation="bilinear", fill_mode="reflect", data_format="channels_last")


def _vignette(images: Any, draw: Draw, share: float) -> Any:
    """Darkens some of the pictures outside a circle: its radius 0.8 to 1.3 half sides, its edge up to a tenth of one wide."""
    n, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
    down, across = (ops.linspace(-1.0, 1.0, size) for size in (height, width))
    distance = ops.sqrt(down[:, None] ** 2 + across[None, :] ** 2)[None, :, :, None]
    scalar = [n, 1, 1, 1]
    radius, edge = draw(scalar, 13, 0.8, 1.3), draw(scalar, 14, 0.01, 0.1)
    inside = ops.sigmoid((radius - distance) / edge)
    return images * ops.where(draw(scalar, 15, 0.0, 1.0) < share, inside, 1.0)


def _colour(images: Any, draw: Draw, settings: Augmentation) -> Any:
    n = ops.shape(images)[0]
    scalar = [n, 1, 1, 1]
    gain = 1.0 + draw([n, 1, 1, 3], TINT, -1.0, 1.0) * settings.tint
    brightness = draw(scalar, 9, -1.0, 1.0) * (settings.brightness * 255.0)
    contrast = 1.0 + draw(scalar, 10, -1.0, 1.0) * settings.contrast
    saturation = 1.0 + draw(scalar, 11, -1.0, 1.0) * settings.saturation
    images = images * gain
    grey = ops.mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * saturation
    mean = ops.mean(images, axis=[1, 2, 3], keepdims=True)
    return ops.clip(mean + (images - mean) * contrast + brightness, 0.0, 255.0)
