"""Writes a model as a SavedModel that keeps the contract of `core.modelspec`.

The graph is frozen: weights become constants, so that a TF1 session (what TensorFlow Serving runs on) has no variable to
initialise, and a CPU needs about a quarter less time. Batch normalisation is folded into convolutions (`training.folding`).
Weights that float16 holds exactly take half the space (`training.compact`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from core.evaluation.metrics import SMALLEST
from core.modelspec import (
    DESCRIBE_INPUT_ALIAS,
    DESCRIBE_OUTPUT_ALIAS,
    DESCRIBE_SIGNATURE,
    EXPLAIN_OUTPUT_ALIAS,
    EXPLAIN_SIGNATURE,
    INPUT_ALIAS,
    NOVELTY_ALIAS,
    OUTPUT_ALIAS,
    ModelSpec,
)
from training.compact import halve_constants
from training.folding import fold_normalisation
from training.novelty.features import with_observed
from training.rewriting import rewritten
from training.saliency import Explainer

SERVING_SIGNATURE = "serving_default"
VIEWS_SIGNATURE = "tta"


def write_saved_model(
    model: Any,
    spec: ModelSpec,
    directory: Path,
    *,
    tta: bool = False,
    novelty: Callable[[Any], Any] | None = None,
    explainer: Explainer | None = None,
) -> None:
    """Writes `serving_default` and `describe`, and `tta` and `explain` if asked for, into a new folder.

    `tta` (test-time augmentation) takes and gives what `serving_default` does, at eight times the price for square pictures and
    four times for others: the mean of its answers to the picture's symmetries, as in `training.views`. With `novelty` both have
    a second output of that name. `explain` takes the same input and gives the maps of all classes (`training.saliency`): so a
    server may batch it, and one answer is enough for whoever looks at several classes. All share one copy of the weights.

    Args:
        model: a `keras.Model`, float32 [batch, height, width, 3] in 0…255 → softmax [batch, classes].
        spec: what `describe` answers; its temperature is folded into the graph.
        directory: must not exist yet.
        tta: add the signature `tta`.
        novelty: of what `training.novelty.features` observes, float32 [batch, d + STATISTICS] → float32 [batch]; the second
            output, where the spec has one.
        explainer: of this model; for the signature `explain`, where the spec has one.

    Raises:
        InvalidRequestError: the model has no features that novelty could be measured of.
    """
    if (novelty is None) != (spec.novelty is None):
        raise AssertionError("the graph measures novelty and the spec says how, or neither")
    if spec.explain != (explainer.spec if explainer else None):
        raise AssertionError("the graph explains, and the spec says how, or neither")
    archive = keras.export.ExportArchive()
    image_spec = tf.TensorSpec([None, spec.input_height, spec.input_width, 3], tf.uint8, name=INPUT_ALIAS)
    frozen = _frozen(model, spec.temperature, image_spec, novelty, explainer)
    count = 1 if novelty is None else 2  # of the answers that are no maps; nobody computes the maps who does not take them

    def classify(images: Any) -> list[Any]:
        return list(frozen(images)[:count])

    archive.add_endpoint(SERVING_SIGNATURE, lambda images: _named(classify(images)), input_signature=[image_spec])
    if explainer is not None:
        archive.add_endpoint(
            EXPLAIN_SIGNATURE, lambda images: {EXPLAIN_OUTPUT_ALIAS: frozen(images)[-1]}, input_signature=[image_spec]
        )
    if tta:
        mean = _mean_over_views(classify, spec.input_height == spec.input_width)
        archive.add_endpoint(VIEWS_SIGNATURE, lambda images: _named(mean(images)), input_signature=[image_spec])
    answer = spec.model_dump_json()
    archive.add_endpoint(
        DESCRIBE_SIGNATURE,
        lambda query: {DESCRIBE_OUTPUT_ALIAS: _constant_answer(answer, query)},
        input_signature=[tf.TensorSpec([None], tf.string, name=DESCRIBE_INPUT_ALIAS)],
    )
    archive.write_out(str(directory), verbose=False)


def _named(answers: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((OUTPUT_ALIAS, NOVELTY_ALIAS), answers, strict=False))  # the second is there, or not


def _frozen(
    model: Any, temperature: float, image_spec: Any, novelty: Callable[[Any], Any] | None, explainer: Explainer | None
) -> Any:
    """uint8 images → calibrated probabilities; with `novelty`, what it makes of the observed; with `explainer`, maps."""
    further = [*(with_observed(model).outputs[1:] if novelty else ()), *(explainer.tensors if explainer else ())]
    whole = keras.Model(model.inputs, [*model.outputs, *further]) if further else None

    def answers(images: Any) -> list[Any]:
        pixels = tf.cast(images, tf.float32)
        softmax, *more = whole(pixels, training=False) if whole else [model(pixels, training=False)]
        found = [tf.nn.softmax(tf.math.log(tf.maximum(softmax, SMALLEST)) / temperature)]
        if novelty is not None:
            found.append(novelty(more.pop(0)))
        return found if explainer is None else [*found, explainer.maps(*more)]

    concrete = tf.function(answers, autograph=False).get_concrete_function(image_spec)
    return rewritten(convert_variables_to_constants_v2(concrete), fold_normalisation, halve_constants)


def _mean_over_views(classify: Any, square: bool) -> Any:
    def mean(images: Any) -> list[Any]:
        turned = [tf.image.rot90(images, turn) for turn in (range(4) if square else (0, 2))]
        views = [view for each in turned for view in (each, tf.reverse(each, axis=[2]))]
        answers = classify(tf.concat(views, axis=0))  # one call: a larger batch costs less than eight small ones
        return [tf.reduce_mean(tf.reshape(each, [len(views), -1, *each.shape[1:]]), axis=0) for each in answers]

    return mean


def _constant_answer(answer: str, query: Any) -> Any:
    # As many rows as were asked: a server that merges or pads requests cuts the answer by the rows of each.
    return tf.fill(tf.shape(query), answer)
