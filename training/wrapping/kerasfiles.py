"""`.keras` files. Keras's safe mode is on: a layer that holds Python code is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from core.errors import InvalidRequestError
from training.wrapping.foreign import Foreign, choose_one

_FIRST_LAYERS = 4  # where a model scales its input by itself: after the input, and perhaps a resizing
_SCALING = ("Rescaling", "Normalization")


def open_keras_file(path: Path, output_name: str | None) -> Foreign:
    """Open it; raises InvalidRequestError as `open_foreign`."""
    model = _load(path)
    if len(model.inputs) != 1:
        raise InvalidRequestError(
            f"{path}: expected a model of one input, the image, got {[each.name for each in model.inputs]}"
        )
    names = list(model.output_names)
    output = choose_one(names, output_name, what="outputs", option="--output-name")
    position = names.index(output)

    def call(images: Any) -> Any:
        answers = model(images, training=False)
        if isinstance(answers, dict):
            return answers[output]
        return answers[position] if isinstance(answers, list | tuple) else answers

    (image,) = model.inputs
    return Foreign(
        kind="Keras file",
        call=call,
        input_name=image.name,
        input_dtype=tf.as_dtype(image.dtype),
        input_shape=tuple(image.shape),
        output_name=output,
        scales_itself=any(type(layer).__name__ in _SCALING for layer in model.layers[:_FIRST_LAYERS]),
        network=keras.Model(model.inputs, model.outputs[position]),
        owner=model,
    )


def _load(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise InvalidRequestError(f"{path}: expected a .keras file, which is a ZIP; write it with `model.save('model.keras')`")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, ImportError, AttributeError) as error:
        message = " ".join(str(error).split())[:300]
        lambdas = "lambda" in message.lower()
        advice = (
            "a Lambda layer holds Python code, which is never run: put built-in layers or keras.ops in its place, or export "
        )
        other = "a layer of the team's own is code that is not here: export "
        raise InvalidRequestError(
            f"{path}: Keras {keras.__version__} cannot load it safely: {message}; {advice if lambdas else other}"
            "the model where it was made (`model.export('folder')`) and wrap that folder"
        ) from error
    if not getattr(model, "inputs", None):
        raise InvalidRequestError(f"{path}: expected a model that says its input; build it before it is saved")
    return model
