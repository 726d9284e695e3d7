"""Leaks are found, counted and, on request, stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.datasets.base import Dataset, Sample
from training.leakage import drop_duplicates, find_leakage, image_digests
from training.splits import Split


def picture(seed: int) -> Any:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


@pytest.fixture
def dataset() -> Dataset:
    a, b, c, d = (picture(seed) for seed in range(4))
    nearly_a = a.copy()
    nearly_a[0, 0] ^= 1
    images = {  # id → picture, label, group
        "a": (a, "mel", "1"),
        "a-again": (a, "mel", "1"),
        "a-nearly": (nearly_a, "mel", "2"),
        "b": (b, "nv", "3"),
        "b-as-bkl": (b, "bkl", "4"),
        "c": (c, "nv", "5"),
        "d": (d, "nv", "6"),
    }
    samples = tuple(Sample(id=key, label=label, group=group) for key, (_, label, group) in images.items())
    pixels = np.stack([pixels for pixels, _, _ in images.values()])
    return Dataset("toy", "Toy", "none", ("bkl", "mel", "nv"), ("mel",), samples, pixels=pixels)


@pytest.fixture
def split() -> Split:
    return Split("published", 1, "toy", train=("a", "b", "c"), validation=("b-as-bkl",), test=("a-again", "a-nearly", "d"))


def test_finds_groups_copies_and_shared_labels(dataset: Dataset, split: Split) -> None:
    assert dataset.pixels is not None
    report = find_leakage(dataset, split, image_digests(dataset), dataset.pixels)
    assert report.shared_groups == {"train → test": 1}
    assert report.shared_groups_share == {"train → test": pytest.approx(1 / 3)}
    assert {(pair.first, pair.second) for pair in report.identical} == {("a", "a-again"), ("b", "b-as-bkl")}
    assert {(pair.first, pair.second) for pair in report.near} == {("a", "a-nearly")}
    assert report.shared_by_classes == {"bkl & nv": 1}
    assert len(report.lines()) == 4


def test_dropping_leaves_each_picture_in_one_place(dataset: Dataset, split: Split) -> None:
    assert dataset.pixels is not None
    digests = image_digests(dataset)
    cleaned = drop_duplicates(dataset, split, digests)
    assert cleaned.train == ("c",)  # a stays in test, b under the rarer label
    assert cleaned.validation == ("b-as-bkl",)
    assert cleaned.test == split.test
    report = find_leakage(dataset, cleaned, digests, dataset.pixels)
    assert not report.identical
    assert not report.shared_by_classes


def test_a_test_part_that_is_watched_is_not_called_shared(dataset: Dataset) -> None:
    assert dataset.pixels is not None
    watched = Split("published", 1, "toy", train=("b", "c"), validation=("a", "d"), test=("a", "d"))
    report = find_leakage(dataset, watched, image_digests(dataset), dataset.pixels)
    assert report.lines() == ["nothing shared between the parts, no image under two labels"]
