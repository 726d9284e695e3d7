"""Averaged weights get statistics of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.unit.training.test_trainee import experiment, net
from training.feeding import HeldOutBatches
from training.fitting import Arrays, Fitting, fit
from training.normalisation import collect_statistics

# Keras hands out numbers with numpy 1's protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3)).astype(np.uint8)


def of_normalisation(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def numbers(weight: Any) -> Any:
    return np.array(keras.ops.convert_to_numpy(weight))  # a copy


def outer() -> Any:
    """A net whose normalisation is its first layer: what it collects can be worked out by hand."""
    inputs = keras.Input((16, 16, 3))
    middle = keras.layers.BatchNormalization(momentum=0.9)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(middle)))


class Plain(HeldOutBatches):
    def __getitem__(self, number: int) -> tuple[Any, dict[str, Any]]:
        inputs, wanted = super().__getitem__(number)
        return inputs["images"].astype(np.float32), wanted


@pytest.mark.parametrize(("count", "used"), [(2, 16), (9, 32)], ids=["some", "all-there-are"])
def test_the_statistics_are_the_mean_over_the_batches(count: int, used: int) -> None:
    model, wanted = outer(), np.eye(3, dtype=np.float32)[np.arange(32) % 3]
    kernel = numbers(model.layers[-1].kernel)
    collect_statistics(model, Plain(PIXELS, wanted, batch_size=8), count)
    seen = PIXELS[:used].astype(np.float64).reshape(used // 8, -1, 3)
    (layer,) = of_normalisation(model)
    np.testing.assert_allclose(numbers(layer.moving_mean), seen.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(numbers(layer.moving_variance), seen.var(axis=1).mean(axis=0), rtol=1e-4)
    assert layer.momentum == 0.9
    np.testing.assert_array_equal(numbers(model.layers[-1].kernel), kernel)


@pytest.mark.parametrize("mixing", [0.0, 0.5], ids=["tf-data", "trainee"])
def test_a_run_of_averaged_weights_ends_with_them(mixing: float, tmp_path: Path) -> None:
    parts = {name: Arrays(PIXELS, np.arange(32) % 3) for name in ("train", "validation")}

    def run(batches: int) -> tuple[list[Any], list[Any]]:
        model = net()
        recipe = experiment(mixing=mixing, statistics_batches=batches)
        fit(model, recipe, parts, fitting=Fitting(epochs=1, seed=1, threads=1), backup=tmp_path / "backup")
        weights = [numbers(weight) for weight in model.trainable_variables]
        return weights, [numbers(layer.moving_mean) for layer in of_normalisation(model)]

    (weights, before), (same, after) = run(0), run(3)
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(before, after, strict=True))
