"""The golden batch of a version that is being exported: what its SavedModel answers before it goes anywhere."""

from __future__ import annotations

from pathlib import Path

from core.modelspec import INPUT_ALIAS, NOVELTY_ALIAS, OUTPUT_ALIAS, ModelSpec
from serving.lifecycle.golden import Golden, draw_images
from serving.repository import ModelVersion


def write_golden(directory: Path, spec: ModelSpec) -> None:
    """Runs the written SavedModel on drawn pictures and keeps its answers in `assets.extra`; a server must give the same."""
    import tensorflow as tf  # noqa: PLC0415 - in a process that has it loaded

    images = draw_images(spec.input_height, spec.input_width)
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    answered = signature(**{INPUT_ALIAS: tf.constant(images)})
    novelty = answered[NOVELTY_ALIAS].numpy() if spec.novelty else None
    version = ModelVersion(spec.name, 0, directory)  # its number is not known before it is published
    Golden(images, answered[OUTPUT_ALIAS].numpy(), novelty).save(version)
