"""The net of the over-fitting study: large enough to learn its training images by heart."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build_study(height: int, width: int, classes: int, *, dropout: float = 0.0) -> Any:
    """Three convolutions with max pooling and a dense layer of 128, with or without dropout before and after it.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dropout(dropout)(layers.Dense(128, activation="relu")(x))
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="study")
