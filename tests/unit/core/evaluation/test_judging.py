"""The report on a job: worked out by hand, and the same as a training run's figures."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation.bootstrap import intervals
from core.evaluation.figures import describe
from core.evaluation.judging import Answers, find_column, judge, roc
from core.evaluation.resampling import Judged, resampled, wilson
from core.modelspec import ModelSpec

SPEC = ModelSpec(
    name="tiny",
    classes=("akiec", "mel", "nv"),
    input_height=28,
    input_width=28,
    malignant=("akiec", "mel"),
    thresholds={"sensitive": 0.3},
    operating_point="sensitive",
    preprocessing_hash="x",
)


def random_answers(images: int, seed: int = 3) -> Answers:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, images)
    powers = np.exp(np.round(generator.normal(size=(images, 3)) + 1.2 * np.eye(3)[labels], 1))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    metadata = [{"sex": ("male", "female")[at % 2], "lesion_id": f"L{at // 3}"} for at in range(images)]
    return Answers([SPEC.classes[at] for at in labels], probabilities, probabilities[:, :2].sum(axis=1), metadata)


def test_figures_are_those_of_a_training_run() -> None:
    answers = random_answers(120)
    labels = np.array([SPEC.classes.index(name) for name in answers.labels])
    found = judge(answers, SPEC, ("lesion_id", "sex"), rounds=50)
    attributes = [{"sex": each["sex"]} for each in answers.metadata]
    expected = describe(
        labels, answers.probabilities, SPEC.classes, (0, 1), thresholds={"sensitive": 0.3}, attributes=attributes
    )
    assert {key: found[key] for key in expected} == expected
    assert (found["grouped_by"], found["rounds"]) == ("lesion_id", 50)
    assert list(found["groups"]) == ["sex"]


def test_weights_give_the_intervals_of_copies() -> None:
    answers = random_answers(120)
    labels = np.array([SPEC.classes.index(name) for name in answers.labels])
    malignant, risks = labels < 2, np.asarray(answers.risks)
    groups = [each["lesion_id"] for each in answers.metadata]
    drawn = resampled(Judged(labels, answers.probabilities, malignant, risks, 0.3, groups), rounds=40, seed=5)
    flag = {
        "sensitivity": lambda y, p: float((p[:, :2].sum(axis=1) >= 0.3)[y < 2].mean()),
        "specificity": lambda y, p: float((p[:, :2].sum(axis=1) < 0.3)[y == 2].mean()),
    }
    figures = {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "malignant_auc": lambda y, p: metrics.auc(y < 2, p[:, :2].sum(axis=1)),
        "ece": metrics.expected_calibration_error,
        "recall_1": lambda y, p: metrics.recalls(y, p)[1],
        **flag,
    }
    copies = intervals(labels, answers.probabilities, groups, figures, rounds=40, seed=5)
    assert {name: drawn[name] for name in copies} == {name: pytest.approx(bounds) for name, bounds in copies.items()}


def test_a_share_of_few_images_is_not_certain() -> None:
    # Three of three: the bootstrap says 1 to 1. Wilson's lower bound is 3 / (3 + z²) = 0.4385.
    assert wilson(3, 3) == (pytest.approx(0.43850, abs=1e-5), 1.0)
    assert all(np.isnan(bound) for bound in wilson(0, 0))
    answers = Answers(["mel"] * 3 + ["nv"], np.eye(3)[[1, 1, 1, 2]], np.array([1.0, 1.0, 1.0, 0.0]), [{}] * 4)
    found = judge(answers, SPEC, rounds=20)["interval_95"]
    assert found["recall"]["mel"] == (pytest.approx(0.43850, abs=1e-5), 1.0)
    assert found["sensitivity"] == (pytest.approx(0.43850, abs=1e-5), 1.0)
    assert all(np.isnan(bound) for bound in found["recall"]["akiec"])


def test_the_curve_flags_equal_scores_together() -> None:
    curve = roc(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert [(row["threshold"], row["sensitivity"], row["specificity"]) for row in curve] == [
        (0.9, 0.5, 1.0),
        (0.5, 1.0, 0.5),
        (0.1, 1.0, 0.0),
    ]
    assert roc(np.array([True]), np.array([0.3])) == []
    assert len(roc(np.arange(5000) % 2 == 0, np.random.default_rng(0).random(5000), points=50)) == 50


def test_a_model_without_a_risk_has_no_curve() -> None:
    plain = SPEC.model_copy(update={"malignant": (), "thresholds": {}, "operating_point": ""})
    found = judge(Answers(["mel", "nv"], np.eye(3)[[1, 1]], None, [{}, {}]), plain, rounds=10)
    assert (found["roc"], found["operating_points"]) == ([], {})
    assert found["confusion"] == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert "sensitivity" not in found["interval_95"]


def test_columns_are_found_by_letters_and_digits() -> None:
    assert find_column(("Age approx", "Lesion ID"), ("lesionid",)) == "Lesion ID"
    assert find_column(("dx",), ("lesionid",)) is None
