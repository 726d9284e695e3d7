"""What every data set gives: samples with labels and groups, and the images' bytes, read in place.

Labels are class names everywhere; numbers exist only as positions in `Dataset.classes`, which the model's spec stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.evaluation import arrays

UInt8Array = npt.NDArray[np.uint8]
IntArray = arrays.IntArray
BoolArray = arrays.BoolArray
FloatArray = arrays.FloatArray
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its id, its class name, the group that must not be split, and what else is known of it."""

    id: str
    label: str
    group: str
    attributes: Mapping[str, str] = field(default_factory=dict)  # age, sex, site: strings as published, "" if unknown
    part: str = ""  # the part its publisher put it in ("train", "test"), where there is one
    source: str = ""  # the collection it comes from, in a data set of several


class ImageReader(Protocol):
    """Random access to encoded images, by position in `Dataset.samples`."""

    def read(self, position: int) -> bytes:
        """The encoded bytes of one image."""
        ...


class ImageSource(Protocol):
    """Where the images of a data set come from."""

    def content_key(self) -> str:
        """A hex digest that changes whenever any image's bytes or their order change."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def open(self) -> AbstractContextManager[ImageReader]:
        """Opens the source for reading; safe to call from several threads, one reader each."""
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """A labelled collection of images.

    `pixels` is set by data sets that are published as decoded arrays (uint8 [n, height, width, 3]); the others have `source`.
    `sources` is set by data sets of several collections: name → the classes that this collection labels, the first one being
    the collection that the headline figures are of.
    """

    name: str
    title: str
    licence: str
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    samples: tuple[Sample, ...]
    source: ImageSource | None = None
    pixels: UInt8Array | None = None
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def label_indices(self) -> IntArray:
        """int64 [n]: for each sample the position of its label in `classes`."""
        position = {name: i for i, name in enumerate(self.classes)}
        return np.array([position[sample.label] for sample in self.samples], dtype=np.int64)

    def labelled(self) -> BoolArray:
        """bool [n, classes]: whether the collection that a sample comes from labels a class."""
        rows = {name: [label in known for label in self.classes] for name, known in self.sources.items()}
        every = [True] * len(self.classes)
        return np.array([rows.get(sample.source, every) for sample in self.samples], dtype=np.bool_).reshape(
            -1, len(self.classes)
        )

    def positions(self, ids: Sequence[str]) -> IntArray:
        """int64 [len(ids)]: where the samples of these ids stand.

        Raises:
            KeyError: an id is not in this data set.
        """
        where = {sample.id: i for i, sample in enumerate(self.samples)}
        return np.array([where[key] for key in ids], dtype=np.int64)


def iterate_bytes(dataset: Dataset) -> Iterator[bytes]:
    """The encoded bytes of each sample in order (raw pixels for a data set of arrays)."""
    if dataset.pixels is not None:
        for image in dataset.pixels:
            yield image.tobytes()
    elif dataset.source is not None:
        with dataset.source.open() as reader:
            for position in range(len(dataset)):
                yield reader.read(position)
