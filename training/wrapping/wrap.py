"""From a foreign model file to a version in a repository: open, plan, prove on images, write, publish by one rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from core.errors import ConflictError, InvalidRequestError
from core.imaging import decode_image, preprocessing_hash
from core.modelspec import INPUT_ALIAS, OUTPUT_ALIAS, ModelSpec
from core.settings import ImageLimits
from core.wraprequest import Output, WrapRequest
from serving.repository import check_name, list_versions
from training.wrapping.card import render_card
from training.wrapping.explaining import find_explainer
from training.wrapping.foreign import Foreign, open_foreign
from training.wrapping.graph import freeze, raw_answers
from training.wrapping.planning import Feeding, decide_output, plan_feeding
from training.wrapping.writing import fingerprint, write_version

_TOP = 3
_SAME = 1e-4  # answers that differ by less than this from image to image say that the images do not reach the model
_ROUNDING = 1e-4  # the written graph against the model itself


@dataclass(frozen=True)
class Shown:
    """What the wrapped model says of one sample image."""

    name: str
    top: tuple[tuple[str, float], ...]  # the most probable classes


@dataclass(frozen=True)
class Wrapped:
    """What was made."""

    path: Path  # of the version
    spec: ModelSpec
    kind: str
    feeding: Feeding
    output: Output
    shown: tuple[Shown, ...]
    doubts: tuple[str, ...]  # sentences for whoever wraps
    unexplained: str  # a sentence: why there is no signature `explain`; empty: there is one


def wrap_model(
    path: Path,
    request: WrapRequest,
    samples: Sequence[tuple[str, bytes]],
    *,
    root: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> Wrapped:
    """Wrap a model and publish it as `root/name/version`.

    Args:
        path: a SavedModel's folder, a `.keras` or an `.onnx` file.
        request: what is said of it.
        samples: names and bytes of images to prove it on; at least two.
        root: a folder of models.
        tell: is called with what is being done.

    Raises:
        InvalidRequestError: it cannot be wrapped, or something is not known; the message names the option.
        ConflictError: somebody else published the same version meanwhile.
        ItemError: a sample cannot be decoded.
    """
    request.check()
    check_name(request.name)
    tell(f"reading {path}")
    foreign = open_foreign(path, signature=request.signature, output_name=request.output_name)
    feeding = plan_feeding(foreign, request)
    spec = _spec(foreign, feeding, request)
    images = _decode(samples, spec)
    tell("asking it about sample images")
    answers = raw_answers(foreign, feeding, images)
    output = decide_output(answers, request)
    explainer, unexplained = find_explainer(foreign, feeding, output, len(request.classes))
    spec = spec.model_copy(update={"explain": explainer and explainer.spec})
    frozen = freeze(foreign, feeding, request, output, explainer)
    card = render_card(foreign, feeding, output, spec, fingerprint(path))
    tell("writing and proving it")
    target, probabilities = _publish(root / request.name, lambda folder: _write(frozen, spec, card, folder, images))
    shown = tuple(_show(name, row, spec) for (name, _), row in zip(samples, probabilities, strict=True))
    doubts = tuple(_doubts(probabilities, feeding))
    return Wrapped(target, spec, foreign.kind, feeding, output, shown, doubts, unexplained)


def _spec(foreign: Foreign, feeding: Feeding, request: WrapRequest) -> ModelSpec:
    return ModelSpec(
        name=request.name,
        classes=request.classes,
        input_height=feeding.height,
        input_width=feeding.width,
        resize=request.resize,
        multi_label=request.multi_label,
        malignant=request.malignant,
        thresholds=dict(request.thresholds),
        operating_point=next(iter(request.thresholds), ""),
        dataset=f"unknown: a {foreign.kind} of another team",
        preprocessing_hash=preprocessing_hash(feeding.height, feeding.width, request.resize),
        licence=request.licence,
    )


def _decode(samples: Sequence[tuple[str, bytes]], spec: ModelSpec) -> npt.NDArray[np.uint8]:
    """uint8 [samples, height, width, 3], as a worker decodes them."""
    if len(samples) < 2:
        raise InvalidRequestError(f"expected at least two sample images to prove the model on, got {len(samples)}")
    images = np.empty((len(samples), spec.input_height, spec.input_width, 3), np.uint8)
    for row, (_, data) in enumerate(samples):
        height, width, resize = spec.input_height, spec.input_width, spec.resize
        decode_image(data, height=height, width=width, resize=resize, limits=ImageLimits(), out=images[row])
    return images


def _write(
    frozen: Callable[[Any], Sequence[Any]], spec: ModelSpec, card: str, folder: Path, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Write the version, and ask what was written: it must answer as the model does."""
    write_version(frozen, spec, card, folder)
    written = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found: npt.NDArray[np.float32] = written(**{INPUT_ALIAS: tf.constant(images)})[OUTPUT_ALIAS].numpy()
    expected = frozen(tf.constant(images))[0].numpy()
    if not np.allclose(found, expected, atol=_ROUNDING):
        raise InvalidRequestError(
            f"what was written answers otherwise than the model, by up to {np.abs(found - expected).max():.4f}"
        )
    return found


def _publish(base: Path, write: Callable[[Path], npt.NDArray[np.float32]]) -> tuple[Path, npt.NDArray[np.float32]]:
    number = max(list_versions(base), default=0) + 1
    target, partial = base / str(number), base / f".{number}.{os.getpid()}.part"
    base.mkdir(parents=True, exist_ok=True)
    try:
        probabilities = write(partial)
        if target.exists():
            raise ConflictError(f"{target}: this version was published meanwhile; wrap the model again")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # after a failure; after the rename nothing is left of it
    return target, probabilities


def _show(name: str, row: npt.NDArray[np.float32], spec: ModelSpec) -> Shown:
    best = np.argsort(-row, kind="stable")[:_TOP]
    return Shown(name, tuple((spec.classes[index], float(row[index])) for index in best))


def _doubts(probabilities: npt.NDArray[np.float32], feeding: Feeding) -> list[str]:
    doubts = []
    if np.ptp(probabilities, axis=0).max() < _SAME:
        doubts.append(f"It answers every sample image alike: is --scale {feeding.scale} what it was trained with?")
    if feeding.one_by_one:
        doubts.append(
            "Its batch is fixed to 1: it computes image by image, and slowly. Export it with an open batch if you can."
        )
    return doubts
