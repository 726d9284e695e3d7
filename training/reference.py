"""What a version answered on its test part, in bins, for `describe`: the service compares its answers with it (core.drift)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.evaluation import metrics
from core.modelspec import Bins, ModelSpec, Reference
from training.runs import Predictions
from training.scaling import apply_temperature

_BINS = 10
_DIGITS = 5  # of an edge and of a share: a spec is read by people, too


def make_reference(test: Predictions, spec: ModelSpec, novelty: npt.NDArray[np.float32] | None = None) -> Reference:
    """Class shares, and ten bins of risk and of novelty with about as many images each.

    Args:
        test: predictions of the test part, uncalibrated.
        spec: of the version, with its temperature.
        novelty: float32 [n], the measure of the same part; None where the version has none.
    """
    probabilities = apply_temperature(test.probabilities, spec.temperature)
    first = np.bincount(probabilities.argmax(axis=1), minlength=len(spec.classes))
    return Reference(
        images=len(probabilities),
        classes=tuple(_shares(first)),
        risk=make_bins(metrics.risk(probabilities, spec.malignant_indices)) if spec.has_risk else None,
        novelty=None if novelty is None else make_bins(novelty),
    )


def make_bins(values: npt.NDArray[np.floating]) -> Bins:
    """Bins between the deciles of values, fewer where deciles are equal.

    Args:
        values: float [n], n at least 1.
    """
    deciles = np.quantile(values.astype(np.float64), np.arange(1, _BINS) / _BINS)
    edges = np.unique(np.round(deciles, _DIGITS))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Bins(edges=tuple(edges.tolist()), shares=tuple(_shares(counts)))


def _shares(counts: npt.NDArray[np.integer]) -> list[float]:
    return [round(float(share), _DIGITS) for share in counts / counts.sum()]
