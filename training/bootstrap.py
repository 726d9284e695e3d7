"""Confidence intervals by resampling whole groups: images of one lesion are no independent witnesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from training.datasets.base import FloatArray, IntArray

Figure = Callable[[IntArray, FloatArray], float]


def intervals(
    labels: IntArray,
    probabilities: FloatArray,
    groups: Sequence[str],
    figures: Mapping[str, Figure],
    *,
    rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap (Efron 1979) of several figures over the same resamples.

    Args:
        labels: int64 [n].
        probabilities: float [n, classes].
        groups: [n]; a resample draws groups with replacement, each with all its images.
        figures: name → function of labels and probabilities.
        rounds: how many resamples.
        seed: of the draws.
        level: share of the resamples inside the interval.

    Returns:
        Name → (low, high).
    """
    members = _members(groups)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in figures}
    for _ in range(rounds):
        chosen = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        for name, figure in figures.items():
            drawn[name].append(figure(labels[chosen], probabilities[chosen]))
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    bounds = {name: np.nanquantile(values, tails) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def _members(groups: Sequence[str]) -> list[IntArray]:
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(index, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(index[order])) + 1))
