"""Pictures in one folder per class, with or without `Train/` and `Test/` above, as folders or as a ZIP, read in place.

The group is the file's name without suffix and without the "(1)" of a copy: ISIC names are ids, so one picture under two
classes, or in both parts, is one group.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, ImageSource, Sample
from training.datasets.sources import FileSource, ZipSource, folder_files, zip_members

PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation", "valid": "validation"}
MALIGNANT = frozenset(
    {
        "actinic keratosis",
        "basal cell carcinoma",
        "melanoma",
        "squamous cell carcinoma",
        "akiec",
        "bcc",
        "mel",
        "scc",
        "malignant",
    }
)


_COPY = re.compile(r"[ _]?\(\d+\)$")


def load_folders(path: Path, *, name: str = "folders", title: str = "", licence: str = "not recorded") -> Dataset:
    """A tree of class folders.

    Args:
        path: a folder or a ZIP; below it `CLASS/…` or `Train/CLASS/…`.
        name: of the data set, in files.
        title: of the data set, for people; by default the path's last part.
        licence: of the images.

    Raises:
        InvalidRequestError: no images, an image outside a class folder, or fewer than two classes.
    """
    names, source = _open(path)
    samples = tuple(_sample(member, path) for member in names)
    classes = tuple(sorted({sample.label for sample in samples}))
    if len(classes) < 2:
        raise InvalidRequestError(f"{path}: expected a folder for each of two classes or more, got {list(classes)}")
    return Dataset(
        name=name,
        title=title or path.stem,
        licence=licence,
        classes=classes,
        malignant=tuple(label for label in classes if label.lower() in MALIGNANT),
        samples=samples,
        source=source,
    )


def load_isic9(path: Path) -> Dataset:
    """The 9-class ISIC set (2,359 files, `Train/` and `Test/`): a ZIP, a tree, or the folder that holds its ZIP.

    Raises:
        InvalidRequestError: see `load_folders`.
    """
    archives = sorted(path.glob("*.zip")) if path.is_dir() else []
    return load_folders(
        archives[0] if archives else path,
        name="isic9",
        title="ISIC, nine classes",
        licence="CC-0, CC BY and CC BY-NC, not recorded per image",
    )


def _open(path: Path) -> tuple[list[PurePosixPath], ImageSource]:
    if path.is_file():
        members = zip_members(path)
        return [PurePosixPath(member) for member in members], ZipSource(path, tuple(members))
    files = folder_files(path)
    return [PurePosixPath(file.relative_to(path).as_posix()) for file in files], FileSource(tuple(files))


def _sample(member: PurePosixPath, path: Path) -> Sample:
    folders = member.parts[:-1]
    if not folders:
        raise InvalidRequestError(f"{path}: expected each image in the folder of its class, got {str(member)!r} outside of any")
    part = next((PARTS[folder.lower()] for folder in folders if folder.lower() in PARTS), "")
    return Sample(id=str(member), label=folders[-1], group=_COPY.sub("", member.stem), part=part)
