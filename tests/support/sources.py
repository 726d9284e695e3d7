"""Small drawn collections in the form of HAM10000, ISIC 2017 and PAD-UFES-20."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
OTHERS = {"isic2017": ("mel", "bkl", "nv"), "pad_ufes_20": ("akiec", "bcc", "bkl", "mel", "nv", "scc")}
TABLE = ("image", "dx", "own_label", "lesion_id", "patient_id", "near_dup_group", "source", "original_size", "size")


def write_sources(root: Path, *, side: int = 32) -> None:
    """140 pictures of HAM10000, two a lesion, and 60 of each of the others, two a near-duplicate group or patient."""
    generator = np.random.default_rng(0)
    ham = [(f"ISIC_{i}", CLASSES[i // 2 % 7], f"HAM_{i // 2}") for i in range(140)]
    _write(root / "ham10000" / "images.zip", [name for name, _, _ in ham], generator, side)
    columns = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    rows = [(group, name, label, "histo", "50", "male", "back") for name, label, group in ham]
    write_csv(root / "ham10000" / "HAM10000_metadata.csv", columns, rows)
    for source, labels in OTHERS.items():
        names = [f"{source}_{i}" for i in range(60)]
        _write(root / source / f"{source}_256.zip", names, generator, side)
        phone = source == "pad_ufes_20"
        table = [
            (
                name,
                labels[i // 2 % len(labels)],
                "",
                "",
                f"patient{i // 2}" if phone else "",
                name if phone else f"near{i // 2}",
            )
            for i, name in enumerate(names)
        ]
        write_csv(root / source / f"{source}_256.csv", TABLE, [(*row, source, "1x1", "1x1") for row in table])


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def _write(path: Path, names: Sequence[str], generator: np.random.Generator, side: int) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            buffer = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (side, side, 3)).astype(np.uint8)).save(buffer, "JPEG")
            archive.writestr(f"{name}.jpg", buffer.getvalue())
