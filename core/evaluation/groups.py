"""Figures by age, sex and site: a mean over all pictures hides a group that the model does worse on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.evaluation import metrics
from core.evaluation.arrays import FloatArray, IntArray

AGE_BANDS = (  # name, years from, years below
    ("00 to 29", 0, 30),
    ("30 to 44", 30, 45),
    ("45 to 59", 45, 60),
    ("60 to 74", 60, 75),
    ("75 and over", 75, 200),
)
SMALLEST_GROUP = 20  # images; figures of fewer say nothing
UNKNOWN = "unknown"


def by_attribute(
    labels: IntArray,
    probabilities: FloatArray,
    *,
    attributes: Sequence[Mapping[str, str]],
    thresholds: Mapping[str, float],
    malignant: tuple[int, ...],
    risks: FloatArray | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by age band, sex and site, for each value that has enough images.

    Args:
        labels: int64 [n].
        probabilities: float [n, classes].
        attributes: [n]; `age` in years, `sex`, `site`: texts, empty or absent where it is not known.
        thresholds: operating point → risk at or above which an image is flagged.
        malignant: positions of the malignant classes.
        risks: float [n]; by default the summed probabilities of the malignant classes.
    """
    is_malignant = np.isin(labels, malignant)
    risks = metrics.risk(probabilities, malignant) if risks is None else risks
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, describe in {"age": age_band, "sex": _as_is, "site": _as_is}.items():
        values = np.array([describe(known.get(name, "")) for known in attributes])
        for value in sorted(set(values.tolist())):
            inside = values == value
            if inside.sum() >= SMALLEST_GROUP and set(values.tolist()) != {UNKNOWN}:
                row = {
                    "images": int(inside.sum()),
                    "malignant": int(is_malignant[inside].sum()),
                    "accuracy": metrics.accuracy(labels[inside], probabilities[inside]),
                    "balanced_accuracy": metrics.balanced_accuracy(labels[inside], probabilities[inside]),
                    "malignant_auc": metrics.auc(is_malignant[inside], risks[inside]),
                }
                for point, threshold in thresholds.items():
                    measured = metrics.operating_point(is_malignant[inside], risks[inside], threshold)
                    row |= {f"{point}_{figure}": measured[figure] for figure in ("sensitivity", "specificity")}
                table.setdefault(name, {})[value] = row
    return table


def age_band(age: str) -> str:
    """The band of `AGE_BANDS` that an age in years, as published, lies in; "unknown" where it is no number."""
    try:
        years = float(age)
    except ValueError:
        return UNKNOWN
    return next((name for name, low, high in AGE_BANDS if low <= years < high), UNKNOWN)


def _as_is(value: str) -> str:
    return value or UNKNOWN
