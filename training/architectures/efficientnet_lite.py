"""EfficientNet-Lite 0 to 2: EfficientNets without squeeze-and-excitation and with ReLU6, made for small devices.

After the published networks (github.com/tensorflow/tpu, models/official/efficientnet/lite; Tan & Le 2019). Stem and head keep
their widths, and the first and the last stage their depths, in all of them. `training.pretrained` finds the weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from core.errors import InvalidRequestError
from training.pretrained import load_lite_weights
from training.weights import Tensors

VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # factors of width and of depth
PIXELS = {"scale": 1 / 128.0, "offset": -127.0 / 128.0}  # as the networks were trained
_EPSILON = 1e-3
_DEPTH_NAME = "stochastic_depth"


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def build_efficientnet_lite(
    height: int,
    width: int,
    classes: int,
    *,
    variant: str = "lite0",
    weights: str = "none",
    dropout: float = 0.2,
    drop_path: float = 0.0,
) -> Any:
    """The whole network under a new softmax layer; all of it learns.

    Args:
        height: pixels; any size, 32 or more.
        width: pixels.
        classes: how many.
        variant: one of `VARIANTS`.
        weights: "none", the name of a weights package, the path of a `.pth` file, or that of an earlier run's `model.keras`,
            which is then trained further.
        dropout: before the softmax layer.
        drop_path: the share of pictures for which the last residual block is left out in training; linear from 0 at the first
            (stochastic depth, Huang et al. 2016).

    Returns:
        A `keras.Model`: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes].

    Raises:
        InvalidRequestError: no such variant, or weights that are not those of it.
    """
    earlier = weights.endswith(".keras")
    tensors = None if weights == "none" or earlier else load_lite_weights(variant, weights)
    model = _build(height, width, classes, variant=variant, dropout=dropout, drop_path=drop_path)
    if earlier:
        _continue_from(model, Path(weights))
    if tensors is not None:
        copy_tensors(model, tensors, top=False)
    return model


def _continue_from(model: Any, path: Path) -> None:
    """Takes over all weights of an earlier run's model, at whatever size of pictures it was trained."""
    earlier = keras.models.load_model(path, compile=False)
    shapes = [[tuple(weight.shape) for weight in each.weights] for each in (model, earlier)]
    if shapes[0] != shapes[1]:
        raise InvalidRequestError(
            f"--weights {path}: expected the network {model.name} with the same classes, got {earlier.name}"
        )
    model.set_weights(earlier.get_weights())


def build_imagenet_classifier(height: int, width: int, variant: str, weights: str) -> Any:
    """The network with its own last layer of the 1,000 ImageNet classes, to check the weights with.

    Raises:
        InvalidRequestError: as of `build_efficientnet_lite`.
    """
    model = _build(height, width, 1000, variant=variant, dropout=0.0, drop_path=0.0)
    copy_tensors(model, load_lite_weights(variant, weights), top=True)
    return model


def build_lite_base(height: int, width: int, variant: str, weights: str, name: str) -> Any:
    """The convolutions alone, for a head of one's own.

    Returns:
        A `keras.Model`: of (value - 127) / 128, float32 [batch, height, width, 3] → [batch, height / 32, width / 32, 1280].

    Raises:
        InvalidRequestError: as of `build_efficientnet_lite`.
    """
    tensors = None if weights == "none" else load_lite_weights(variant, weights)
    inputs = keras.Input((height, width, 3))
    model = keras.Model(inputs, _features(inputs, variant, 0.0), name=name)
    if tensors is not None:
        copy_tensors(model, tensors, top=False)
    return model


def _build(height: int, width: int, classes: int, *, variant: str, dropout: float, drop_path: float) -> Any:
    inputs = keras.Input((height, width, 3), name="images")
    x = _features(layers.Rescaling(**PIXELS)(inputs), variant, drop_path)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"efficientnet_{variant}")


def _features(x: Any, variant: str, drop_path: float) -> Any:
    if variant not in VARIANTS:
        raise InvalidRequestError(f"variant {variant!r}: expected one of {sorted(VARIANTS)}")
    x = _normalise(layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="_conv_stem")(x), "_bn0")
    blocks = _blocks(variant)
    for number, block in enumerate(blocks):
        x = _inverted_residual(x, block, f"_blocks-{number}-", drop_path * number / (len(blocks) - 1))
    return _normalise(layers.Conv2D(1280, 1, use_bias=False, name="_conv_head")(x), "_bn1")


def _blocks(variant: str) -> list[_Stage]:
    """The blocks one by one, each with `repeats` 1; only the first of a stage has its stride."""
    wide, deep = VARIANTS[variant]
    blocks = []
    for position, stage in enumerate(_STAGES):
        ends = position in (0, len(_STAGES) - 1)
        repeats = stage.repeats if ends else math.ceil(stage.repeats * deep)
        each = stage._replace(repeats=1, filters=_eighths(stage.filters * wide))
        blocks += [each] + [each._replace(stride=1)] * (repeats - 1)
    return blocks


def _eighths(filters: float) -> int:
    """The nearest multiple of 8, no more than a tenth below."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _inverted_residual(x: Any, block: _Stage, name: str, drop_path: float) -> Any:
    entered, filters = x, x.shape[-1]
    if block.expansion > 1:
        x = layers.Conv2D(filters * block.expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalise(x, f"{name}_bn0")
    x = layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _normalise(x, f"{name}_bn1")
    x = layers.Conv2D(block.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalise(x, f"{name}_bn2", activate=False)
    if block.stride > 1 or filters != block.filters:
        return x
    if drop_path:
        x = layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1), name=f"{name}{_DEPTH_NAME}")(x)
    return layers.add([x, entered])


def _normalise(x: Any, name: str, *, activate: bool = True) -> Any:
    x = layers.BatchNormalization(epsilon=_EPSILON, momentum=0.99, name=name)(x)
    return layers.ReLU(6.0)(x) if activate else x


def copy_tensors(model: Any, tensors: Tensors, *, top: bool) -> None:
    """Puts the tensors of a published state dict into the model's layers.

    Args:
        model: of this module.
        tensors: by PyTorch's names; convolutions [out, in, height, width].
        top: the last layer too.

    Raises:
        InvalidRequestError: a tensor is missing or has another shape.
    """
    for layer in model.layers:
        if layer.weights and (top or layer.name != "probabilities"):
            wanted = [tuple(weight.shape) for weight in layer.weights]
            found = _arrays(layer, tensors)
            if [array.shape for array in found] != wanted:
                shapes = [array.shape for array in found]
                raise InvalidRequestError(f"weights: layer {layer.name}: expected shapes {wanted}, got {shapes}")
            layer.set_weights(found)


def _arrays(layer: Any, tensors: Tensors) -> list[np.ndarray[Any, Any]]:
    name = "_fc" if layer.name == "probabilities" else layer.name.replace("-", ".")
    try:
        if isinstance(layer, layers.BatchNormalization):
            return [tensors[f"{name}.{each}"] for each in ("weight", "bias", "running_mean", "running_var")]
        kernel = tensors[f"{name}.weight"]
        if isinstance(layer, layers.Dense):
            return [kernel.T, tensors[f"{name}.bias"]]
    except KeyError as error:
        raise InvalidRequestError(f"weights: expected a tensor named {error}, found none; are they of this variant?") from error
    return [kernel.transpose((2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0))]
