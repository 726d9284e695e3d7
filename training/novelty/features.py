"""What a detector observes of a picture: what goes into a model's last dense layer, and statistics of the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from core.errors import InvalidRequestError
from training.datasets.base import UInt8Array
from training.novelty.detectors import Float32Array, Head
from training.novelty.statistics import Beside
from training.pipeline import evaluation_batches


def with_observed(model: Any) -> Any:
    """The model with a second output: [softmax [batch, classes], observed [batch, d + STATISTICS]].

    Raises:
        InvalidRequestError: no dense layer, or one whose input is not one row of features a picture.
    """
    return keras.Model(model.input, [model.output, _observed(model)])


def head_of(model: Any) -> Head:
    """The last dense layer's weights; raises as `with_observed`."""
    layer = _last_dense(model)
    kernel = np.asarray(layer.kernel, np.float32)
    bias = np.zeros(kernel.shape[1], np.float32) if layer.bias is None else np.asarray(layer.bias, np.float32)
    return Head(kernel, bias)


def observer_of(model: Any) -> Callable[[UInt8Array], Float32Array]:
    """A function from pixels uint8 [n, height, width, 3] to float32 [n, d + STATISTICS]; raises as `with_observed`."""
    until_there = keras.Model(model.input, _observed(model))

    def compute(pixels: UInt8Array) -> Float32Array:
        observed: Float32Array = until_there.predict(evaluation_batches(pixels), verbose=0)
        return observed.astype(np.float32, copy=False)

    return compute


def _observed(model: Any) -> Any:
    return Beside(name="observed")(_last_dense(model).input, model.input)


def _last_dense(model: Any) -> Any:
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if not found:
        names = ", ".join(type(layer).__name__ for layer in model.layers[-3:])
        raise InvalidRequestError(
            f"model {model.name}: expected a dense layer, whose input is compared with the training part's, found none (it "
            f"ends in {names}); export it with --novelty none"
        )
    if len(found[-1].input.shape) != 2:
        raise InvalidRequestError(
            f"model {model.name}: expected the input of {found[-1].name} to be [batch, features], got "
            f"{list(found[-1].input.shape)}; export it with --novelty none"
        )
    return found[-1]
