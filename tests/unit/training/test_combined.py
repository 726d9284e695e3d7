"""Several sources as one data set: read in place, each split by its own groups, and known by the classes that it labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidRequestError
from tests.support.sources import TABLE, write_csv, write_sources
from training.datasets.base import Dataset
from training.datasets.combined import combine, load_table
from training.datasets.ham10000 import load_ham10000
from training.datasets.registry import load_dataset, recognise
from training.splits import PARTS, by_source, held_out_name, split_grouped, split_sources


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources")
    write_sources(path)
    return path


@pytest.fixture(scope="module")
def dataset(root: Path) -> Dataset:
    return load_dataset("ham10000", root)  # what lies there decides


def test_the_sources_follow_one_another_and_keep_their_bytes(root: Path, dataset: Dataset) -> None:
    assert recognise(root) == "combined"
    alone = [load_ham10000(root / "ham10000")]
    alone += [load_table(root / name, name, name, "none") for name in ("isic2017", "pad_ufes_20")]
    assert [sample.id for sample in dataset.samples] == [sample.id for each in alone for sample in each.samples]
    assert dataset.source is not None
    assert len(dataset.source) == len(dataset) == 140 + 60 + 50
    with dataset.source.open() as reader:
        for position, part, at in ((0, 0, 0), (139, 0, 139), (140, 1, 0), (199, 1, 59), (200, 2, 0), (249, 2, 49)):
            single = alone[part].source
            assert single is not None
            with single.open() as other:
                assert reader.read(position) == other.read(at)


def test_invasive_carcinoma_is_left_out_and_licences_are_named(dataset: Dataset) -> None:
    assert {sample.label for sample in dataset.samples} == set(dataset.classes)
    assert dataset.licence == "CC BY-NC 4.0"
    assert dataset.title.count("CC BY-NC 4.0") == 2
    assert "PAD-UFES-20, a part (CC BY 4.0)" in dataset.title


def test_a_source_labels_its_own_classes_only(dataset: Dataset) -> None:
    labelled = dataset.labelled()
    assert labelled[:140].all()
    assert [name for name, known in zip(dataset.classes, labelled[150], strict=True) if known] == ["bkl", "mel", "nv"]
    assert labelled[np.arange(len(dataset)), dataset.label_indices()].all()


def test_patients_and_near_duplicates_are_groups(dataset: Dataset) -> None:
    groups = [sample.group for sample in dataset.samples[140:]]
    assert len(set(groups)) == 30 + 25
    assert all(groups[i] == groups[i + 1] for i in range(0, len(groups), 2))


def test_the_first_source_is_split_as_if_it_were_alone(root: Path, dataset: Dataset) -> None:
    split, alone = split_sources(dataset, seed=7), split_grouped(load_ham10000(root / "ham10000"), seed=7)
    for part in PARTS:
        assert by_source(dataset, split.part(part))["ham10000"] == alone.part(part)
    groups = {part: {dataset.samples[i].group for i in dataset.positions(split.part(part))} for part in PARTS}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    assert 18 <= len(by_source(dataset, split.test)["isic2017"]) <= 22  # a third of sixty, in groups of two
    names = [held_out_name("test", source, dataset) for source in dataset.sources]
    assert names == ["test", "test-isic2017", "test-pad_ufes_20"]


def test_what_does_not_fit_together_is_refused(tmp_path: Path, root: Path, dataset: Dataset) -> None:
    ham = load_ham10000(root / "ham10000")
    with pytest.raises(InvalidRequestError, match="pictures with the same id"):
        combine((ham, replace(ham, name="again")))
    with pytest.raises(InvalidRequestError, match=r"another source has also \['wart'\]"):
        combine((ham, replace(ham, classes=("wart",))))
    write_csv(tmp_path / "isic2017_256.csv", TABLE, [("a", "wart", "", "", "", "a", "", "", "")])
    with pytest.raises(InvalidRequestError, match=r"got also \['wart'\]"):
        load_table(tmp_path, "isic2017", "ISIC 2017", "none")
    with pytest.raises(InvalidRequestError, match="expected the data set's CSV"):
        load_table(tmp_path, "pad_ufes_20", "PAD", "none")


def test_the_test_part_of_the_shipped_starter_stays_the_same(shared_data: Path) -> None:
    import json

    shipped = Path(__file__).parents[3] / "serving" / "models" / "starter" / "2" / "assets.extra" / "split.json"
    known = json.loads(shipped.read_text(encoding="utf-8"))
    dataset = load_dataset("combined", shared_data)
    split = split_sources(dataset, seed=7)
    for part in PARTS:
        assert list(by_source(dataset, split.part(part))["ham10000"]) == known[part]
