"""Temperature scaling of softmax outputs: applied, and fitted."""

from __future__ import annotations

import numpy as np

from training.datasets.base import FloatArray, IntArray
from training.metrics import SMALLEST, negative_log_likelihood


def apply_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """float64 [n, classes]: softmax(log p / T)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    powers: FloatArray = np.exp(logits)
    calibrated: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return calibrated


def fit_temperature(labels: IntArray, probabilities: FloatArray, low: float = 0.05, high: float = 20.0) -> float:
    """The temperature with the least negative log-likelihood, by golden-section search over log T (it has one minimum)."""

    def cost(log_temperature: float) -> float:
        return negative_log_likelihood(labels, apply_temperature(probabilities, float(np.exp(log_temperature))))

    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = float(np.log(low)), float(np.log(high))
    first, second = right - ratio * (right - left), left + ratio * (right - left)
    cost_first, cost_second = cost(first), cost(second)
    while right - left > 1e-5:
        if cost_first < cost_second:
            right, second, cost_second = second, first, cost_first
            first = right - ratio * (right - left)
            cost_first = cost(first)
        else:
            left, first, cost_first = first, second, cost_second
            second = left + ratio * (right - left)
            cost_second = cost(second)
    return float(np.exp((left + right) / 2.0))
