"""Twelve figures of the pixels themselves: brightness, contrast and roughness.

A network that was trained with strong augmentation hardly sees noise or a flat colour in its last features. These show both.
"""

from __future__ import annotations

from typing import Any

import keras

STATISTICS = 12  # four for each channel
_COARSE = 4  # pixels across of a block whose mean is one coarse pixel
_LEAST = 1e-3  # of a deviation or roughness in 0…1, before the logarithm: less than half a step of a byte


def statistics_of(pixels: Any) -> Any:
    """Mean, log deviation, and log roughness of single pixels and of blocks; for each channel.

    Args:
        pixels: float32 or uint8 [n, height, width, 3] in 0…255, an array or a traced tensor; 8 pixels or more each way.

    Returns:
        float32 [n, STATISTICS].
    """
    values = keras.ops.cast(pixels, "float32") / 255.0
    blocks = keras.ops.average_pool(values, _COARSE, strides=_COARSE, padding="valid", data_format="channels_last")
    parts = [keras.ops.mean(values, axis=(1, 2)), *map(_log, (_deviation(values), _roughness(values), _roughness(blocks)))]
    return keras.ops.concatenate(parts, axis=-1)


class Beside(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """What a detector observes: float32 [n, d] and the pixels they are of → float32 [n, d + STATISTICS].

    One layer, so that its operations bear no names that the network has, too.
    """

    def call(self, features: Any, pixels: Any) -> Any:
        return beside(features, pixels)


def beside(features: Any, pixels: Any) -> Any:
    """As the layer `Beside`, of arrays."""
    return keras.ops.concatenate([features, statistics_of(pixels)], axis=-1)


def _deviation(values: Any) -> Any:
    return keras.ops.std(values, axis=(1, 2))


def _roughness(values: Any) -> Any:
    """Mean absolute difference between neighbours, across and down."""
    across = keras.ops.abs(values[:, :, 1:] - values[:, :, :-1])
    down = keras.ops.abs(values[:, 1:] - values[:, :-1])
    return keras.ops.mean(across, axis=(1, 2)) + keras.ops.mean(down, axis=(1, 2))


def _log(values: Any) -> Any:
    return keras.ops.log(values + _LEAST)
