"""Two convolutional nets for 28x28 pictures: one with several kinds of normalisation, one trained on oversampled classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build_cnn28_norm(height: int, width: int, classes: int) -> Any:
    """Small valid convolutions, batch and group normalisation. 59,005 parameters at 28x28 and seven classes (58,412 trainable).

    The Normalization layer after Flatten was never adapted in the notebook: mean 0, variance 1, an identity whose statistics
    count as parameters.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Rescaling(1 / 255.0)(inputs)
    x = layers.Conv2D(30, 5, activation="relu")(x)
    x = layers.Conv2D(30, 3, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(20, 3, activation="relu")(x)
    x = layers.Conv2D(15, 3, activation="relu")(x)
    x = layers.Conv2D(15, 3, activation="relu")(x)
    x = layers.GroupNormalization(3)(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(10, 2, activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Normalization()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(128, activation="relu")(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cnn28_norm")


def build_cnn28_oversampled(height: int, width: int, classes: int) -> Any:
    """Five convolutions and a tapering head. 504,103 parameters at 28x28 and seven classes (502,983 trainable).

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255, used as they are → softmax float32 [batch, classes].
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(128, 3, activation="relu")(x)
    x = layers.Conv2D(256, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(32, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cnn28_oversampled")
