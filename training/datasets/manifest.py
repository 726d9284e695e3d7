"""A CSV of one's own: `path,label` and, where known, `group` (patient or lesion), `split` and any further columns.

Paths are relative to the CSV. Further columns named age, sex or site are evaluated by group.
"""

from __future__ import annotations

import csv
from pathlib import Path

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, Sample
from training.datasets.folders import MALIGNANT
from training.datasets.sources import FileSource

_OWN = ("path", "label", "group", "split")


def load_manifest(path: Path, *, licence: str = "not recorded") -> Dataset:
    """The data set that a CSV lists.

    Raises:
        InvalidRequestError: a column or a file is missing, or there are fewer than two labels.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"path", "label"} <= set(reader.fieldnames or ()):
            raise InvalidRequestError(f"{path}: expected columns 'path' and 'label', got {reader.fieldnames}")
        rows = list(reader)
    files = tuple(path.parent / row["path"] for row in rows)
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InvalidRequestError(f"{path}: {len(missing)} of {len(files)} files are not there (first: {missing[0]})")
    classes = tuple(sorted({row["label"] for row in rows}))
    if len(classes) < 2:
        raise InvalidRequestError(f"{path}: expected two labels or more, got {list(classes)}")
    return Dataset(
        name="manifest",
        title=path.stem,
        licence=licence,
        classes=classes,
        malignant=tuple(label for label in classes if label.lower() in MALIGNANT),
        samples=tuple(_sample(row) for row in rows),
        source=FileSource(files),
    )


def _sample(row: dict[str, str]) -> Sample:
    attributes = {name: value for name, value in row.items() if name not in _OWN}
    return Sample(
        id=row["path"],
        label=row["label"],
        group=row.get("group") or row["path"],
        attributes=attributes,
        part=row.get("split") or "",
    )
