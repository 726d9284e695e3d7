"""Intervals for as many images as a job has: the bootstrap of core.evaluation.bootstrap with weights in place of copies.

A resample gives each image how often it was drawn; every figure is then a weighted count, without copies and without a sort.
With the same seed the draws, and so the intervals, are those of `bootstrap.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation import metrics
from core.evaluation.arrays import BoolArray, FloatArray, IntArray
from core.evaluation.bootstrap import percentiles

Z95 = 1.959963984540054  # of the standard normal distribution
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers beside the truth, as resampling needs them.

    Attributes:
        labels: int64 [n], positions of the true classes.
        probabilities: float [n, classes].
        is_malignant: bool [n].
        risks: float [n].
        threshold: risk at or above which an image is flagged; None without a risk.
        groups: [n]; images of one group (lesion, patient) are drawn together.
    """

    labels: IntArray
    probabilities: FloatArray
    is_malignant: BoolArray
    risks: FloatArray
    threshold: float | None
    groups: Sequence[str]


def resampled(judged: Judged, *, rounds: int, seed: int = 0) -> dict[str, Interval]:
    """95 % percentile intervals (Efron 1979).

    Of accuracy, balanced accuracy, the risk's AUC, the calibration error, the recall of each class (`recall_0`, …), and of
    sensitivity and specificity at the threshold.
    """
    figures = _figures(judged)
    drawn: dict[str, list[float]] = {}
    for weights in draws(judged.groups, rounds=rounds, seed=seed):
        for figure in figures:
            for name, value in figure(weights).items():
                drawn.setdefault(name, []).append(value)
    return {name: percentiles(values) for name, values in drawn.items()}


def draws(groups: Sequence[str], *, rounds: int, seed: int) -> Iterator[FloatArray]:
    """How often each image is drawn, float64 [n]: as many groups as there are, with replacement, each whole."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        chosen = generator.integers(0, len(names), len(names))
        yield np.bincount(chosen, minlength=len(names)).astype(np.float64)[index]


def wilson(hits: int, of: int) -> Interval:
    """95 % score interval of a share (Wilson 1927, J Am Stat Assoc 22:209-212); NaN where there is nothing to count."""
    if of == 0:
        return float("nan"), float("nan")
    share, z2 = hits / of, Z95 * Z95
    middle, half = share + z2 / (2 * of), Z95 * float(np.sqrt(share * (1 - share) / of + z2 / (4 * of * of)))
    return max(0.0, (middle - half) / (1 + z2 / of)), min(1.0, (middle + half) / (1 + z2 / of))


def wider(one: Interval, other: Interval) -> Interval:
    """The outer bounds of both; a bound that does not exist counts for nothing."""
    return float(np.fmin(one[0], other[0])), float(np.fmax(one[1], other[1]))


Figure = Callable[[FloatArray], dict[str, float]]


def _figures(judged: Judged) -> list[Figure]:
    found = [_classes(judged), _calibration(judged)]
    if judged.threshold is not None:
        found += [_ranks(judged), _flags(judged, judged.threshold)]
    return found


def _classes(judged: Judged) -> Figure:
    count = judged.probabilities.shape[1]
    cell = judged.labels * count + judged.probabilities.argmax(axis=1)

    def figure(weights: FloatArray) -> dict[str, float]:
        matrix = np.bincount(cell, weights, count * count).reshape(count, count)
        recalls = _divide(np.diag(matrix), matrix.sum(axis=1))
        return {
            "accuracy": float(np.trace(matrix) / matrix.sum()),
            "balanced_accuracy": float(np.nanmean(recalls)),
            **{f"recall_{at}": float(value) for at, value in enumerate(recalls)},
        }

    return figure


def _calibration(judged: Judged) -> Figure:
    confidence = judged.probabilities.max(axis=1)
    correct = (judged.probabilities.argmax(axis=1) == judged.labels).astype(np.float64)
    place = metrics.confidence_bins(confidence, metrics.BINS)

    def figure(weights: FloatArray) -> dict[str, float]:
        gaps = np.bincount(place, weights * (confidence - correct), metrics.BINS)
        return {"ece": float(np.abs(gaps).sum() / weights.sum())}

    return figure


def _ranks(judged: Judged) -> Figure:
    values, place = np.unique(judged.risks, return_inverse=True)

    def figure(weights: FloatArray) -> dict[str, float]:
        hits = np.bincount(place, weights * judged.is_malignant, len(values))
        others = np.bincount(place, weights * ~judged.is_malignant, len(values))
        below = np.cumsum(others) - others / 2.0
        return {"malignant_auc": float(_divide((hits * below).sum(), hits.sum() * others.sum()))}

    return figure


def _flags(judged: Judged, threshold: float) -> Figure:
    flagged = judged.risks >= threshold

    def figure(weights: FloatArray) -> dict[str, float]:
        sick, well = weights * judged.is_malignant, weights * ~judged.is_malignant
        return {
            "sensitivity": float(_divide(sick[flagged].sum(), sick.sum())),
            "specificity": float(_divide(well[~flagged].sum(), well.sum())),
        }

    return figure


def _divide(top: Any, bottom: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(top) / np.asarray(bottom)
