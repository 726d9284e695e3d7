"""The list of experiments, and the splits that their publishers made."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sklearn.model_selection import train_test_split

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, Sample
from training.experiments.base import Protocol
from training.experiments.registry import EXPERIMENTS, find_experiment
from training.splits import random_parts, split_published
from training.train import list_experiments, make_split


def dataset_of(count: int, parts: tuple[str, ...] = ()) -> Dataset:
    samples = [Sample(str(i), "ab"[i % 2], str(i // 2), part=parts[i % len(parts)] if parts else "") for i in range(count)]
    return Dataset("toy", "Toy", "none", ("a", "b"), ("a",), tuple(samples))


@pytest.mark.parametrize(("count", "share", "seed"), [(10_015, 0.2, 42), (10_015, 0.2, 23), (7, 0.1, 3), (2003, 0.25, 0)])
def test_random_parts_are_those_of_scikit_learn(count: int, share: float, seed: int) -> None:
    ids = [str(i) for i in range(count)]
    assert list(random_parts(ids, share=share, seed=seed)) == train_test_split(ids, test_size=share, random_state=seed)


def test_a_protocol_without_validation_watches_its_test_part() -> None:
    split = split_published(dataset_of(100), Protocol(test=0.2, seed=42))
    assert split.validates_on_test
    assert (len(split.train), len(split.test)) == (80, 20)
    assert not split_published(dataset_of(100), Protocol(test=0.2, seed=42, validation=0.1)).validates_on_test


def test_parts_given_by_the_publisher_are_kept() -> None:
    split = split_published(dataset_of(90, parts=("train", "train", "test")), Protocol(test=0.0, seed=1, validation=0.2))
    assert set(split.test) == {str(i) for i in range(2, 90, 3)}
    assert (len(split.train), len(split.validation)) == (48, 12)


def test_list_names_every_experiment_its_size_and_figure() -> None:
    text = list_experiments()
    assert all(name in text for name in EXPERIMENTS)
    assert "171,111" in text
    assert "88.42 %" in text


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequestError, match="lstm"):
        find_experiment("nonsense")
    with pytest.raises(InvalidRequestError, match="grouped"):
        make_split(dataset_of(4), find_experiment("starter"), "published")


def test_listing_needs_no_tensorflow() -> None:
    code = "import sys, training.train as t; t.main(['--list']); print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
