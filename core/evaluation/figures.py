"""All figures of one set of answers under one truth, ready for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.evaluation import metrics
from core.evaluation.arrays import BoolArray, FloatArray, IntArray
from core.evaluation.groups import by_attribute

TOP = (2, 3)


def describe(
    labels: IntArray,
    probabilities: FloatArray,
    classes: Sequence[str],
    malignant: tuple[int, ...],
    *,
    thresholds: Mapping[str, float],
    attributes: Sequence[Mapping[str, str]],
    risks: FloatArray | None = None,
) -> dict[str, Any]:
    """Every figure that needs no resampling.

    Args:
        labels: int64 [n], positions of the true classes.
        probabilities: float [n, classes], calibrated.
        classes: their names.
        malignant: positions of the malignant ones.
        thresholds: operating point → risk at or above which an image is flagged.
        attributes: [n]; what is known of each image (core.evaluation.groups).
        risks: float [n], as they were compared with the threshold; by default the summed probabilities.

    Returns:
        `headline`, `top`, `classes`, `confusion` (rows are true classes), `reliability`, `operating_points`, `groups`, `macro`.
        A figure that does not exist is NaN.
    """
    risks = metrics.risk(probabilities, malignant) if risks is None else risks
    by_class = dict(zip(classes, metrics.class_figures(labels, probabilities), strict=True))
    return {
        "headline": metrics.headline(labels, probabilities, malignant),
        "top": {str(k): metrics.top_k_accuracy(labels, probabilities, k) for k in TOP if k < len(classes)},
        "classes": by_class,
        "confusion": metrics.confusion_matrix(labels, probabilities.argmax(axis=1), len(classes)).tolist(),
        "reliability": [row._asdict() for row in metrics.reliability(labels, probabilities)],
        "operating_points": operating_points(np.isin(labels, malignant), risks, thresholds),
        "groups": by_attribute(
            labels, probabilities, attributes=attributes, thresholds=thresholds, malignant=malignant, risks=risks
        ),
        "macro": metrics.macro_averages(by_class.values()),
    }


def operating_points(
    is_malignant: BoolArray, risks: FloatArray, thresholds: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """What flagging at each threshold would have meant."""
    return {name: metrics.operating_point(is_malignant, risks, value) for name, value in thresholds.items()}


def to_json(figures: dict[str, Any]) -> str:
    """Figures as JSON; what is not a number (a recall of a class without images) is null."""
    return json.dumps(without_nan(figures), indent=1, ensure_ascii=False) + "\n"


def without_nan(value: Any) -> Any:
    """The same with None in place of what is not a number."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
