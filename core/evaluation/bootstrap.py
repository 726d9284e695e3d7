"""Confidence intervals by resampling whole groups: images of one lesion are no independent witnesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from core.evaluation.arrays import FloatArray, IntArray

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
    drawn: dict[str, list[float]] = {name: [] for name in figures}
    for chosen in resamples(groups, rounds=rounds, seed=seed):
        for name, figure in figures.items():
            drawn[name].append(figure(labels[chosen], probabilities[chosen]))
    return {name: percentiles(values, level) for name, values in drawn.items()}


def resamples(groups: Sequence[str], *, rounds: int, seed: int) -> Iterator[IntArray]:
    """Positions of each resample, int64 [about n]: as many groups as there are, drawn with replacement, each whole."""
    members = _members(groups)
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])


def percentiles(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The bounds of the middle `level` of these values; those that do not exist (NaN) are left out, NaN where none does."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(known, ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return float(low), float(high)


def _members(groups: Sequence[str]) -> list[IntArray]:
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(index, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(index[order])) + 1))
