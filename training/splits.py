"""Which images are trained on, which are validated on and which only tested; the file that says so travels with the model."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from training.datasets.base import Dataset, Sample
from training.experiments.base import Protocol

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """Three lists of sample ids. `kind` and `seed` say how they came about.

    They are disjoint, but for published protocols that validated on their test part: there `validation` is `test`.
    """

    kind: str
    seed: int
    dataset: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def part(self, name: str) -> tuple[str, ...]:
        """The ids of one of `PARTS`."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return parts[name]

    @property
    def validates_on_test(self) -> bool:
        """Whether nothing may be chosen on validation, because it is the test part."""
        return self.validation == self.test

    @property
    def size(self) -> int:
        """How many images are in it."""
        return len({*self.train, *self.validation, *self.test})

    @property
    def title(self) -> str:
        """One line for a model card: kind, seed and sizes."""
        sizes = " / ".join(str(len(self.part(name))) for name in PARTS)
        return f"{self.kind}, seed {self.seed}, train / validation / test = {sizes}"

    def save(self, path: Path) -> None:
        """Writes the split as JSON."""
        path.write_text(json.dumps(asdict(self), indent=None, separators=(",", ":")) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Split:
        """Reads what `save` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: tuple(raw[name]) for name in PARTS}
        return cls(kind=raw["kind"], seed=raw["seed"], dataset=raw["dataset"], **parts)


def split_published(dataset: Dataset, protocol: Protocol) -> Split:
    """The split of a published result: random over images, lesions torn apart; or the parts that the publisher gives."""
    ids = [sample.id for sample in dataset.samples]
    given = {sample.id: sample.part for sample in dataset.samples}
    if any(part == "test" for part in given.values()):
        train, test = [key for key in ids if given[key] != "test"], [key for key in ids if given[key] == "test"]
    else:
        train, test = random_parts(ids, share=protocol.test, seed=protocol.seed)
    validation = test
    if protocol.validation:
        train, validation = random_parts(train, share=protocol.validation, seed=protocol.seed)
    return Split("published", protocol.seed, dataset.name, tuple(train), tuple(validation), tuple(test))


def random_parts(ids: Sequence[str], *, share: float, seed: int) -> tuple[list[str], list[str]]:
    """The rest and a random share of `ids`: the same as scikit-learn's `train_test_split(…, random_state=seed)`."""
    order = np.random.RandomState(seed).permutation(len(ids))
    taken = math.ceil(share * len(ids))
    return [ids[i] for i in order[taken:]], [ids[i] for i in order[:taken]]


def split_grouped(dataset: Dataset, *, seed: int, validation: float = 0.1, test: float = 0.2) -> Split:
    """No group (lesion) in two parts; each class spread over the parts by its number of images.

    Within a class the groups come in random order, each to the part that lacks most of its share. A group with several labels
    counts under its first.
    """
    shares = {"train": 1.0 - validation - test, "validation": validation, "test": test}
    generator = np.random.default_rng(seed)
    assigned: dict[str, str] = {}
    for groups in _groups_by_class(dataset).values():
        assigned |= _assign(groups, shares, generator)
    parts: dict[str, list[str]] = {name: [] for name in PARTS}
    for sample in dataset.samples:
        parts[assigned[sample.group]].append(sample.id)
    frozen = {name: tuple(ids) for name, ids in parts.items()}
    return Split(kind="grouped", seed=seed, dataset=dataset.name, **frozen)


def split_sources(dataset: Dataset, *, seed: int) -> Split:
    """Each source of a data set of several is split by its groups on its own, then their parts are joined.

    So the parts of the first source are those that it has alone. The others are small: a third of each is held out for the
    test, so that figures about it say something.
    """
    shares = {name: 0.2 if position == 0 else 1 / 3 for position, name in enumerate(dataset.sources)}
    found = []
    for name, test in shares.items():
        alone = replace(dataset, samples=tuple(sample for sample in dataset.samples if sample.source == name))
        found.append(split_grouped(alone, seed=seed, test=test))
    joined = {part: tuple(key for each in found for key in each.part(part)) for part in PARTS}
    return Split(kind="grouped", seed=seed, dataset=dataset.name, **joined)


def by_source(dataset: Dataset, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """These ids by the source of their pictures, in the order of the sources; all under "" where there is but one."""
    if not dataset.sources:
        return {"": tuple(ids)}
    where = {sample.id: sample.source for sample in dataset.samples}
    return {name: tuple(key for key in ids if where[key] == name) for name in dataset.sources}


def held_out_name(part: str, source: str, dataset: Dataset) -> str:
    """What predictions of a part are called: its plain name for the first source, PART-SOURCE for the others."""
    return part if source in ("", *list(dataset.sources)[:1]) else f"{part}-{source}"


def _groups_by_class(dataset: Dataset) -> dict[str, list[list[Sample]]]:
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        members[sample.group].append(sample)
    by_class: dict[str, list[list[Sample]]] = {name: [] for name in dataset.classes}
    for group in sorted(members):
        by_class[members[group][0].label].append(members[group])
    return by_class


def _assign(groups: list[list[Sample]], shares: dict[str, float], generator: np.random.Generator) -> dict[str, str]:
    total = sum(len(group) for group in groups)
    lacking = {name: share * total for name, share in shares.items()}
    assigned = {}
    for position in generator.permutation(len(groups)):
        group = groups[position]
        part = max(lacking, key=lambda name: lacking[name])
        lacking[part] -= len(group)
        assigned[group[0].group] = part
    return assigned
