"""A SavedModel small enough to be made inside a test: the real contract, the real loader, a few kilobytes.

Probabilities are a softmax over a linear map of the mean colour: they differ from image to image, can be computed with numpy,
and differ between versions through `bias`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.imaging import preprocessing_hash
from core.modelspec import ExplainSpec, ModelSpec, NoveltySpec

MAP_SIDE = 4  # places of a map, across and down
HAM_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
REJECTED_MEAN = 77  # the rejecting variant refuses an image whose pixels average to exactly this


def tiny_spec(
    name: str = "tiny",
    *,
    height: int = 28,
    width: int = 28,
    classes: tuple[str, ...] = HAM_CLASSES,
    novel: bool = False,
    explaining: bool = False,
) -> ModelSpec:
    """What the tiny model says of itself."""
    malignant = tuple(each for each in classes if each in {"akiec", "bcc", "mel"}) or classes[:1]
    return ModelSpec(
        name=name,
        classes=classes,
        input_height=height,
        input_width=width,
        malignant=malignant,
        thresholds={"balanced": 0.5},
        operating_point="balanced",
        dataset="none",
        preprocessing_hash=preprocessing_hash(height, width, "stretch"),
        licence="CC0-1.0",
        novelty=NoveltySpec(method="distance from grey", threshold=1.0) if novel else None,
        explain=ExplainSpec(method="grad_cam", height=MAP_SIDE, width=MAP_SIDE) if explaining else None,
    )


def tiny_novelty(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the variant with novelty must answer, float32 [batch]: the mean of all values, as a distance from 128 in 64ths."""
    means = images.reshape(len(images), -1).mean(axis=1)
    answer: npt.NDArray[np.float32] = (np.abs(means - 128) / 64).astype(np.float32)
    return answer


def tiny_maps(images: npt.NDArray[np.uint8], *, classes: int = len(HAM_CLASSES)) -> npt.NDArray[np.float32]:
    """What the variant that explains must answer: float32 [batch, MAP_SIDE, MAP_SIDE, classes].

    The class activation map of a linear map of the mean colour: that map of the mean colour of each place.
    """
    batch, height, width, _ = images.shape
    blocks = images.astype(np.float32).reshape(batch, MAP_SIDE, height // MAP_SIDE, MAP_SIDE, width // MAP_SIDE, 3)
    raw = np.maximum(blocks.mean(axis=(2, 4)) / 255 @ _parameters(classes, 0.0)[0], 0)
    highest = raw.max(axis=(1, 2), keepdims=True)
    answer: npt.NDArray[np.float32] = np.divide(raw, highest, out=np.zeros_like(raw), where=highest > 0)
    return answer


def tiny_probabilities(
    images: npt.NDArray[np.uint8], *, classes: int = len(HAM_CLASSES), bias: float = 0.0
) -> npt.NDArray[np.float32]:
    """What the model must answer for uint8 [batch, height, width, 3], computed with numpy: float32 [batch, classes]."""
    weights, offsets = _parameters(classes, bias)
    mean = images.astype(np.float32).mean(axis=(1, 2)) / 255
    logits = mean @ weights + offsets
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    answer: npt.NDArray[np.float32] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return answer


def export_tiny_model(
    base: Path,
    version: int,
    *,
    height: int = 28,
    width: int = 28,
    classes: tuple[str, ...] = HAM_CLASSES,
    bias: float = 0.0,
    rejecting: bool = False,
    describing: bool = True,
    spec_json: str | None = None,
    name: str = "tiny",
    novel: bool = False,
    explaining: bool = False,
) -> Path:
    """Export `base/version`, published by an atomic rename as a server that polls expects.

    Args:
        base: the model's folder; made if absent.
        version: its version.
        height: of the input, pixels.
        width: of the input, pixels.
        classes: class names, in the order of the probabilities.
        bias: added to the first class's logit, to tell versions apart.
        rejecting: fail a batch (INVALID_ARGUMENT) that holds an image whose mean is exactly REJECTED_MEAN.
        describing: with the `describe` signature.
        spec_json: what `describe` answers instead of `tiny_spec`.
        name: of the model, in its spec.
        novel: with the second output `novelty`, as `tiny_novelty` computes it.
        explaining: with the signature `explain`, as `tiny_maps` computes it; height and width are multiples of MAP_SIDE.

    Returns:
        The version's folder.
    """
    import tensorflow as tf

    spec = tiny_spec(name, height=height, width=width, classes=classes, novel=novel, explaining=explaining)
    text = spec_json or spec.model_dump_json()
    module = _module(tf, (height, width), len(classes), bias=bias, rejecting=rejecting, novel=novel, text=text)
    signatures = {"serving_default": module.classify}
    if describing:
        signatures["describe"] = module.describe
    if explaining:
        signatures["explain"] = module.explain
    base.mkdir(parents=True, exist_ok=True)
    unfinished = base / f".{version}.unfinished"
    tf.saved_model.save(module, str(unfinished), signatures=signatures)
    return unfinished.rename(base / str(version))


def _parameters(classes: int, bias: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(20260701)
    weights = rng.normal(scale=4.0, size=(3, classes)).astype(np.float32)
    offsets = np.zeros(classes, np.float32)
    offsets[0] = bias
    return weights, offsets


def _module(tf: Any, size: tuple[int, int], classes: int, *, bias: float, rejecting: bool, novel: bool, text: str) -> Any:
    weights, offsets = _parameters(classes, bias)
    module = tf.Module()
    module.weights = tf.Variable(weights)
    module.offsets = tf.Variable(offsets)

    def classify(images: Any) -> dict[str, Any]:
        mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2])
        if rejecting:
            refused = tf.abs(tf.reduce_mean(mean, axis=1) - REJECTED_MEAN) < 1e-3
            tf.debugging.Assert(tf.logical_not(tf.reduce_any(refused)), ["an image is refused"])
        answers = {"probabilities": tf.nn.softmax(tf.matmul(mean / 255.0, module.weights) + module.offsets)}
        return answers | ({"novelty": tf.abs(tf.reduce_mean(mean, axis=1) - 128.0) / 64.0} if novel else {})

    def describe(query: Any) -> dict[str, Any]:
        return {"spec": tf.fill(tf.shape(query), text)}

    def explain(images: Any) -> dict[str, Any]:
        place = size[0] // MAP_SIDE, size[1] // MAP_SIDE
        pooled = tf.nn.avg_pool2d(tf.cast(images, tf.float32), place, place, "VALID")
        raw = tf.nn.relu(tf.tensordot(pooled / 255.0, module.weights, 1))
        return {"maps": tf.math.divide_no_nan(raw, tf.reduce_max(raw, axis=[1, 2], keepdims=True))}

    module.explain = tf.function(explain, input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8, name="images")])
    module.classify = tf.function(classify, input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8, name="images")])
    module.describe = tf.function(describe, input_signature=[tf.TensorSpec((None,), tf.string, name="query")])
    return module


def export_tiny_model_apart(base: Path, version: int) -> None:
    """Write the model by a process of its own: one that loads TensorFlow must open no ledger (its SQLite would answer)."""
    code = (
        "import pathlib, sys, tests.support.tiny_model as t; t.export_tiny_model(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(base), str(version)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"expected the model {base.name} to be written, got {done.stderr[-2000:]}")
