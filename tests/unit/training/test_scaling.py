"""Temperature scaling undoes a known sharpening, keeps the order of classes, and never costs likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.metrics import negative_log_likelihood
from training.scaling import apply_temperature, fit_temperature


@pytest.mark.parametrize("sharpening", [0.5, 2.0, 4.0])
def test_finds_the_temperature_that_made_the_labels(sharpening: float) -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(20_000, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > generator.random((len(honest), 1))).argmax(axis=1)
    overconfident = apply_temperature(honest, 1 / sharpening)
    temperature = fit_temperature(labels, overconfident)
    assert temperature == pytest.approx(sharpening, rel=0.05)
    before, after = (negative_log_likelihood(labels, p) for p in (overconfident, apply_temperature(overconfident, temperature)))
    assert after <= before


@given(st.floats(0.1, 10.0), st.integers(0, 1000))
def test_keeps_order_and_sums_to_one(temperature: float, seed: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(5), size=4)
    calibrated = apply_temperature(probabilities, temperature)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))


def test_a_probability_of_zero_is_no_error() -> None:
    calibrated = apply_temperature(np.array([[1.0, 0.0]]), 2.0)
    assert np.isfinite(calibrated).all()


def test_shares_are_given_back_by_a_bias_on_the_logits() -> None:
    import keras

    from training.fitting import give_back_shares

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="probabilities")(inputs))
    labels = np.array([0] * 8 + [1] * 2)  # the third class has no image: it must not become impossible
    features = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    before = model.predict(features, verbose=0)
    give_back_shares(model, labels, 0.5)
    tilted = before * np.sqrt(np.array([8, 2, 1]) / 11)
    expected = tilted / tilted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(features, verbose=0), expected, atol=1e-6)
