"""Screening figures: the ROC curve's corners as scikit-learn has them; net benefit and thresholds worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from core.evaluation import metrics
from training.screening import (
    LEVELS,
    Scored,
    curve_figures,
    decision_curve,
    figures_at,
    questions,
    scored,
    screening_figures,
    thresholds,
    useful_range,
)


def drawn(count: int = 400, seed: int = 5) -> Scored:
    generator = np.random.default_rng(seed)
    positive = generator.random(count) < 0.3
    scores = 1 / (1 + np.exp(-np.round(generator.normal(size=count) + 1.5 * positive - 1, 1)))  # rounded: ties
    return Scored(positive, scores, [str(i // 2) for i in range(count)])


@pytest.mark.parametrize("seed", range(5))
def test_the_curves_corners_are_those_of_scikit_learn(seed: int) -> None:
    part = drawn(seed=seed)
    alarms, hits, _ = roc_curve(part.positive, part.scores, drop_intermediate=False)
    found = curve_figures(part.positive, part.scores)
    for level in LEVELS:
        share = level / 100
        assert found[f"sensitivity_at_specificity_{level}"] == pytest.approx(hits[1 - alarms >= share - 1e-12].max())
        assert found[f"specificity_at_sensitivity_{level}"] == pytest.approx(1 - alarms[hits >= share - 1e-12].min())


def test_log_loss_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    labels, probabilities = generator.integers(0, 3, 50), generator.dirichlet((1, 1, 1), 50)
    expected = log_loss(labels, probabilities, labels=[0, 1, 2])
    assert metrics.headline(labels, probabilities, (0,))["log_loss"] == pytest.approx(expected)


def test_thresholds_by_hand() -> None:
    scores = np.arange(1, 21) / 20  # ten negatives 0.05 … 0.5, ten positives 0.55 … 1.0
    found = thresholds(scores > 0.5, scores)
    assert [found[f"sensitivity_{level}"] for level in LEVELS] == [0.65, 0.6, 0.55]
    for level, highest_rejected in zip(LEVELS, (0.4, 0.45, 0.5), strict=True):
        assert highest_rejected < found[f"specificity_{level}"] < highest_rejected + 1e-9


def test_images_to_review_for_each_found() -> None:
    positive = np.array([True, False, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    assert figures_at(positive, scores, 0.5)["needed_to_review"] == 2.0
    assert figures_at(positive, scores, 0.65)["needed_to_review"] == 3.0
    assert np.isnan(figures_at(positive, scores, 0.95)["needed_to_review"])


def test_net_benefit_by_hand() -> None:
    # Ten images, three positive. At 0.2 five are flagged, two of them rightly: 2/10 - 3/10 · 0.2/0.8 = 0.125.
    positive = np.array([True, True, True, False, False, False, False, False, False, False])
    scores = np.array([0.9, 0.5, 0.1, 0.6, 0.3, 0.2, 0.1, 0.1, 0.0, 0.0])
    row = next(row for row in decision_curve(positive, scores) if row["at"] == 0.2)
    assert row["model"] == pytest.approx(0.125)
    assert row["all"] == pytest.approx(0.3 - 0.7 * 0.25)
    assert useful_range([{"at": 0.1, "model": 0.2, "all": 0.3}, row | {"all": -0.1}, row | {"at": 0.3, "all": -1.0}]) == (
        0.2,
        0.3,
    )
    assert useful_range([{"at": 0.1, "model": -0.1, "all": -0.2}]) is None


def test_a_threshold_is_carried_from_validation_with_its_doubt() -> None:
    test, validation = drawn(), drawn(seed=6)
    found = screening_figures(test, validation, rounds=200)
    assert found["positive"] == test.positive.sum()
    assert found["auc"] == pytest.approx(roc_auc_score(test.positive, test.scores))
    point = found["carried"]["sensitivity_90"]
    assert point["threshold"] == thresholds(validation.positive, validation.scores)["sensitivity_90"]
    assert point["sensitivity"] == (test.scores[test.positive] >= point["threshold"]).mean()
    for key in ("threshold", "sensitivity", "specificity", "needed_to_review"):
        low, high = point["interval_95"][key]
        assert low <= point[key] <= high
        assert low < high
    fixed = screening_figures(test, test, rounds=200)["carried"]["sensitivity_90"]["interval_95"]["threshold"]
    assert fixed != point["interval_95"]["threshold"]
    assert found == screening_figures(test, validation, rounds=200)


def test_intervals_hold_the_curve_and_widen_with_groups() -> None:
    part = drawn(600)
    alone = Scored(part.positive, part.scores, [str(i) for i in range(600)])
    repeated = Scored(np.repeat(part.positive[:120], 5), np.repeat(part.scores[:120], 5), [str(i // 5) for i in range(600)])
    narrow, wide = (screening_figures(each, None, rounds=200) for each in (alone, repeated))
    for found in (narrow, wide):
        low, high = found["curve_interval_95"]["sensitivity_at_specificity_80"]
        assert low <= found["curve"]["sensitivity_at_specificity_80"] <= high
        assert found["carried"] == {}
    spread = [np.ptp(found["curve_interval_95"]["sensitivity_at_specificity_80"]) for found in (narrow, wide)]
    assert spread[1] > 1.3 * spread[0]


def test_what_is_asked_follows_from_the_classes() -> None:
    assert questions(("akiec", "mel", "nv"), (0, 1)) == {"melanoma": (1,), "malignant": (0, 1)}
    assert questions(("melanoma", "nevus"), (0,)) == {"malignant": (0,)}
    assert questions(("a", "b"), ()) == {}


def test_a_part_with_one_side_alone_has_no_figures() -> None:
    labels, probabilities = np.array([1, 1]), np.array([[0.2, 0.8], [0.3, 0.7]])
    assert screening_figures(scored(labels, probabilities, ["a", "b"], (0,)), None, rounds=10) == {}
