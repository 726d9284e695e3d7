"""One temperature for all classes, fitted on the validation part only (Guo et al. 2017), and folded into the exported graph.

With p the model's softmax, the calibrated probabilities are softmax(log p / T): the same as dividing the logits by T.
"""

from __future__ import annotations

import numpy as np

from training.datasets.base import FloatArray, IntArray

SMALLEST = 1e-12  # below this a probability counts as this much, so that its logarithm exists


def apply_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """float64 [n, classes]: softmax(log p / T)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    powers: FloatArray = np.exp(logits)
    calibrated: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return calibrated


def negative_log_likelihood(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean of -log p of the true class, in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], SMALLEST)).mean())


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
