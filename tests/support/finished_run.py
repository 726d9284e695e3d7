"""The folder of a run that has come to its end, without its model: as far as evaluation and description go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.imaging import preprocessing_hash
from training.datasets.base import Dataset, Sample
from training.runs import Predictions, RunFolder, RunRecord
from training.splits import split_grouped


def drawn_dataset(classes: Sequence[str] = ("mel", "nv"), count: int = 200) -> Dataset:
    """Samples of each class in turn, two a lesion where there are enough, with sex and age."""
    size = len(classes)
    samples = [
        Sample(
            id=f"image{i}",
            label=classes[i % size],
            group=f"lesion{i // (2 * size)}-{i % size}",
            attributes={"sex": ("female", "male")[i // size % 2], "age": str(20 + i % 70), "site": "back"},
        )
        for i in range(count)
    ]
    malignant = tuple(name for name in classes if name in {"akiec", "bcc", "mel"})
    return Dataset("toy", "Toy", "none", tuple(classes), malignant, tuple(samples))


def finished_run(
    path: Path,
    dataset: Dataset | None = None,
    *,
    signal: float = 0.5,
    hashed: str = "",
    history: Mapping[str, list[float]] | None = None,
) -> RunFolder:
    """A run of the lstm's size on a grouped split, with noisy predictions.

    Args:
        path: its folder.
        dataset: by default a drawn one of two classes.
        signal: probability that the true class has at least; the rest is noise.
        hashed: what the record says of the preprocessing; by default what a worker does.
        history: of its epochs.
    """
    dataset = dataset or drawn_dataset()
    record = RunRecord(
        experiment="lstm",
        architecture="lstm",
        dataset=dataset.title,
        licence=dataset.licence,
        classes=dataset.classes,
        malignant=dataset.malignant,
        height=28,
        width=28,
        resize="stretch",
        preprocessing_hash=hashed or preprocessing_hash(28, 28, "stretch"),
        seed=1,
        split="grouped",
        epochs=1,
        parameters=1,
        git_commit="abc",
        versions={"numpy": np.__version__},
        history=dict(history or {}),
    )
    folder, split = RunFolder(path), split_grouped(dataset, seed=1)
    folder.save(record, split)
    generator, parts, size = np.random.default_rng(0), {}, len(dataset.classes)
    for part in ("validation", "test"):
        labels = dataset.label_indices()[dataset.positions(split.part(part))]
        noise = generator.dirichlet(np.ones(size), len(labels))
        parts[part] = Predictions(labels, (signal * np.eye(size)[labels] + (1 - signal) * noise).astype(np.float32))
    folder.save_predictions(parts)
    folder.save_samples({part: [dataset.samples[i] for i in dataset.positions(split.part(part))] for part in parts})
    return folder


def with_pixels(dataset: Dataset) -> Dataset:
    """The same as arrays that somebody else has decoded."""
    return replace(dataset, name="hmnist", pixels=np.zeros((len(dataset), 28, 28, 3), np.uint8))
