"""Figures agree with scikit-learn where it has them, and with cases worked out by hand where it has not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from core.evaluation import metrics


@pytest.fixture
def case() -> tuple[metrics.IntArray, metrics.FloatArray]:
    generator = np.random.default_rng(11)
    labels = generator.integers(0, 4, 300)
    logits = generator.normal(size=(300, 4)) + 1.5 * np.eye(4)[labels]
    powers = np.exp(np.round(logits, 1))  # rounded: ties
    return labels, powers / powers.sum(axis=1, keepdims=True)


def test_agrees_with_scikit_learn(case: tuple[metrics.IntArray, metrics.FloatArray]) -> None:
    labels, probabilities = case
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy(labels, probabilities) == pytest.approx((labels == predicted).mean())
    assert metrics.balanced_accuracy(labels, probabilities) == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics.macro_auc(labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, predicted, 4), confusion_matrix(labels, predicted))


def test_auc_counts_ties_half_and_needs_both_sides() -> None:
    assert metrics.auc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5
    assert metrics.auc(np.array([True, False, False]), np.array([0.5, 0.5, 0.1])) == 0.75
    assert np.isnan(metrics.auc(np.array([True, True]), np.array([0.5, 0.4])))


def test_calibration_error_by_hand() -> None:
    # Four images at confidence 0.9, three of them right: gap 0.15; one at 0.6, wrong: gap 0.6.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]])
    labels = np.array([0, 0, 0, 1, 1])
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx((4 * 0.15 + 1 * 0.6) / 5)


def test_threshold_is_the_highest_that_reaches_the_sensitivity() -> None:
    risks = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 0.1])
    malignant = np.array([True, True, True, True, True, False, False])
    threshold = metrics.threshold_for_sensitivity(malignant, risks, 0.8)
    assert threshold == 0.6
    point = metrics.operating_point(malignant, risks, threshold)
    assert point["sensitivity"] == 0.8
    assert point["specificity"] == 0.5
    assert point["flagged"] == pytest.approx(5 / 7)


def test_threshold_without_malignant_images_says_so() -> None:
    with pytest.raises(ValueError, match="malignant"):
        metrics.threshold_for_sensitivity(np.array([False]), np.array([0.5]), 0.9)
