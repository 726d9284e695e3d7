"""Several sources of pictures as one data set: HAM10000, ISIC 2017 (training and validation parts) and PAD-UFES-20.

Each sample knows its source, and the data set knows which classes a source has: the absence of a dermatofibroma among the
pictures of ISIC 2017 says nothing, since nobody looked for one. The first source is the one that the headline figures are of.

    ham10000/        as `training.datasets.ham10000` reads it
    isic2017/        isic2017_256.csv, isic2017_256.zip: melanoma, nevus, seborrheic keratosis (as bkl); CC BY-NC 4.0
    pad_ufes_20/     pad_ufes_20_256.csv, pad_ufes_20_256.zip: photographs by phone; CC BY 4.0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, ImageReader, ImageSource, Sample
from training.datasets.ham10000 import CLASSES, MALIGNANT, load_ham10000, merge_groups, read_rows
from training.datasets.sources import ZipSource, pick_by_stem, zip_members

# Squamous cell carcinoma that has grown into the skin is no class of HAM10000, whose akiec ends at carcinoma in situ. Twelve
# photographs of PAD-UFES-20 show one; they are left out rather than called something else.
LEFT_OUT = frozenset({"scc"})
_COLUMNS = {"image", "dx", "lesion_id", "patient_id", "near_dup_group"}


def load_combined(root: Path) -> Dataset:
    """The three sources below `root`, in this order; a missing folder is an error.

    Raises:
        InvalidRequestError: a source is missing or of another form, or two pictures have one id.
    """
    return combine(
        (
            load_ham10000(root / "ham10000"),
            load_table(root / "isic2017", "isic2017", "ISIC 2017 training and validation parts", "CC BY-NC 4.0"),
            load_table(root / "pad_ufes_20", "pad_ufes_20", "PAD-UFES-20, a part", "CC BY 4.0"),
        )
    )


def load_table(root: Path, name: str, title: str, licence: str) -> Dataset:
    """One source: `NAME_256.csv` and `NAME_256.zip` below `root`. Equal lesion, patient or near-duplicate ids are one group.

    Args:
        root: the source's folder.
        name: of the source, in files.
        title: of the source, for people.
        licence: of its images.

    Raises:
        InvalidRequestError: a file is missing or of another form, or a diagnosis is unknown.
    """
    path = root / f"{name}_256.csv"
    rows = [row for row in read_rows(path, _COLUMNS) if row["dx"] not in LEFT_OUT]
    unknown = sorted({row["dx"] for row in rows} - set(CLASSES))
    if unknown:
        raise InvalidRequestError(f"{path}: expected diagnoses {list(CLASSES)} or {sorted(LEFT_OUT)}, got also {unknown}")
    keys = [_keys(row, name) for row in rows]
    merged = merge_groups((key for each in keys for key in each), ((each[0], key) for each in keys for key in each[1:]))
    archive = path.with_suffix(".zip")
    members = {Path(member).stem: member for member in zip_members(archive)}
    return Dataset(
        name=name,
        title=title,
        licence=licence,
        classes=tuple(label for label in CLASSES if label in {row["dx"] for row in rows}),
        malignant=tuple(label for label in MALIGNANT if label in {row["dx"] for row in rows}),
        samples=tuple(Sample(row["image"], row["dx"], merged[each[0]]) for row, each in zip(rows, keys, strict=True)),
        source=ZipSource(
            archive, tuple(str(found) for found in pick_by_stem(members, [row["image"] for row in rows], archive))
        ),
    )


def _keys(row: dict[str, str], name: str) -> list[str]:
    """What must stay on one side of a split: the picture itself first, then whatever it shares with others."""
    shared = [f"{name}/{column}/{row[column]}" for column in ("near_dup_group", "lesion_id", "patient_id") if row[column]]
    return [f"{name}/{row['image']}", *shared]


def combine(sources: Sequence[Dataset]) -> Dataset:
    """The sources one after the other, with the classes, malignant classes and licence of the first.

    The first should have the strictest licence; the title names them all.

    Raises:
        InvalidRequestError: a source has a class that the first has not, or two pictures have one id.
    """
    first, ids = sources[0], [sample.id for source in sources for sample in source.samples]
    strange = sorted({label for source in sources for label in source.classes} - set(first.classes))
    if strange:
        raise InvalidRequestError(f"{first.title} has the classes {list(first.classes)}, another source has also {strange}")
    if len(set(ids)) < len(ids):
        raise InvalidRequestError("two sources have pictures with the same id; pictures are told apart by their ids")
    return Dataset(
        name="+".join(source.name for source in sources),
        title="; ".join(f"{source.title} ({source.licence})" for source in sources),
        licence=first.licence,
        classes=first.classes,
        malignant=first.malignant,
        samples=tuple(replace(sample, source=source.name) for source in sources for sample in source.samples),
        source=ChainedSource(tuple(source.source for source in sources if source.source is not None)),
        sources={source.name: source.classes for source in sources},
    )


@dataclass(frozen=True, slots=True)
class _ChainedReader:
    readers: Sequence[ImageReader]
    starts: Sequence[int]

    def read(self, position: int) -> bytes:
        which = max(i for i, start in enumerate(self.starts) if start <= position)
        return self.readers[which].read(position - self.starts[which])


@dataclass(frozen=True, slots=True)
class ChainedSource:
    """The images of several sources, one source after the other."""

    parts: tuple[ImageSource, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def content_key(self) -> str:
        """SHA-256 over the parts' keys, in order."""
        return sha256("\n".join(part.content_key() for part in self.parts).encode()).hexdigest()

    @contextmanager
    def open(self) -> Iterator[ImageReader]:
        """A reader over all parts; closes each at the end."""
        starts = [sum(len(part) for part in self.parts[:i]) for i in range(len(self.parts))]
        with ExitStack() as stack:
            yield _ChainedReader([stack.enter_context(part.open()) for part in self.parts], starts)
