"""What a split lets slip from training into testing, and what classes share: found, reported, and on request dropped.

Three kinds: images of one group (lesion) in two parts; byte-identical images in two parts or under two labels; nearly identical
images in two parts (a re-encoded copy, say). None of them is an error of the program, so nothing is changed unless asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from training.datasets.base import Dataset, UInt8Array, iterate_bytes
from training.splits import PARTS, Split

# Root mean square difference, in steps of 1/255, of two images averaged to 12x16 cells. On HAM10000, of the 34 pairs below this
# 33 are of one lesion; of the 123 pairs below 8, only 81 are.
NEAR_RMS = 5.0
_CELLS = (12, 16)
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that should not be in these two places."""

    first: str
    second: str
    first_place: str  # part, or label
    second_place: str


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What was found. Counts of images are of the second part named."""

    shared_groups: dict[str, int]  # "train → test": images of test whose group is in train too
    shared_groups_share: dict[str, float]  # the same as a share of that part
    identical: tuple[Pair, ...]  # byte-identical across parts
    near: tuple[Pair, ...]  # nearly identical across parts, not byte-identical
    shared_by_classes: dict[str, int]  # "melanoma & nevus": distinct images that lie under both labels
    dropped: int = 0  # images taken out of the split

    @classmethod
    def from_json(cls, text: str) -> LeakageReport:
        """Reads what `RunFolder.save_leakage` wrote."""
        raw = json.loads(text)
        for name in ("identical", "near"):
            raw[name] = tuple(Pair(**pair) for pair in raw[name])
        return cls(**raw)

    def lines(self) -> list[str]:
        """For people, one finding a line; a single line where there is none."""
        found = [
            f"{count} images ({100 * self.shared_groups_share[between]:.1f} %) share a group across {between}"
            for between, count in self.shared_groups.items()
        ]
        found += [f"{count} images lie under both {classes}" for classes, count in self.shared_by_classes.items()]
        if self.identical:
            found.append(f"{len(self.identical)} byte-identical pairs across parts, such as {_example(self.identical)}")
        if self.near:
            found.append(f"{len(self.near)} nearly identical pairs across parts, such as {_example(self.near)}")
        if self.dropped:
            found.append(f"{self.dropped} images dropped from the split")
        return found or ["nothing shared between the parts, no image under two labels"]


def find_leakage(dataset: Dataset, split: Split, digests: Sequence[str], pixels: UInt8Array) -> LeakageReport:
    """Compares the parts of a split. A validation part that is the test part is looked at once.

    Args:
        dataset: the images.
        split: their parts.
        digests: of `image_digests`.
        pixels: uint8 [n, h, w, 3], in the order of the samples.
    """
    parts = _distinct_parts(split)
    where = {key: part for part, ids in parts.items() for key in ids}
    counts, shares = _shared_groups(dataset, parts)
    return LeakageReport(
        shared_groups=counts,
        shared_groups_share=shares,
        identical=tuple(_identical(dataset, digests, where)),
        near=tuple(_near(dataset, digests, where, pixels)),
        shared_by_classes=_shared_by_classes(dataset, digests, where),
    )


def image_digests(dataset: Dataset) -> list[str]:
    """SHA-256 of each image's bytes, in the order of the samples."""
    return [hashlib.sha256(data).hexdigest() for data in iterate_bytes(dataset)]


def drop_duplicates(dataset: Dataset, split: Split, digests: Sequence[str]) -> Split:
    """The split with every picture in one place only.

    A picture under several labels stays under the rarest: in the sets where that happens, a small class was copied into a large
    one. A picture in several parts stays in test, else in validation; one that is twice in a part stays once.
    """
    size = Counter(sample.label for sample in dataset.samples)
    order = {part: rank for rank, part in enumerate(("test", "validation", "train"))}
    where = {key: part for part, ids in _distinct_parts(split).items() for key in ids}
    best: dict[str, tuple[int, int, str]] = {}
    for sample, digest in zip(dataset.samples, digests, strict=True):
        if sample.id in where:
            claim = (size[sample.label], order[where[sample.id]], sample.id)
            best[digest] = min(claim, best.get(digest, claim))
    kept = {key for _, _, key in best.values()}
    train, validation, test = (tuple(key for key in split.part(part) if key in kept) for part in PARTS)
    return replace(split, kind=f"{split.kind}, duplicates dropped", train=train, validation=validation, test=test)


