"""A SavedModel that reads tensorflow.Examples: classes and values of one feature, `x`, and a scalar text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.embedded.tensorflow_runtime import tf

CLASSIFY, REGRESS, PREDICT = (f"tensorflow/serving/{method}" for method in ("classify", "regress", "predict"))


def export_example_model(version: Path) -> None:
    """Write the model into a version's folder.

    Signatures: `serving_default` classifies into "low" (score 1 - x) and "high" (x); `value` regresses to x; `flat` is no
    regression, two values each; `labels` gives classes alone; `greet` (float `x` → text `text`) answers one scalar string.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})
        scores = tf.concat([1 - parsed["x"], parsed["x"]], axis=1)
        classes = tf.tile([["low", "high"]], [tf.shape(examples)[0], 1])
        number = tf.compat.v1.placeholder(tf.float32, [], "number")
        signatures = {
            "serving_default": _signature(CLASSIFY, {"inputs": examples}, {"classes": classes, "scores": scores}),
            "labels": _signature(CLASSIFY, {"inputs": examples}, {"classes": classes}),
            "value": _signature(REGRESS, {"inputs": examples}, {"outputs": parsed["x"]}),
            "flat": _signature(REGRESS, {"inputs": examples}, {"outputs": scores}),
            "greet": _signature(PREDICT, {"x": number}, {"text": tf.strings.format("x is {}", number)}),
        }
        builder = tf.compat.v1.saved_model.Builder(str(version))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def _signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    of = tf.compat.v1.saved_model.build_tensor_info
    return tf.compat.v1.saved_model.build_signature_def(
        {alias: of(tensor) for alias, tensor in inputs.items()},
        {alias: of(tensor) for alias, tensor in outputs.items()},
        method,
    )
