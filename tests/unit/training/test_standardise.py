"""The constants that centre pixels come from the training part alone."""

from __future__ import annotations

import numpy as np
import pytest

from training.experiments.registry import find_experiment
from training.standardise import pixel_statistics, standardised


def test_statistics_are_those_of_the_positions_given() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 4, 5, 3)).astype(np.uint8)
    positions = np.arange(0, 600, 2)
    mean, deviation = pixel_statistics(pixels, positions)
    assert (mean, deviation) == pytest.approx((pixels[::2].mean(), pixels[::2].std()), abs=1e-4)


def test_what_is_not_trained_on_changes_nothing() -> None:
    pixels = np.full((4, 2, 2, 3), 100, np.uint8)
    pixels[1] = 50
    pixels[3] = 255  # not in the training part
    options = standardised(find_experiment("cnn75"), pixels, np.array([0, 1, 2])).options
    assert options["mean"] == pytest.approx(250 / 3, abs=1e-4)
    assert options["deviation"] == pytest.approx(np.std([100, 50, 100]), abs=1e-4)


def test_other_experiments_stay_as_they_are() -> None:
    starter = find_experiment("starter")
    assert standardised(starter, np.zeros((1, 2, 2, 3), np.uint8), np.array([0])) is starter
