"""Temperature scaling undoes a known sharpening, keeps the order of classes, and never costs likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import negative_log_likelihood
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
