"""The list of experiments, and the splits that their publishers made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from sklearn.model_selection import train_test_split

from core.errors import InvalidRequestError
from tests.support.servers import ROOT
from training.datasets.base import Dataset, Sample
from training.experiments.base import Protocol
from training.experiments.registry import EXPERIMENTS, find_experiment
from training.splits import random_parts, split_published
from training.train import list_experiments, make_split, with_size


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


def test_another_size_is_height_and_width() -> None:
    found = with_size(find_experiment("cnn75"), "60x80")
    assert (found.height, found.width) == (60, 80)
    assert with_size(found, None) is found
    for wrong in ("60", "0x4", "60x80x3", "x"):
        with pytest.raises(InvalidRequestError, match="75x100"):
            with_size(found, wrong)


def test_settings_are_searched_on_the_command_line(tmp_path: Path) -> None:
    for label, red in (("melanoma", 60), ("nevus", 180)):
        (tmp_path / "tree" / label).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (30, 20), (red + number, 90, 90)).save(tmp_path / "tree" / label / f"{label}{number}.png")
    options = {"--data": tmp_path / "tree", "--out": tmp_path / "run", "--epochs": 1, "--tune": 2, "--size": "16x16"}
    command = [
        sys.executable,
        "-m",
        "training.train",
        "overfit-plain",
        *(str(word) for pair in options.items() for word in pair),
    ]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    # In a process of its own: the number of threads is set once in a process.
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "best on validation: learning_rate=" in done.stdout
    trials = json.loads((tmp_path / "run" / "tuning.json").read_text(encoding="utf-8"))["trials"]
    assert len(trials) == 2
    assert {"learning_rate", "batch_size", "label_smoothing", "balance"} == set(trials[0]["settings"])
    assert not (tmp_path / "run" / "predictions.npz").exists()  # the test part was not looked at


def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`training.train` with a proxy that nothing listens on, and no cache of Keras."""
    environment = {"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "training.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.mark.timeout(300)
def test_weights_that_cannot_be_fetched_are_an_error_before_anything_is_decoded(tmp_path: Path) -> None:
    done = offline("transfer-densenet121", "--data", str(tmp_path / "no-data"))
    assert done.returncode == 2
    assert "--weights imagenet: the weights of DenseNet121 cannot be fetched" in done.stderr
    assert "--weights PATH" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("experiment", "weights", "message"),
    [
        ("starter-lite", "imagenet", "--weights imagenet: expected 'none', the path of a file, or one of the packages"),
        ("starter", "none", "--weights: starter has no pretrained base"),
    ],
    ids=["lite", "scratch"],
)
def test_weights_that_an_experiment_cannot_take_are_named(tmp_path: Path, experiment: str, weights: str, message: str) -> None:
    done = offline(experiment, "--data", str(tmp_path / "no-data"), "--weights", weights)
    assert done.returncode == 2
    assert message in done.stderr
