"""Detectors: distances as their papers have them, the same in a graph, and none below zero."""

from __future__ import annotations

import numpy as np
import pytest

from training.novelty import BEST, CHOICES, METHODS, NONE
from training.novelty.detectors import Head, Known, Mahalanobis, fit_energy, fit_mahalanobis, fit_nearest_centroid
from training.novelty.methods import FITS
from training.novelty.statistics import STATISTICS

GENERATOR = np.random.default_rng(3)


def known(features: int, pictures: int = 600) -> Known:
    """Three classes around means of their own, correlated features."""
    labels = GENERATOR.integers(0, 3, pictures)
    mixing = GENERATOR.normal(size=(features, features)) / np.sqrt(features) + 0.1
    values = GENERATOR.normal(size=(pictures, features)) @ mixing + 3.0 * GENERATOR.normal(size=(3, features))[labels]
    head = Head(GENERATOR.normal(size=(features, 3)).astype(np.float32), np.array([0.1, 0.0, -0.2], np.float32))
    return Known(values.astype(np.float32), labels, head)


def test_the_choices_are_what_can_be_fitted() -> None:
    assert tuple(FITS) == METHODS
    assert (BEST, *FITS, NONE) == CHOICES


def test_with_all_directions_the_mahalanobis_distance_is_exact() -> None:
    data = known(20)
    means = np.stack([data.features[data.labels == label].mean(axis=0) for label in range(3)])
    around = data.features - means[data.labels]
    precision = np.linalg.inv(around.T @ around / len(around))
    apart = data.features[:50, None] - means[None]
    expected = np.sqrt(np.einsum("nci,ij,ncj->nc", apart, precision, apart).min(axis=1))
    np.testing.assert_allclose(np.asarray(fit_mahalanobis(data)(data.features[:50])), expected, rtol=1e-3)


def test_directions_that_are_left_out_share_a_variance() -> None:
    """200 features, 128 directions: what lies outside them counts, in units of its own deviation."""
    data = known(200, 900)
    detector = fit_mahalanobis(data)
    assert detector.directions.shape == (200, 128)
    at_mean = (detector.centre + detector.means[0])[None]
    outside = GENERATOR.normal(size=200).astype(np.float32)
    outside -= detector.directions @ (detector.directions.T @ outside)
    moved = at_mean + 5 * detector.rest * outside / np.linalg.norm(outside)
    assert float(np.asarray(detector(at_mean))[0]) == pytest.approx(0, abs=0.05)  # of two float32 lengths that are alike
    assert float(np.asarray(detector(moved.astype(np.float32)))[0]) == pytest.approx(5, rel=1e-3)


def test_a_feature_that_never_changes_and_a_class_without_pictures() -> None:
    data = known(10)
    features = data.features.copy()
    features[:, 4] = 7.0
    detector = fit_mahalanobis(Known(features, np.where(data.labels == 1, 2, data.labels), data.head))
    assert isinstance(detector, Mahalanobis)
    assert detector.means.shape == (2, 10)
    assert np.isfinite(np.asarray(detector(features))).all()


def test_energy_is_that_of_the_last_layer() -> None:
    data = known(6)
    logits = data.features @ data.head.kernel + data.head.bias
    np.testing.assert_allclose(np.asarray(fit_energy(data)(data.features)), 1 / np.exp(logits).sum(axis=1), rtol=1e-4)


def test_the_nearest_centroid_does_not_look_at_the_length() -> None:
    data = known(8)
    detector = fit_nearest_centroid(data)
    assert detector.centroids.shape == (300, 8)
    once, thrice = np.asarray(detector(data.features)), np.asarray(detector(3 * data.features))
    np.testing.assert_allclose(once, thrice, atol=1e-3)
    assert np.asarray(detector(-data.features)).mean() > 3 * once.mean()


@pytest.mark.parametrize("method", METHODS)
def test_a_traced_detector_gives_what_it_gives_of_arrays(method: str) -> None:
    import tensorflow as tf

    data = known(150)
    detector = FITS[method](data.features, data.labels, Head(data.head.kernel[:-STATISTICS], data.head.bias))
    signature = [tf.TensorSpec([None, 150], tf.float32)]
    traced = tf.function(lambda rows: detector(rows), input_signature=signature)  # noqa: PLW0108 - it takes no weak reference
    expected = np.asarray(detector(data.features))
    assert expected.dtype == np.float32
    assert expected.shape == (600,)
    assert (expected >= 0).all()
    np.testing.assert_allclose(traced(data.features).numpy(), expected, rtol=1e-4, atol=1e-5)
