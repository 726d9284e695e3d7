"""A picture and what is known of the patient, fused before the last layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from training.architectures.starter import build_starter

METADATA_INPUT = "metadata"


def build_fused(
    height: int,
    width: int,
    classes: int,
    *,
    nothing_known: Sequence[float],
    widths: Sequence[int] = (24, 48, 96, 160),
    forget: float = 0.2,
    dropout: float = 0.3,
) -> Any:
    """The starter's convolutions, concatenated with a small dense branch for the metadata, under a dense head.

    Args:
        height: pixels.
        width: pixels.
        classes: how many.
        nothing_known: of `training.metadata.MetadataEncoder`; its length is the number of columns.
        widths: of the convolutions' stages.
        forget: share of the patients of whom nothing is known in training (dropout of whole rows), so that the net does not
            lean on the metadata alone.
        dropout: before the last layer.

    Returns:
        A `keras.Model` of two inputs, `images` float32 [batch, height, width, 3] in 0…255 and `metadata` float32
        [batch, columns] → softmax float32 [batch, classes].
    """
    stages = tuple(widths)
    convolutions = build_starter(height, width, 2, widths=stages, blocks=(1,) * len(stages), dropout=0.0)
    pooled = next(layer for layer in convolutions.layers if isinstance(layer, layers.GlobalAveragePooling2D))
    known = keras.Input((len(nothing_known),), name=METADATA_INPUT)
    y = layers.Rescaling(1.0, offset=tuple(-float(value) for value in nothing_known))(known)  # nothing known is 0 now
    y = layers.Dropout(forget, noise_shape=(None, 1))(y)  # whole rows
    y = layers.Dense(32, activation="relu")(y)
    x = layers.concatenate([pooled.output, y])
    x = layers.Dropout(dropout)(layers.Dense(128, activation="relu")(x))
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model({"images": convolutions.input, METADATA_INPUT: known}, outputs, name="fused")
