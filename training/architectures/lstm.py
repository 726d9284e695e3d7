"""The recurrent net that reads a 28x28 picture as 28 steps of one row, 84 values each."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build_lstm(height: int, width: int, classes: int, *, dropout: float = 0.5) -> Any:
    """LSTM 128 → LSTM 64 → LSTM 32, each followed by dropout, → softmax. 171,111 parameters at 28x28 and seven classes.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Rescaling(1 / 255.0)(inputs)
    x = layers.Reshape((height, width * 3))(x)
    x = layers.LSTM(128, return_sequences=True)(x)
    x = layers.Dropout(dropout)(x)
    x = layers.LSTM(64, return_sequences=True)(x)
    x = layers.Dropout(dropout)(x)
    x = layers.LSTM(32)(x)
    x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="lstm")
