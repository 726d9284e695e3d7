"""Test-time augmentation: the mean of a model's answers to mirror images and, for square pictures, quarter turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.datasets.base import FloatArray, UInt8Array
from training.fitting import predict
from training.metadata import MetadataEncoder
from training.rundata import load_run_images
from training.runs import Predictions, RunFolder

PARTS = ("validation", "test")


def predict_run(run: RunFolder, data: Path | None) -> dict[str, Predictions]:
    """A run's uncalibrated predictions of validation and test, each the mean over all views.

    Args:
        run: a finished run.
        data: the data set; by default where it was.

    Raises:
        InvalidRequestError: the data are not there.
    """
    dataset, pixels = load_run_images(run, data)
    model = keras.models.load_model(run.model_path, compile=False)
    found, encoder = {}, MetadataEncoder.load(run.path)
    for part in PARTS:
        known = encoder.encode(run.samples(part)) if encoder else None
        positions = dataset.positions([sample.id for sample in run.samples(part)])
        found[part] = Predictions(dataset.label_indices()[positions], predict_views(model, pixels[positions], known))
    return found


def predict_views(model: Any, pixels: UInt8Array, metadata: FloatArray | None = None) -> FloatArray:
    """Mean probabilities over the views of uint8 [n, h, w, 3]: float [n, classes]."""
    answers = [predict(model, view, metadata) for view in views(pixels)]
    mean: FloatArray = np.mean(answers, axis=0)
    return mean


def views(pixels: UInt8Array) -> list[UInt8Array]:
    """The eight symmetries of a square picture, the four of a rectangle; the first is the picture itself."""
    turns = range(4) if pixels.shape[1] == pixels.shape[2] else (0, 2)
    turned = [np.rot90(pixels, turn, axes=(1, 2)) for turn in turns]
    return [np.ascontiguousarray(view) for each in turned for view in (each, each[:, :, ::-1])]
