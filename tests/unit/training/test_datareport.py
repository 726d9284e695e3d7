"""The report on a data set says what is in it: sizes, groups, copies, leaks, what is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datareport import copy_lines, group_lines, imbalance, main, published_splits, render_data_report
from training.datasets.base import Dataset, Sample
from training.datasets.registry import CLASSES, load_dataset


@pytest.fixture
def dataset() -> Dataset:
    labels = ["nv"] * 6 + ["mel"] * 3 + ["df"]
    groups = ["a", "a", "b", "c", "d", "e", "f", "f", "d", "g"]
    samples = tuple(
        Sample(f"i{i}", label, group, {"age": "" if i < 4 else "50", "sex": "unknown" if i < 2 else "male"})
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
    return Dataset("toy", "Toy <1>", "CC0", ("df", "mel", "nv"), ("mel",), samples, pixels=np.zeros((10, 28, 28, 3), np.uint8))


def test_imbalance(dataset: Dataset) -> None:
    largest, majority, spread = imbalance(dataset)
    assert largest == "The largest class, nv, has 6.0 times the images of the smallest, df (6 and 1)."
    assert majority == "A model that always says nv has an accuracy of 60.0 %, and a balanced accuracy of 33.3 %."
    assert "as spread out as 2.5 of equal size" in spread  # exp(-(0.6 ln 0.6 + 0.3 ln 0.3 + 0.1 ln 0.1)) = 2.454


def test_groups(dataset: Dataset) -> None:
    assert group_lines(dataset) == [
        "7 groups; 3 have several images, up to 2.",
        "1 groups have images under more than one label.",
    ]


def test_copies(dataset: Dataset) -> None:
    digests = ["x", "x", "y", "y", "z", "1", "2", "3", "z", "4"]
    assert copy_lines(dataset, digests) == [
        "3 pictures are there more than once, byte for byte; 3 images are such repetitions.",
        "1 pictures lie under both mel and nv.",
        "For example: i0, i1; i2, i3; i4, i8.",
    ]


def test_the_page_has_a_picture_a_class_and_what_is_missing(dataset: Dataset) -> None:
    page = render_data_report(dataset, dataset.pixels if dataset.pixels is not None else np.zeros(0, np.uint8))
    assert page.count("data:image/png") == 3
    assert "Toy &lt;1&gt;" in page
    assert "<td>age</td><td>6</td><td>4</td><td>50 (6)</td>" in page
    assert "<td>sex</td><td>8</td><td>2</td><td>male (8)</td>" in page
    assert page.index("<td>nv</td>") < page.index("<td>mel</td>") < page.index("<td>df</td>")


def test_published_protocols_are_looked_at_too(dataset: Dataset) -> None:
    assert list(published_splits(dataset)) == ["by group"]
    named = Dataset("hmnist", "h", "", dataset.classes, (), dataset.samples, pixels=dataset.pixels)
    assert list(published_splits(named)) == ["by group", "published: test 0.2, validation 0, seed 42"]


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for label in ("melanoma", "nevus"):
        (tmp_path / "tree" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (30, 20), (number * 40, 90, 90)).save(tmp_path / "tree" / label / f"{label}{number}.png")
    out = tmp_path / "page.html"
    assert main(["folders", "--data", str(tmp_path / "tree"), "--out", str(out)]) == 0
    assert "4 pictures lie under both melanoma and nevus." in out.read_text(encoding="utf-8")
    assert "report: " in capsys.readouterr().out
    assert main(["folders", "--data", str(tmp_path / "nothing")]) == 2
    assert "check --data" in capsys.readouterr().err


def test_the_classes_known_without_images_are_those_of_the_images(shared_data: Path) -> None:
    assert set(load_dataset("isic9", shared_data / "isic9").classes) == set(CLASSES["isic9"])
