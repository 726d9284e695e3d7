"""Figures of the held-out pictures of a run's other sources: another dermatoscope, a phone.

A source labels some of the classes only, but the model answers as it is served, over all of its classes. Temperature and
thresholds are those of the first source's validation part: a user has no others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.evaluation import metrics
from core.evaluation.bootstrap import intervals
from training.calibrate import OPERATING_POINT, Calibration
from training.datasets.base import FloatArray, IntArray
from training.runs import RunFolder
from training.scaling import apply_temperature
from training.screening import questions

PREFIX = "test-"


def other_sources(run: RunFolder, calibration: Calibration, *, rounds: int) -> dict[str, Any]:
    """For each source but the first its figures on the test part; empty for a run of one source.

    Args:
        run: a finished run.
        calibration: of the first source.
        rounds: bootstrap resamples over groups (lesions, patients); 0 leaves the intervals out.
    """
    record = run.record()
    found = {}
    for name in run.parts():
        if name.startswith(PREFIX):
            held = run.predictions(name)
            probabilities = apply_temperature(held.probabilities, calibration.temperature)
            groups = [sample.group for sample in run.samples(name)]
            asked = questions(record.classes, record.malignant_indices)
            found[name.removeprefix(PREFIX)] = source_figures(held.labels, probabilities, groups, asked, rounds) | _flagged(
                held.labels, probabilities, calibration, record.malignant_indices
            )
    return found


def source_figures(
    labels: IntArray, probabilities: FloatArray, groups: list[str], asked: dict[str, tuple[int, ...]], rounds: int
) -> dict[str, Any]:
    """Accuracy, balanced accuracy and the AUC of each question, with intervals.

    Args:
        labels: int64 [n].
        probabilities: float [n, classes], calibrated.
        groups: [n].
        asked: question → positions of its positive classes.
        rounds: bootstrap resamples.
    """
    named: dict[str, Any] = {"accuracy": metrics.accuracy, "balanced_accuracy": metrics.balanced_accuracy}
    for question, positive in asked.items():
        named[f"{question}_auc"] = lambda y, p, positive=positive: metrics.auc(np.isin(y, positive), metrics.risk(p, positive))
    figures: dict[str, Any] = {"images": len(labels)}
    figures |= {name: figure(labels, probabilities) for name, figure in named.items()}
    if rounds:
        figures["interval_95"] = intervals(labels, probabilities, groups, named, rounds=rounds)
    return figures


def _flagged(
    labels: IntArray, probabilities: FloatArray, calibration: Calibration, malignant: tuple[int, ...]
) -> dict[str, Any]:
    if OPERATING_POINT not in calibration.thresholds:
        return {}
    risks, threshold = metrics.risk(probabilities, malignant), calibration.thresholds[OPERATING_POINT]
    return {OPERATING_POINT: metrics.operating_point(np.isin(labels, malignant), risks, threshold)}
