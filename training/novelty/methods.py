"""The detectors by name, each on what an export observes of a picture: its features, and twelve statistics of its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from training.novelty.detectors import (
    Detector,
    Float32Array,
    Head,
    Known,
    Mahalanobis,
    fit_energy,
    fit_mahalanobis,
    fit_nearest_centroid,
)
from training.novelty.statistics import STATISTICS

_COMMON = 0.99  # share of the training part whose distances are put on one scale


@dataclass(frozen=True, slots=True)
class OfFeatures:
    """A detector that does not look at the statistics."""

    detector: Detector

    def __call__(self, observed: Any) -> Any:
        """float32 [n, d + STATISTICS] → float32 [n], 0 or more."""
        return self.detector(observed[:, :-STATISTICS])


@dataclass(frozen=True, slots=True)
class Either:
    """The larger of two Mahalanobis distances: of the features, and of the statistics around the mean of all pictures."""

    features: Mahalanobis
    statistics: Mahalanobis
    scale: float  # of the second distance, in the unit of the first

    def __call__(self, observed: Any) -> Any:
        """float32 [n, d + STATISTICS] → float32 [n], 0 or more."""
        return keras.ops.maximum(
            self.features(observed[:, :-STATISTICS]), self.scale * self.statistics(observed[:, -STATISTICS:])
        )


def fit_either(observed: Float32Array, labels: Any, head: Head) -> Either:
    """Both on one scale: the same share of the training part lies within."""
    features, statistics = observed[:, :-STATISTICS], observed[:, -STATISTICS:]
    first = fit_mahalanobis(Known(features, labels, head))
    second = fit_mahalanobis(Known(statistics, np.zeros(len(statistics), np.int64), head))
    reach = [float(np.quantile(np.asarray(each(of)), _COMMON)) for each, of in ((first, features), (second, statistics))]
    return Either(first, second, reach[0] / reach[1])


def _fit_features(fit: Callable[[Known], Detector], observed: Float32Array, labels: Any, head: Head) -> OfFeatures:
    return OfFeatures(fit(Known(observed[:, :-STATISTICS], labels, head)))


FITS: dict[str, Callable[[Float32Array, Any, Head], Detector]] = {
    "mahalanobis": partial(_fit_features, fit_mahalanobis),
    "mahalanobis_statistics": fit_either,
    "nearest_centroid": partial(_fit_features, fit_nearest_centroid),
    "energy": partial(_fit_features, fit_energy),
}
