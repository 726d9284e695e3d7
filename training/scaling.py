"""Temperature scaling of softmax outputs: applied, and fitted."""

from __future__ import annotations

import numpy as np

from core.evaluation.metrics import SMALLEST, negative_log_likelihood
from training.datasets.base import FloatArray, IntArray


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


def fit_tilt(labels: IntArray, probabilities: FloatArray, log_shares: FloatArray, rounds: int = 50) -> tuple[float, float]:
    """Temperature T and exponent e with the least negative log-likelihood of softmax((log p + e · log share) / T).

    In a = 1 / T and b = e / T the cost is convex, so Newton's method finds its one minimum.

    Args:
        labels: int64 [n].
        probabilities: float [n, classes].
        log_shares: float [classes].
        rounds: steps of Newton's method at most.

    Returns:
        T and e.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))
    features = np.stack([logits, np.broadcast_to(log_shares, logits.shape)], axis=-1)  # [n, classes, 2]
    seen, weights = features[np.arange(len(labels)), labels], np.array([1.0, 0.0])
    for _ in range(rounds):
        scores = features @ weights
        expected = np.exp(scores - scores.max(axis=1, keepdims=True))
        expected /= expected.sum(axis=1, keepdims=True)
        mean = np.einsum("nc,ncf->nf", expected, features)
        slope = (mean - seen).mean(axis=0)
        spread = np.einsum("nc,ncf,ncg->fg", expected, features, features) / len(labels) - mean.T @ mean / len(labels)
        step = np.linalg.solve(spread + 1e-9 * np.eye(2), slope)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    scale, tilt = (float(value) for value in weights)
    return 1.0 / max(scale, 0.05), tilt / max(scale, 0.05)
