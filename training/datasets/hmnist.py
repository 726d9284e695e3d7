"""HAM10000 as Kaggle's `hmnist_28_28_RGB.csv`: 10,015 rows of 2,352 pixel values and a label code, in the metadata's order.

The codes are not alphabetical (nv 4, vasc 5, mel 6), so names are stored, never codes. With the metadata beside it, each row
also knows its lesion; without, each image is a group of its own and a grouped split cannot keep lesions together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, IntArray, Sample
from training.datasets.ham10000 import MALIGNANT, METADATA_NAME, PAIRS_NAME, read_metadata

CODES = ("akiec", "bcc", "bkl", "df", "nv", "vasc", "mel")  # position = label code
SIDE = 28
NAME = "hmnist_28_28_RGB"


def load_hmnist(path: Path, metadata: Path | None = None) -> Dataset:
    """The data set of one CSV, plain, `.gz` or `.zip`.

    Args:
        path: the CSV, or a folder that holds `hmnist_28_28_RGB.csv*`.
        metadata: `HAM10000_metadata.csv`; by default the one beside the CSV or in `../ham10000`, if any.

    Raises:
        InvalidRequestError: another form than Kaggle's, or the metadata are of other images.
    """
    file = _find_csv(path)
    table = pd.read_csv(file, dtype=np.uint8)
    if table.shape[1] != SIDE * SIDE * 3 + 1 or table.columns[-1] != "label":
        raise InvalidRequestError(
            f"{file}: expected {SIDE * SIDE * 3} pixel columns and then 'label', "
            f"got {table.shape[1]} columns ending in {table.columns[-1]!r}"
        )
    values = table.to_numpy()
    codes = values[:, -1].astype(np.int64)
    if codes.max() >= len(CODES):
        raise InvalidRequestError(f"{file}: expected label codes 0 to {len(CODES) - 1}, got {codes.max()}")
    known = metadata or _find_metadata(file)
    return Dataset(
        name="hmnist",
        title="HAM10000 as 28x28 CSV (hmnist)",
        licence="CC BY-NC 4.0",
        classes=CODES,
        malignant=MALIGNANT,
        samples=_samples_of_metadata(known, codes) if known else _bare_samples(codes),
        pixels=np.ascontiguousarray(values[:, :-1]).reshape(-1, SIDE, SIDE, 3),
    )


def _find_csv(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob(f"{NAME}.csv*")) if path.is_dir() else []
    if not found:
        raise InvalidRequestError(f"{path}: expected {NAME}.csv, .csv.gz or .csv.zip here, found none")
    return found[0]


def _find_metadata(file: Path) -> Path | None:
    candidates = (file.parent / METADATA_NAME, file.parent.parent / "ham10000" / METADATA_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _samples_of_metadata(path: Path, codes: IntArray) -> tuple[Sample, ...]:
    samples = read_metadata(path, path.parent / PAIRS_NAME)
    if [sample.label for sample in samples] != [CODES[code] for code in codes]:
        raise InvalidRequestError(
            f"{path}: its diagnoses are not those of the CSV, row by row; expected the metadata of the same images"
        )
    return samples


def _bare_samples(codes: IntArray) -> tuple[Sample, ...]:
    return tuple(Sample(id=f"row{row:05d}", label=CODES[code], group=f"row{row:05d}") for row, code in enumerate(codes))
