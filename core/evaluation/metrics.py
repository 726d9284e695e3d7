"""How good probabilities are: plain NumPy, each figure a function of labels and probabilities.

Throughout: `labels` int64 [n], positions of classes; `probabilities` float [n, classes], rows sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from core.evaluation.arrays import FloatArray, IntArray

BINS = 15
SMALLEST = 1e-12  # below this a probability counts as this much, so that its logarithm exists


def confusion_matrix(labels: IntArray, predicted: IntArray, classes: int) -> IntArray:
    """int64 [classes, classes]: rows are true classes, columns predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(labels: IntArray, probabilities: FloatArray) -> float:
    """Share of images whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def recalls(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """float [classes]: recall of each class; NaN for a class with no image."""
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return _divide(np.diag(matrix), matrix.sum(axis=1))


def balanced_accuracy(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean recall over the classes that have images."""
    return float(np.nanmean(recalls(labels, probabilities)))


def auc(positive: Any, scores: FloatArray) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney, ties count half); NaN where one side is empty.

    Args:
        positive: bool [n].
        scores: float [n], higher means more positive.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def class_aucs(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """float [classes]: one-vs-rest AUC of each class."""
    return np.array([auc(labels == i, probabilities[:, i]) for i in range(probabilities.shape[1])])


def macro_auc(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean one-vs-rest AUC over the classes that have images."""
    return float(np.nanmean(class_aucs(labels, probabilities)))


def expected_calibration_error(labels: IntArray, probabilities: FloatArray, bins: int = BINS) -> float:
    """Mean gap of confidence and accuracy over equally wide bins of confidence, weighted by their size (Guo et al. 2017)."""
    return float(
        sum(row.images * abs(row.confidence - row.accuracy) for row in reliability(labels, probabilities, bins)) / len(labels)
    )


class ReliabilityBin(NamedTuple):
    """One bin of confidence: bounds are (low, high]."""

    low: float
    high: float
    images: int
    confidence: float  # mean of the bin
    accuracy: float


def reliability(labels: IntArray, probabilities: FloatArray, bins: int = BINS) -> list[ReliabilityBin]:
    """The non-empty bins of the reliability diagram."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    index = confidence_bins(confidence, bins)
    rows = []
    for i in range(bins):
        inside = index == i
        if inside.any():
            mean, share = float(confidence[inside].mean()), float(correct[inside].mean())
            rows.append(ReliabilityBin(i / bins, (i + 1) / bins, int(inside.sum()), mean, share))
    return rows


def confidence_bins(confidence: FloatArray, bins: int) -> IntArray:
    """int64 [n]: the bin that each confidence lies in."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def negative_log_likelihood(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean of -log p of the true class, in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], SMALLEST)).mean())


def top_k_accuracy(labels: IntArray, probabilities: FloatArray, k: int) -> float:
    """Share of images whose true class is among the k most probable ones."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def class_figures(labels: IntArray, probabilities: FloatArray) -> list[dict[str, float]]:
    """For each class: images, precision, recall, F1, specificity, one-vs-rest AUC; NaN where a figure does not exist."""
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    right, true, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    figures = {
        "images": true,
        "precision": _divide(right, predicted),
        "recall": _divide(right, true),
        "f1": _divide(2 * right, true + predicted),
        "specificity": _divide(matrix.sum() - true - predicted + right, matrix.sum() - true),
        "auc": class_aucs(labels, probabilities),
    }
    return [{name: values[i].item() for name, values in figures.items()} for i in range(len(matrix))]


def macro_averages(classes: Iterable[dict[str, float]]) -> dict[str, float]:
    """Plain means of `class_figures` over the classes that have images; a precision that does not exist counts as 0."""
    rows = [row for row in classes if row["images"]]
    names = ("precision", "recall", "f1", "specificity", "auc")
    return {name: float(np.mean([0.0 if np.isnan(row[name]) else row[name] for row in rows])) for name in names}


def risk(probabilities: FloatArray, malignant: tuple[int, ...]) -> FloatArray:
    """float [n]: summed probability of the malignant classes."""
    summed: FloatArray = probabilities[:, list(malignant)].sum(axis=1)
    return summed


def threshold_for_sensitivity(is_malignant: Any, risks: FloatArray, sensitivity: float) -> float:
    """The highest risk at which at least this share of the malignant images is flagged (risk ≥ threshold).

    Raises:
        ValueError: no image is malignant.
    """
    positives = np.sort(risks[is_malignant])[::-1]
    if len(positives) == 0:
        raise ValueError("thresholds need malignant images: the validation part has none")
    needed = int(
        np.ceil(sensitivity * len(positives) - 1e-9)
    )  # a product such as 0.07 * 100 is a little more than it should be
    return float(positives[max(needed, 1) - 1])


def operating_point(is_malignant: Any, risks: FloatArray, threshold: float) -> dict[str, float]:
    """Sensitivity, specificity and positive predictive value of flagging risk ≥ threshold, and the share flagged."""
    flagged = risks >= threshold
    return {
        "threshold": threshold,
        "sensitivity": _share(flagged[is_malignant]),
        "specificity": _share(~flagged[~is_malignant]),
        "precision": _share(is_malignant[flagged]),
        "flagged": _share(flagged),
    }


def headline(labels: IntArray, probabilities: FloatArray, malignant: tuple[int, ...]) -> dict[str, float]:
    """The few figures that a model's spec and a table of experiments show."""
    return {
        "accuracy": accuracy(labels, probabilities),
        "balanced_accuracy": balanced_accuracy(labels, probabilities),
        "macro_auc": macro_auc(labels, probabilities),
        "malignant_auc": auc(np.isin(labels, malignant), risk(probabilities, malignant)),
        "ece": expected_calibration_error(labels, probabilities),
        "log_loss": negative_log_likelihood(labels, probabilities),
        "majority_accuracy": float(np.max(np.bincount(labels)) / len(labels)),
    }


def _share(flags: Any) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _divide(top: Any, bottom: Any) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: FloatArray = top / bottom
    return quotient
