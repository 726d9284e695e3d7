"""A wrapped model written as our own exports are: signatures, spec, golden batch, warm-up requests, card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from core.modelspec import (
    DESCRIBE_INPUT_ALIAS,
    DESCRIBE_OUTPUT_ALIAS,
    DESCRIBE_SIGNATURE,
    EXPLAIN_OUTPUT_ALIAS,
    EXPLAIN_SIGNATURE,
    INPUT_ALIAS,
    OUTPUT_ALIAS,
    ModelSpec,
)
from training.golden import write_golden
from training.warmup import BATCH_SIZES, WARM_UP_NAME, write_warm_up


def write_version(frozen: Callable[[Any], Sequence[Any]], spec: ModelSpec, card: str, directory: Path) -> None:
    """Write everything into a new folder.

    Args:
        frozen: uint8 [batch, height, width, 3] → float32 [batch, classes], and the maps of `explain` where the spec has it.
        spec: what `describe` answers.
        card: the model card, Markdown.
        directory: must not exist yet.
    """
    module, answer = tf.Module(), spec.model_dump_json()
    images = tf.TensorSpec([None, spec.input_height, spec.input_width, 3], tf.uint8, name=INPUT_ALIAS)
    query = tf.TensorSpec([None], tf.string, name=DESCRIBE_INPUT_ALIAS)
    module.classify = tf.function(lambda images: {OUTPUT_ALIAS: frozen(images)[0]}, input_signature=[images], autograph=False)
    module.describe = tf.function(
        # As many rows as were asked: a server that merges or pads requests cuts the answer by the rows of each.
        lambda query: {DESCRIBE_OUTPUT_ALIAS: tf.fill(tf.shape(query), answer)},
        input_signature=[query],
        autograph=False,
    )
    signatures = {"serving_default": module.classify, DESCRIBE_SIGNATURE: module.describe}
    if spec.explain is not None:
        module.explain = tf.function(
            lambda images: {EXPLAIN_OUTPUT_ALIAS: frozen(images)[1]}, input_signature=[images], autograph=False
        )
        signatures[EXPLAIN_SIGNATURE] = module.explain
    tf.saved_model.save(module, str(directory), signatures=signatures)
    (directory / "README.md").write_text(card, encoding="utf-8")
    extra = directory / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "spec.json").write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_warm_up(extra / WARM_UP_NAME, spec, BATCH_SIZES)
    write_golden(directory, spec)


def fingerprint(path: Path) -> str:
    """SHA-256 of a model file, or over the files of a SavedModel in the order of their names, as hex digits."""
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
