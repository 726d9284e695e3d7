"""The net for the nine ISIC classes at 180x180. Published are its kinds of layers, not their sizes."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build_isic9_cnn(height: int, width: int, classes: int) -> Any:
    """Four normalised convolutions with max pooling, dropout, a dense layer.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Rescaling(1 / 255.0)(inputs)
    for filters in (16, 32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        # Without it plain SGD is at 35 % on the training images after thirty epochs. Epochs are short: 0.99 would lag behind.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.MaxPooling2D(2)(layers.Activation("relu")(x))
    x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="isic9_cnn")
