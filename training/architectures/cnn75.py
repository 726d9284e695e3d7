"""The VGG-like net for 75x100 pictures, with a dense head and with a recurrent one.

The notebook centres the pixels with mean and deviation of its training images; here they are two constants in the graph, so
that whoever runs the model need not know them. `training.standardise` measures them on the training part of each run.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

PIXEL_MEAN = 159.98  # where nothing was measured: about what all splits of HAM10000 have at 75x100
PIXEL_DEVIATION = 46.46


def build_cnn75(height: int, width: int, classes: int, *, mean: float = PIXEL_MEAN, deviation: float = PIXEL_DEVIATION) -> Any:
    """Six convolutions and a dense head of 512. 15,310,919 parameters at 75x100 and seven classes.

    Args:
        height: pixels.
        width: pixels.
        classes: how many.
        mean: of the training part's values, 0…255, over all pixels and channels.
        deviation: of the same.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Dropout(0.5)(_convolutions(inputs, mean, deviation))
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cnn75")


def build_cnn75_lstm(
    height: int, width: int, classes: int, *, mean: float = PIXEL_MEAN, deviation: float = PIXEL_DEVIATION
) -> Any:
    """The same convolutions, read as 144 steps of 192 values by an LSTM. 1,180,615 parameters at 75x100 and seven classes.

    Args:
        height: pixels.
        width: pixels.
        classes: how many.
        mean: of the training part's values, 0…255, over all pixels and channels.
        deviation: of the same.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Reshape((-1, 192))(_convolutions(inputs, mean, deviation))
    x = layers.LSTM(32)(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cnn75_lstm")


def _convolutions(inputs: Any, mean: float, deviation: float) -> Any:
    x = layers.Rescaling(1 / deviation, offset=-mean / deviation)(inputs)
    for _ in range(2):
        x = _convolution(x, 64)
    x = layers.MaxPooling2D(2)(x)
    x = _convolution(x, 128)
    x = layers.Dropout(0.4)(x)
    x = _convolution(x, 128)
    x = layers.MaxPooling2D(2)(x)
    for _ in range(2):
        x = _convolution(x, 256)
    return layers.MaxPooling2D(2)(x)


def _convolution(x: Any, filters: int) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
