"""What may be exported: only runs whose pixels a worker can make again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidRequestError
from core.imaging import preprocessing_hash
from training.datasets.base import Dataset, Sample
from training.experiments.registry import find_experiment
from training.export import describe_run, export_run
from training.runs import Predictions, RunFolder, RunRecord
from training.splits import split_grouped
from training.train import recorded_preprocessing

SAMPLES = tuple(Sample(str(i), ("mel", "nv")[i % 2], str(i)) for i in range(200))
DATASET = Dataset("toy", "Toy", "none", ("mel", "nv"), ("mel",), SAMPLES)


def finished_run(path: Path, hashed: str) -> RunFolder:
    """A run of the lstm's size with noisy predictions, without its model: as far as a description goes."""
    record = RunRecord(
        experiment="lstm",
        architecture="lstm",
        dataset="Toy",
        licence="none",
        classes=DATASET.classes,
        malignant=DATASET.malignant,
        height=28,
        width=28,
        resize="stretch",
        preprocessing_hash=hashed,
        seed=1,
        split="grouped",
        epochs=1,
        parameters=1,
        data="",
        git_commit="",
        versions={},
    )
    folder, split = RunFolder(path), split_grouped(DATASET, seed=1)
    folder.save(record, split)
    generator = np.random.default_rng(0)
    parts = {}
    for part in ("validation", "test"):
        labels = DATASET.label_indices()[DATASET.positions(split.part(part))]
        parts[part] = Predictions(labels, 0.5 * np.eye(2)[labels] + 0.5 * generator.dirichlet((1, 1), len(labels)))
    folder.save_predictions(parts)
    folder.save_samples({part: [SAMPLES[i] for i in DATASET.positions(split.part(part))] for part in parts})
    return folder


def test_images_of_ours_may_be_served(tmp_path: Path) -> None:
    spec, figures = describe_run(finished_run(tmp_path, recorded_preprocessing(find_experiment("lstm"), DATASET)), "lstm")
    assert spec.preprocessing_hash == preprocessing_hash(28, 28, "stretch")
    assert figures["headline"]["accuracy"] > 0.8


def test_pixels_that_somebody_else_decoded_may_not(tmp_path: Path) -> None:
    decoded = replace(DATASET, name="hmnist", pixels=np.zeros((200, 28, 28, 3), np.uint8))
    run = finished_run(tmp_path / "run", recorded_preprocessing(find_experiment("lstm"), decoded))
    with pytest.raises(InvalidRequestError, match="as published in hmnist"):
        export_run(run, model="lstm", root=tmp_path / "models")
    assert not (tmp_path / "models").exists()
