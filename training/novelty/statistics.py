"""Twelve figures of the pixels themselves: brightness, contrast and roughness.

A network that was trained with strong augmentation hardly sees noise or a flat colour in its last features. These show both.
"""

from __future__ import annotations

from typing import Any

import keras

STATISTICS = 12  # four for each channel
_CHANNELS = 3
_COARSE = 4  # pixels across of a block whose mean is one coarse pixel
_LEAST = 1e-3  # of a deviation or roughness in 0…1, before the logarithm: less than half a step of a byte


def statistics_of(pixels: Any) -> Any:
    """Mean, log deviation, and log roughness of single pixels and of blocks; for each channel.

    Args:
        pixels: float32 or uint8 [n, height, width, 3] in 0…255, an array or a traced tensor; 8 pixels or more each way.

    Returns:
        float32 [n, STATISTICS].
    """
    values = keras.ops.cast(pixels, "float32")
    blocks = keras.ops.average_pool(values, _COARSE, strides=_COARSE, padding="valid", data_format="channels_last")
    rows, coarse = _rows(values), _rows(blocks)
    mean = _mean(rows)
    parts = [mean / 255, *map(_log, (_deviation(rows, mean), _roughness(rows), _roughness(coarse)))]
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


def _rows(values: Any) -> Any:
    """[n, height, width, 3] → [n, height, 3 · width]: arithmetic over long rows is quick, over three values it is not."""
    return keras.ops.reshape(values, (-1, values.shape[1], values.shape[2] * _CHANNELS))


def _mean(rows: Any) -> Any:
    """Of each channel, over all pixels: [n, height, 3 · width] → [n, 3]. The rows are added up first."""
    of_columns = keras.ops.mean(rows, axis=1)
    return keras.ops.mean(keras.ops.reshape(of_columns, (-1, rows.shape[2] // _CHANNELS, _CHANNELS)), axis=1)


def _deviation(rows: Any, mean: Any) -> Any:
    around = rows - keras.ops.tile(mean, (1, rows.shape[2] // _CHANNELS))[:, None]
    return keras.ops.sqrt(_mean(keras.ops.square(around)))


def _roughness(rows: Any) -> Any:
    """Mean absolute difference between neighbours, across and down."""
    across = keras.ops.abs(rows[:, :, _CHANNELS:] - rows[:, :, :-_CHANNELS])
    down = keras.ops.abs(rows[:, 1:] - rows[:, :-1])
    return _mean(across) + _mean(down)


def _log(values: Any) -> Any:
    return keras.ops.log(values / 255 + _LEAST)
