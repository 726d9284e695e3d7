"""Random geometric and colour changes of a batch, drawn from stateless seeds so that a run can be repeated.

All geometry is one affine map, so an image is interpolated once. Dermatoscopic pictures have no up or down: any rotation is
allowed, as are both mirror images.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from training.experiments.base import Augmentation


def augment(images: Any, seed: Any, settings: Augmentation) -> Any:
    """A changed copy of `images` (float32 [n, h, w, 3] in 0…255) under `seed` (int [2])."""
    changed = _colour(_geometry(images, seed, settings), seed, settings)
    return _vignette(changed, seed, settings.vignettes) if settings.vignettes else changed


def _uniform(shape: Any, seed: Any, stream: int, low: float, high: float) -> Any:
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, stream), low, high)


def _geometry(images: Any, seed: Any, settings: Augmentation) -> Any:
    """One affine map per image about its centre; what comes from outside is mirrored."""
    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    angle = _uniform([n], seed, 1, -1.0, 1.0) * (settings.rotation_degrees * math.pi / 180.0)
    scale = 1.0 + _uniform([n], seed, 2, -1.0, 1.0) * settings.zoom
    aspect = 1.0 + _uniform([n], seed, 3, -1.0, 1.0) * settings.stretch
    mirror = tf.sign(_uniform([n], seed, 4, -1.0, 1.0)) if settings.flip else tf.ones([n])
    flip = tf.sign(_uniform([n], seed, 5, -1.0, 1.0)) if settings.flip else tf.ones([n])
    shift_x = _uniform([n], seed, 6, -1.0, 1.0) * (settings.shift * width)
    shift_y = _uniform([n], seed, 7, -1.0, 1.0) * (settings.shift * height)
    cos, sin = tf.cos(angle), tf.sin(angle)
    across, down = mirror / (scale * aspect), flip * aspect / scale
    if settings.squares:  # the middle 3:4 of the width, stretched: what a square crop does to a picture of 4:3
        across *= tf.where(_uniform([n], seed, 12, 0.0, 1.0) < settings.squares, 0.75, 1.0)
    a0, a1 = across * cos, -across * sin
    b0, b1 = down * sin, down * cos
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    a2 = centre_x + shift_x - a0 * centre_x - a1 * centre_y
    b2 = centre_y + shift_y - b0 * centre_x - b1 * centre_y
    zero = tf.zeros([n])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _vignette(images: Any, seed: Any, share: float) -> Any:
    """Darkens some of the pictures outside a circle: its radius 0.8 to 1.3 half sides, its edge up to a tenth of one wide."""
    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    down, across = (tf.linspace(-1.0, 1.0, size) for size in (height, width))
    distance = tf.sqrt(down[:, None] ** 2 + across[None, :] ** 2)[None, :, :, None]
    scalar = [n, 1, 1, 1]
    radius, edge = _uniform(scalar, seed, 13, 0.8, 1.3), _uniform(scalar, seed, 14, 0.01, 0.1)
    inside = tf.sigmoid((radius - distance) / edge)
    return images * tf.where(_uniform(scalar, seed, 15, 0.0, 1.0) < share, inside, 1.0)


def _colour(images: Any, seed: Any, settings: Augmentation) -> Any:
    n = tf.shape(images)[0]
    scalar = [n, 1, 1, 1]
    gain = 1.0 + _uniform([n, 1, 1, 3], seed, 8, -1.0, 1.0) * settings.tint
    brightness = _uniform(scalar, seed, 9, -1.0, 1.0) * (settings.brightness * 255.0)
    contrast = 1.0 + _uniform(scalar, seed, 10, -1.0, 1.0) * settings.contrast
    saturation = 1.0 + _uniform(scalar, seed, 11, -1.0, 1.0) * settings.saturation
    images = images * gain
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * saturation
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value(mean + (images - mean) * contrast + brightness, 0.0, 255.0)
