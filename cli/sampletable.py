"""The demo's pictures as files beside a table: classes, patients, copies and badly taken pictures to be found."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from cli.sample import HEIGHT, WIDTH, draw_lesion, draw_samples, jpeg


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
    files = {f"{name.split('_')[0]}/{name}": data for name, data in draw_samples(images, seed)}
    rng = np.random.default_rng((seed, images))
    rows = [_made_up(number, name, rng) for number, name in enumerate(files)]
    for row in rows[::10]:
        copy = row["image"].replace(".jpg", "_copy.jpg")
        small = Image.open(io.BytesIO(files[row["image"]])).resize((WIDTH * 2 // 3, HEIGHT * 2 // 3), Image.Resampling.BILINEAR)
        files[copy] = jpeg(small)
        rows.append(row | {"image": copy})
    lesion = draw_lesion("nv", rng)
    files["nv/nv_blurred.jpg"] = jpeg(lesion.filter(ImageFilter.GaussianBlur(14)))
    files["nv/nv_dark.jpg"] = jpeg(lesion.point(_darkened))
    files["nv/nv_truncated.jpg"] = jpeg(lesion)[:20_000]
    rows += [_made_up(images, f"nv/nv_{name}.jpg", rng) for name in ("blurred", "dark", "truncated")]
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    table = folder / "lesions.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


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
