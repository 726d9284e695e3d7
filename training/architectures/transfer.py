"""Bases pretrained on ImageNet under a new head: first the head alone learns, then the top of the base too.

Keras keeps its downloads below `~/.keras`; where nothing can be downloaded, `--weights PATH` names a file of the same form
("notop"), and `--weights none` starts from random numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers

from core.errors import InvalidRequestError
from training.architectures.efficientnet_lite import PIXELS, build_lite_base
from training.pretrained import PACKAGES

_MINUS_ONE_TO_ONE = {"scale": 1 / 127.5, "offset": -1.0}
# Centred and scaled channel by channel, as the base was trained: (x / 255 - mean) / deviation.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CENTRED = {
    "scale": tuple(1 / (255 * deviation) for deviation in _DEVIATION),
    "offset": tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
}
BASES: dict[str, dict[str, Any]] = {
    "InceptionV3": _MINUS_ONE_TO_ONE,
    "Xception": _MINUS_ONE_TO_ONE,
    "ResNet50V2": _MINUS_ONE_TO_ONE,
    "DenseNet121": _CENTRED,
    "EfficientNetLite0": PIXELS,
}
LITE = {"EfficientNetLite0": "lite0"}  # built here, not by Keras; their weights come as packages
BASE_NAME = "base"


def build_transfer(height: int, width: int, classes: int, *, base: str, weights: str = "imagenet", units: int = 256) -> Any:
    """A frozen base, global average pooling, batch normalisation, dense ReLU, dropout, softmax.

    Args:
        height: pixels.
        width: pixels.
        classes: how many.
        base: one of `BASES`.
        weights: "imagenet", "none" or the path of a `notop` weights file; for EfficientNet-Lite "none", the name of a weights
            package or the path of a `.pth` file.
        units: of the dense layer.

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].

    Raises:
        InvalidRequestError: no such base or no such file.
    """
    if base not in BASES:
        raise InvalidRequestError(f"base {base!r}: expected one of {sorted(BASES)}")
    inputs = keras.Input((height, width, 3), name="images")
    network = load_base(base, weights, height, width)
    network.trainable = False
    x = network(
        layers.Rescaling(**BASES[base])(inputs), training=False
    )  # its batch normalisation keeps its statistics, thawed too
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"transfer_{base.lower()}")


def thaw(model: Any, count: int) -> None:
    """Lets the last `count` layers of the base learn; its batch normalisations stay as they are. Compile anew afterwards."""
    base = model.get_layer(BASE_NAME)
    base.trainable = True
    frozen = base.layers[:-count] if count else base.layers
    for layer in frozen:
        layer.trainable = False
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def load_base(base: str, weights: str, height: int, width: int) -> Any:
    """The convolutions of a base with these weights.

    Raises:
        InvalidRequestError: no such file or package, or Keras cannot fetch the weights.
    """
    if base in LITE:
        return build_lite_base(height, width, LITE[base], weights, BASE_NAME)
    if weights in PACKAGES:
        raise InvalidRequestError(
            f"--weights {weights}: expected weights of {base}, this package has those of EfficientNet-Lite; "
            "name 'imagenet', 'none' or the path of a file"
        )
    if weights not in {"none", "imagenet"} and not Path(weights).is_file():
        raise InvalidRequestError(f"--weights {weights}: expected 'imagenet', 'none' or the path of a weights file")
    try:
        return getattr(keras.applications, base)(
            include_top=False,
            weights=None if weights == "none" else weights,
            input_shape=(height, width, 3),
            name=BASE_NAME,
        )
    except Exception as error:  # Keras wraps what the network says in a plain Exception
        if not isinstance(error.__context__, OSError):
            raise
        raise InvalidRequestError(
            f"--weights imagenet: the weights of {base} cannot be fetched ({error.__context__}); pass the path of its 'notop' "
            "file with --weights PATH, or --weights none to start from random numbers"
        ) from error
