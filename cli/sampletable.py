"""The demo's pictures as files beside a table: classes, patients, copies and badly taken pictures to be found."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from cli.sample import HEIGHT, WIDTH, draw_in_turn, draw_lesion, jpeg


def write_sample_table(folder: Path, *, images: int = 42, seed: int = 0) -> Path:
    """Writes the pictures of `cli.sample.write_sample_archive` as files, and a table of them, with what there is to find.

    `lesions.csv` names for each picture its class (`dx`), lesion and patient, and an age, a sex and a site, all made up. A
    patient has up to three pictures. Of each tenth picture there is a smaller copy under another name. One more picture is out
    of focus, one is too dark, one is cut short.

    Args:
        folder: where the files go; made if it is not there.
        images: how many pictures, without copies and bad ones.
        seed: the same seed draws the same pictures.

    Returns:
        The table's path.
    """
    rng = np.random.default_rng((seed, images))
    rows: list[dict[str, str]] = []
    copies: list[dict[str, str]] = []
    for number, (name, data) in enumerate(draw_in_turn(images, np.random.default_rng(seed))):
        _write(folder / name, data)
        rows.append(_made_up(number, name, rng))
        if number % 10 == 0:
            copy = name.replace(".jpg", "_copy.jpg")
            _write(folder / copy, _smaller(data))
            copies.append(rows[-1] | {"image": copy})
    lesion = draw_lesion("nv", rng)
    _write(folder / "nv/nv_blurred.jpg", jpeg(lesion.filter(ImageFilter.GaussianBlur(14))))
    _write(folder / "nv/nv_dark.jpg", jpeg(lesion.point(_darkened)))
    _write(folder / "nv/nv_truncated.jpg", jpeg(lesion)[:20_000])
    rows += copies + [_made_up(images, f"nv/nv_{name}.jpg", rng) for name in ("blurred", "dark", "truncated")]
    table = folder / "lesions.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _smaller(picture: bytes) -> bytes:
    size = (WIDTH * 2 // 3, HEIGHT * 2 // 3)
    return jpeg(Image.open(io.BytesIO(picture)).resize(size, Image.Resampling.BILINEAR))


def _made_up(number: int, name: str, rng: np.random.Generator) -> dict[str, str]:
    return {
        "image": name,
        "dx": name.partition("/")[0],
        "lesion_id": f"L{number:04}",
        "patient_id": f"P{number // 3:04}",
        "age": str(int(rng.integers(18, 90))),
        "sex": ("female", "male")[int(rng.integers(2))],
        "localization": ("back", "face", "lower extremity", "trunk")[int(rng.integers(4))],
    }


def _darkened(value: int) -> float:
    return value * 0.06
