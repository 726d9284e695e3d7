"""HAM10000 (Tschandl et al., Sci Data 2018): 10,015 dermatoscopic images of seven diagnoses; CC BY-NC 4.0.

Read in place: a ZIP, a folder or a tree of folders of `ISIC_*.jpg`, beside `HAM10000_metadata.csv`. Several images show one
lesion, so the lesion is the group; the 18 pairs of one lesion under two ids (Abhishek et al., Sci Data 2025) are merged
where `ham10000_missed_duplicate_pairs.csv` lies beside the metadata.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, ImageSource, Sample
from training.datasets.sources import FileSource, ZipSource, folder_files, pick_by_stem, zip_members

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = ("akiec", "bcc", "mel")
TITLES = {
    "akiec": "actinic keratosis, intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}
METADATA_NAME = "HAM10000_metadata.csv"
PAIRS_NAME = "ham10000_missed_duplicate_pairs.csv"
_COLUMNS = {"lesion_id", "image_id", "dx", "age", "sex", "localization"}


def load_ham10000(root: Path) -> Dataset:
    """The data set below `root`: the metadata, and the images in a ZIP or in folders.

    Raises:
        InvalidRequestError: metadata or images are missing or of another form.
    """
    samples = read_metadata(root / METADATA_NAME, root / PAIRS_NAME)
    return Dataset(
        name="ham10000",
        title="HAM10000",
        licence="CC BY-NC 4.0",
        classes=CLASSES,
        malignant=MALIGNANT,
        samples=samples,
        source=_find_images(root, [sample.id for sample in samples]),
    )


def read_metadata(path: Path, pairs_path: Path | None = None) -> tuple[Sample, ...]:
    """Samples in the metadata's order, grouped by lesion with the missed pairs merged.

    Raises:
        InvalidRequestError: not there, other columns, or an unknown diagnosis.
    """
    rows = read_rows(path, _COLUMNS)
    merged = merge_groups((row["lesion_id"] for row in rows), _lesion_pairs(pairs_path))
    unknown = sorted({row["dx"] for row in rows} - set(CLASSES))
    if unknown:
        raise InvalidRequestError(f"{path}: expected diagnoses {list(CLASSES)}, got also {unknown}")
    return tuple(
        Sample(
            id=row["image_id"],
            label=row["dx"],
            group=merged[row["lesion_id"]],
            attributes={"age": row["age"], "sex": row["sex"], "site": row["localization"]},
        )
        for row in rows
    )


def merge_groups(groups: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each group's representative once the pairs are joined: the smallest name of those joined with it."""
    parent = {group: group for group in groups}

    def find(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    for left, right in pairs:
        if left in parent and right in parent:
            first, second = sorted((find(left), find(right)))
            parent[second] = first
    return {group: find(group) for group in parent}


def _lesion_pairs(path: Path | None) -> list[tuple[str, str]]:
    if path is None or not path.is_file():
        return []
    return [(row["lesion_a"], row["lesion_b"]) for row in read_rows(path, {"lesion_a", "lesion_b"})]


def read_rows(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """The rows of a CSV that has these columns.

    Raises:
        InvalidRequestError: not there, or a column is missing.
    """
    if not path.is_file():
        raise InvalidRequestError(f"{path}: expected the data set's CSV here, found none; pass its folder with --data")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = columns - set(reader.fieldnames or ())
        if missing:
            raise InvalidRequestError(f"{path}: expected columns {sorted(columns)}, {sorted(missing)} missing")
        return list(reader)


def _find_images(root: Path, ids: list[str]) -> ImageSource:
    archives = sorted(root.glob("*.zip"))
    if archives:
        members = {Path(name).stem: name for name in zip_members(archives[0])}
        return ZipSource(archives[0], tuple(str(name) for name in pick_by_stem(members, ids, archives[0])))
    files = {path.stem: path for path in folder_files(root)}
    return FileSource(tuple(Path(path) for path in pick_by_stem(files, ids, root)))
