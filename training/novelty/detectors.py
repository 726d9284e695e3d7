"""Three detectors on the features before a model's last dense layer; each gives a distance, the larger the more novel.

There is one implementation, in Keras operations: run on arrays it measures, traced it becomes part of the exported graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from training.datasets.base import IntArray

Float32Array = npt.NDArray[np.float32]

DIRECTIONS = 128  # that a covariance is kept in: for 1,280 features the whole of it would add 6.5 MB to a version
CENTROIDS = 300
_SMALLEST = 1e-6  # of a variance, relative to the largest: a feature that never changes divides by no zero


class Detector(Protocol):
    """Gives each picture a distance of 0 or more."""

    def __call__(self, features: Any, /) -> Any:
        """float32 [n, d] → float32 [n]; of an array, or of a tensor that is traced."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last dense layer: logits are features [n, d] @ kernel [d, classes] + bias [classes]."""

    kernel: Float32Array
    bias: Float32Array


@dataclass(frozen=True, slots=True)
class Known:
    """What a detector of features is fitted on: the training part, float32 [n, d], its labels int64 [n], the last layer."""

    features: Float32Array
    labels: IntArray
    head: Head


@dataclass(frozen=True, slots=True)
class Energy:
    """exp(E) with the energy E = -log sum exp(logit) of Liu et al. 2020 (arXiv 2010.03759); the exponential is positive."""

    head: Head

    def __call__(self, features: Any) -> Any:
        """As `Detector` says."""
        logits = keras.ops.matmul(features, self.head.kernel) + self.head.bias
        return keras.ops.exp(-keras.ops.logsumexp(logits, axis=-1))


@dataclass(frozen=True, slots=True)
class Mahalanobis:
    """Distance to the nearest class mean under one covariance for all classes (Lee et al. 2018, arXiv 1807.03888).

    The covariance is kept in its leading directions; the others share the mean of their variances, as in probabilistic
    principal component analysis (Tipping and Bishop 1999). With as many directions as features it is exact.
    """

    centre: Float32Array  # [d]
    directions: Float32Array  # [d, k], of length 1 and orthogonal to one another
    deviations: Float32Array  # [k], along the directions
    rest: float  # deviation along each of the other directions; 0 where there are none
    means: Float32Array  # [classes, d], centred

    def __call__(self, features: Any) -> Any:
        """As `Detector` says."""
        inside, outside = self._parts(features - self.centre)
        mean_inside, mean_outside = self._parts(self.means)
        squared = _squared_distances(inside, mean_inside)
        if self.rest:
            squared = squared + _squared_distances(outside, mean_outside)
        return keras.ops.sqrt(keras.ops.min(squared, axis=-1))

    def _parts(self, centred: Any) -> tuple[Any, Any]:
        """In units of the deviations: along the directions [n, k], and what is left [n, d]."""
        along = keras.ops.matmul(centred, self.directions)
        left = centred - keras.ops.matmul(along, self.directions.T)
        return along / self.deviations, left / self.rest if self.rest else left


@dataclass(frozen=True, slots=True)
class NearestCentroid:
    """Distance of the features, scaled to length 1, to the nearest of a few hundred k-means centroids of the training part.

    After the nearest neighbours of Sun et al. 2022 (arXiv 2204.06507), with centroids in place of all training pictures.
    """

    centroids: Float32Array  # [CENTROIDS, d]

    def __call__(self, features: Any) -> Any:
        """As `Detector` says."""
        squared = _squared_distances(_of_length_1(features), self.centroids)
        return keras.ops.sqrt(keras.ops.min(squared, axis=-1))


def fit_energy(known: Known) -> Energy:
    """Nothing is fitted: it is the model's own last layer."""
    return Energy(known.head)


def fit_mahalanobis(known: Known) -> Mahalanobis:
    """Class means, and the covariance of the features around them; a class without pictures has no mean."""
    features = known.features.astype(np.float64)
    present, rows = np.unique(known.labels, return_inverse=True)
    means = np.stack([features[known.labels == label].mean(axis=0) for label in present])
    around = features - means[rows]
    variances, directions = np.linalg.eigh(around.T @ around / len(around))  # smallest first
    variances, directions = np.maximum(variances[::-1], variances[-1] * _SMALLEST), directions[:, ::-1]
    centre, kept = features.mean(axis=0), min(DIRECTIONS, len(variances))
    rest = float(np.sqrt(variances[kept:].mean())) if kept < len(variances) else 0.0
    return Mahalanobis(
        centre=centre.astype(np.float32),
        directions=np.ascontiguousarray(directions[:, :kept], np.float32),
        deviations=np.sqrt(variances[:kept]).astype(np.float32),
        rest=rest,
        means=(means - centre).astype(np.float32),
    )


def fit_nearest_centroid(known: Known) -> NearestCentroid:
    """k-means from a fixed seed; fewer centroids where there are fewer pictures."""
    scaled = np.asarray(_of_length_1(known.features), np.float32)
    clustering = MiniBatchKMeans(min(CENTROIDS, len(scaled)), random_state=0, n_init=1).fit(scaled)
    return NearestCentroid(clustering.cluster_centers_.astype(np.float32))


def _of_length_1(features: Any) -> Any:
    length = keras.ops.sqrt(keras.ops.sum(keras.ops.square(features), axis=-1, keepdims=True))
    return features / keras.ops.maximum(length, _SMALLEST)


def _squared_distances(first: Any, second: Any) -> Any:
    """[n, d] and [m, d] → [n, m]; never below 0, whatever rounding does."""
    lengths = keras.ops.sum(keras.ops.square(first), axis=-1)[:, None] + keras.ops.sum(keras.ops.square(second), axis=-1)[None]
    return keras.ops.maximum(lengths - 2 * keras.ops.matmul(first, keras.ops.transpose(second)), 0.0)
