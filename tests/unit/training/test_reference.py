"""The bins that a version's later answers are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from core.drift import Seen, measure_drift
from core.modelspec import ModelSpec
from training.reference import make_bins, make_reference
from training.runs import Predictions


def spec(**changes: object) -> ModelSpec:
    fields = {"name": "m", "classes": ("a", "b"), "input_height": 8, "input_width": 8, "preprocessing_hash": "x"}
    return ModelSpec.model_validate(fields | changes)


def test_ten_bins_of_as_many_values_each() -> None:
    bins = make_bins(np.arange(1000, dtype=np.float32))
    assert len(bins.edges) == 9
    assert bins.shares == pytest.approx([0.1] * 10, abs=0.002)


def test_equal_deciles_make_one_edge() -> None:
    bins = make_bins(np.array([0.0] * 95 + [1.0] * 5, np.float32))
    assert bins.edges == (0.0,)
    assert bins.shares == (0.0, 1.0)


def test_a_version_has_not_moved_from_itself() -> None:
    draw = np.random.default_rng(5)
    malignant = draw.random(500)
    test = Predictions(labels=np.zeros(500, int), probabilities=np.stack([1 - malignant, malignant], axis=1))
    novelty = draw.random(500).astype(np.float32)
    sure = spec(malignant=("b",), thresholds={"t": 0.5}, operating_point="t")
    reference = make_reference(test, sure, novelty)
    assert reference.images == 500
    assert reference.risk is not None
    assert reference.novelty is not None
    seen = Seen(
        images=500,
        classes=(int((malignant < 0.5).sum()), int((malignant >= 0.5).sum())),
        risk=tuple(np.bincount(np.searchsorted(reference.risk.edges, malignant, side="right"))),
        novelty=tuple(np.bincount(np.searchsorted(reference.novelty.edges, novelty, side="right"))),
    )
    drift = measure_drift(reference, seen)
    assert drift is not None
    assert [drift.classes, drift.risk, drift.novelty] == pytest.approx([0, 0, 0], abs=1e-3)


def test_without_a_risk_or_a_novelty_there_are_no_bins_of_them() -> None:
    test = Predictions(labels=np.zeros(4, int), probabilities=np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    reference = make_reference(test, spec())
    assert reference.classes == (0.75, 0.25)
    assert (reference.risk, reference.novelty) == (None, None)
