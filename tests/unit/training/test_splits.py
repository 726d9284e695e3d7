"""Splits keep groups together, spread classes, and survive the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from training.datasets.base import Dataset, Sample
from training.splits import PARTS, Split, split_grouped

CLASSES = ("a", "b", "c")


def dataset_of(groups: list[tuple[str, int]]) -> Dataset:
    samples = [
        Sample(id=f"{number}-{image}", label=label, group=str(number))
        for number, (label, size) in enumerate(groups)
        for image in range(size)
    ]
    return Dataset("toy", "Toy", "none", CLASSES, ("a",), tuple(samples))


@given(
    groups=st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(1, 6)), min_size=1, max_size=60),
    seed=st.integers(0, 2**31),
)
def test_every_image_is_in_one_part_and_no_group_in_two(groups: list[tuple[str, int]], seed: int) -> None:
    dataset = dataset_of(groups)
    split = split_grouped(dataset, seed=seed)
    ids = [key for part in PARTS for key in split.part(part)]
    assert sorted(ids) == sorted(sample.id for sample in dataset.samples)
    parts_of_group = {sample.group: set() for sample in dataset.samples}  # type: dict[str, set[str]]
    group_of = {sample.id: sample.group for sample in dataset.samples}
    for part in PARTS:
        for key in split.part(part):
            parts_of_group[group_of[key]].add(part)
    assert all(len(parts) == 1 for parts in parts_of_group.values())


def test_each_class_is_spread_by_its_images() -> None:
    dataset = dataset_of([("a", 1 + n % 3) for n in range(200)] + [("b", 1) for _ in range(50)])
    split = split_grouped(dataset, seed=3, validation=0.1, test=0.2)
    label_of = {sample.id: sample.label for sample in dataset.samples}
    total = Counter(label_of.values())
    for part, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        found = Counter(label_of[key] for key in split.part(part))
        for label in ("a", "b"):
            assert abs(found[label] - share * total[label]) <= 3


def test_the_same_seed_gives_the_same_split_and_the_file_keeps_it(tmp_path: Path) -> None:
    dataset = dataset_of([("a", 2), ("b", 3), ("c", 1), ("a", 1), ("b", 1)] * 8)
    split = split_grouped(dataset, seed=5)
    assert split_grouped(dataset, seed=5) == split
    assert split_grouped(dataset, seed=6) != split
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