def _distinct_parts(split: Split) -> dict[str, tuple[str, ...]]:
    names = ("train", "test") if split.validates_on_test else PARTS
    return {name: split.part(name) for name in names}


def _shared_groups(dataset: Dataset, parts: dict[str, tuple[str, ...]]) -> tuple[dict[str, int], dict[str, float]]:
    group_of = {sample.id: sample.group for sample in dataset.samples}
    counts, shares = {}, {}
    for first, second in combinations(parts, 2):
        groups = {group_of[key] for key in parts[first]}
        shared = sum(group_of[key] in groups for key in parts[second])
        if shared:
            counts[f"{first} → {second}"] = shared
            shares[f"{first} → {second}"] = shared / len(parts[second])
    return counts, shares


def _identical(dataset: Dataset, digests: Sequence[str], where: dict[str, str]) -> Iterable[Pair]:
    copies: dict[str, list[str]] = defaultdict(list)
    for sample, digest in zip(dataset.samples, digests, strict=True):
        if sample.id in where:
            copies[digest].append(sample.id)
    for ids in copies.values():
        for first, second in combinations(ids, 2):
            if where[first] != where[second]:
                yield Pair(first, second, where[first], where[second])


def _shared_by_classes(dataset: Dataset, digests: Sequence[str], where: dict[str, str]) -> dict[str, int]:
    labels: dict[str, set[str]] = defaultdict(set)
    for sample, digest in zip(dataset.samples, digests, strict=True):
        if sample.id in where:
            labels[digest].add(sample.label)
    counts = Counter(" & ".join(sorted(found)) for found in labels.values() if len(found) > 1)
    return dict(counts.most_common())


def _near(dataset: Dataset, digests: Sequence[str], where: dict[str, str], pixels: UInt8Array) -> Iterable[Pair]:
    known = np.array([i for i, sample in enumerate(dataset.samples) if sample.id in where])
    part = np.array([where[dataset.samples[i].id] for i in known])
    cells = _cells(pixels)[known]
    squares = (cells**2).sum(axis=1)
    for start in range(0, len(known), _BLOCK):
        stop = start + _BLOCK
        distances = squares[start:stop, None] + squares[None, :] - 2.0 * cells[start:stop] @ cells.T
        close = (distances < NEAR_RMS**2 * cells.shape[1]) & (part[start:stop, None] != part[None, :])
        for left, right in np.argwhere(close):
            first, second = known[start + left], known[right]
            if first < second and digests[first] != digests[second]:
                ids = dataset.samples[first].id, dataset.samples[second].id
                yield Pair(*ids, where[ids[0]], where[ids[1]])


def _cells(pixels: UInt8Array) -> npt.NDArray[np.float32]:
    """float32 [n, 12 * 16 * 3]: mean colour of each cell."""
    height, width = pixels.shape[1:3]
    rows = np.linspace(0, height, _CELLS[0], endpoint=False).astype(int)
    columns = np.linspace(0, width, _CELLS[1], endpoint=False).astype(int)
    areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))[None, :, :, None]
    means = [
        np.add.reduceat(np.add.reduceat(pixels[i : i + _BLOCK].astype(np.float32), rows, axis=1), columns, axis=2) / areas
        for i in range(0, len(pixels), _BLOCK)
    ]
    return np.concatenate(means).reshape(len(pixels), -1).astype(np.float32)


def _example(pairs: Sequence[Pair]) -> str:
    return f"{pairs[0].first} ({pairs[0].first_place}) and {pairs[0].second} ({pairs[0].second_place})"
