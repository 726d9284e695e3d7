"""What may be exported: only runs whose pixels a worker can make again."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidRequestError
from core.imaging import preprocessing_hash
from tests.support.finished_run import drawn_dataset, finished_run, with_pixels
from training.experiments.registry import find_experiment
from training.export import describe_run, export_run
from training.train import recorded_preprocessing


def test_images_of_ours_may_be_served(tmp_path: Path) -> None:
    dataset = drawn_dataset()
    run = finished_run(tmp_path, dataset, hashed=recorded_preprocessing(find_experiment("lstm"), dataset))
    spec, figures = describe_run(run, "lstm")
    assert spec.preprocessing_hash == preprocessing_hash(28, 28, "stretch")
    assert figures["headline"]["accuracy"] > 0.8
    assert spec.metrics["test_log_loss"] == round(figures["headline"]["log_loss"], 4)


def test_pixels_that_somebody_else_decoded_may_not(tmp_path: Path) -> None:
    decoded = with_pixels(drawn_dataset())
    run = finished_run(tmp_path / "run", decoded, hashed=recorded_preprocessing(find_experiment("lstm"), decoded))
    with pytest.raises(InvalidRequestError, match="as published in hmnist"):
        export_run(run, model="lstm", root=tmp_path / "models")
    assert not (tmp_path / "models").exists()
