"""The starter: a small residual net of plain 3x3 convolutions, which run fast on a CPU (depthwise ones do not)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build_starter(
    height: int,
    width: int,
    classes: int,
    *,
    widths: tuple[int, ...] = (24, 48, 96, 160),
    blocks: tuple[int, ...] = (1, 1, 1, 1),
    dropout: float = 0.3,
) -> Any:
    """A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].

    A stem of stride 2, then stages of residual blocks (He et al. 2016; average-pooled shortcuts after He et al. 2019), each
    stage at half the size of the one before; global average pooling; dropout; softmax.
    """
    inputs = keras.Input((height, width, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = _convolution(x, widths[0], stride=2)
    for stage, (filters, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            x = _residual(x, filters, stride=2 if stage > 0 and block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="starter")


def _convolution(x: Any, filters: int, *, kernel: int = 3, stride: int = 1, activate: bool = True) -> Any:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.97)(x)
    return layers.Activation("relu")(x) if activate else x


def _residual(x: Any, filters: int, *, stride: int) -> Any:
    y = _convolution(x, filters, stride=stride)
    y = _convolution(y, filters, activate=False)
    if stride > 1:
        x = layers.AveragePooling2D(2, padding="same")(x)
    if x.shape[-1] != filters:
        x = _convolution(x, filters, kernel=1, activate=False)
    return layers.Activation("relu")(layers.add([x, y]))
