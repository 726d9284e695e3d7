"""Mean and deviation of the training part's pixels, for nets that centre them: validation and test have no say in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.datasets.base import IntArray, UInt8Array
from training.experiments.base import Experiment

_BLOCK = 256
_DECIMALS = 4


def standardised(experiment: Experiment, pixels: UInt8Array, positions: IntArray) -> Experiment:
    """The experiment with `mean` and `deviation` among its architecture's options, if it asks for them.

    Args:
        experiment: the recipe.
        pixels: uint8 [n, h, w, 3], of all parts.
        positions: int64 [m], of the training part.
    """
    if not experiment.standardise:
        return experiment
    mean, deviation = pixel_statistics(pixels, positions)
    return replace(experiment, options={**experiment.options, "mean": mean, "deviation": deviation})


def pixel_statistics(pixels: UInt8Array, positions: IntArray) -> tuple[float, float]:
    """Mean and population deviation over all values of these images, in 0…255; exact, since bytes are counted."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(positions), _BLOCK):
        counts += np.bincount(np.asarray(pixels[positions[start : start + _BLOCK]]).ravel(), minlength=256)
    values, total = np.arange(256), int(counts.sum())
    mean = float((counts * values).sum() / total)
    deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / total))
    return round(mean, _DECIMALS), round(deviation, _DECIMALS)
