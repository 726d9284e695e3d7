"""The table of formats in docs/reference/images.md: each row is a drawn file, and comes out as the table says."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image, thumbnail
from core.notes import ItemNote
from core.settings import ImageLimits
from tests.support import image_rows
from tests.support.image_rows import Row
from tests.support.servers import ROOT
from tests.support.tiff_rows import tiff_rows

LIMITS = ImageLimits()
BEGIN, END = "<!-- rows: python -m tests.contracts.test_imaging_table -->", "<!-- end of rows -->"
PAGE = ROOT / "docs" / "reference" / "images.md"
ABOUT_LOOKS = {note for note in ItemNote if note not in (ItemNote.EXTRA_PAGES, ItemNote.LOST_PROFILE)}


def all_rows() -> list[Row]:
    parts = (
        image_rows.jpeg_rows(),
        image_rows.png_rows(),
        tiff_rows(),
        image_rows.webp_rows(),
        image_rows.gif_rows(),
        image_rows.bmp_rows(),
        image_rows.heif_rows(),
        image_rows.avif_rows(),
    )
    return [row for part in parts for row in part]


ROWS = all_rows()


def table() -> str:
    out = ["| format | property | comes out | compared with |", "|---|---|---|---|"]
    for row in ROWS:
        if isinstance(row.expected, ItemErrorCode):
            out.append(f"| {row.format} | {row.property} | `{row.expected}` | |")
            continue
        within = f"exact with {row.reference}" if not row.tolerance else f"{row.reference}, mean within {row.tolerance:g}"
        out.append(f"| {row.format} | {row.property} | its pixels{f', `{row.notes}`' if row.notes else ''} | {within} |")
    return "\n".join(out)


def rgb(pixels: np.ndarray) -> np.ndarray:
    return (pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, -1)).astype(int)


def by_tiff2rgba(data: bytes, folder: Path) -> np.ndarray | None:
    program = shutil.which("tiff2rgba")
    if program is None:
        pytest.skip("tiff2rgba is not installed (Debian: apt-get install libtiff-tools)")
    (folder / "in.tif").write_bytes(data)
    subprocess.run([program, "-c", "none", folder / "in.tif", folder / "out.tif"], capture_output=True, check=False)
    try:
        return np.asarray(Image.open(folder / "out.tif").convert("RGB")).astype(int)
    except OSError:  # it reads no 12 bits
        return None


def by_imagemagick(data: bytes, folder: Path) -> np.ndarray:
    program = next((path for name in ("convert-im6.q16", "magick") if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("ImageMagick is not installed (Debian: apt-get install imagemagick)")
    (folder / "in").write_bytes(data)
    options = ["-background", "white", "-alpha", "remove", "-colorspace", "sRGB", "-depth", "8", "rgb:-"]
    done = subprocess.run([program, f"{folder / 'in'}[0]", *options], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(image_rows.HEIGHT, image_rows.WIDTH, 3).astype(int)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_comes_out_as_the_table_says(row: Row) -> None:
    if isinstance(row.expected, ItemErrorCode):
        for attempt in (
            lambda: decode_image(row.data, height=48, width=64, limits=LIMITS),
            lambda: thumbnail(row.data, max_side=32, limits=LIMITS),
        ):
            with pytest.raises(ItemError) as caught:
                attempt()
            assert caught.value.code is row.expected, str(caught.value)
        return
    height, width = row.expected.shape[:2]
    decoded = decode_image(row.data, height=height, width=width, limits=LIMITS)
    assert (decoded.width, decoded.height) == (width, height)
    assert np.abs(decoded.pixels - rgb(row.expected)).mean() <= row.tolerance
    assert set(decoded.notes) - ABOUT_LOOKS == ({ItemNote(row.notes)} if row.notes else set())
    shown = Image.open(io.BytesIO(thumbnail(row.data, max_side=64, limits=LIMITS)))
    assert np.abs(np.asarray(shown) - rgb(row.expected)).mean() <= row.tolerance + 9


@pytest.mark.parametrize("row", [row for row in ROWS if row.reference != "NumPy"], ids=str)
def test_another_program_sees_the_same(row: Row, tmp_path: Path) -> None:
    seen = by_tiff2rgba(row.data, tmp_path) if row.reference == "tiff2rgba" else by_imagemagick(row.data, tmp_path)
    if seen is None:
        assert "12 bits" in row.property
        return
    pixels = decode_image(row.data, height=48, width=64, limits=LIMITS).pixels
    assert np.abs(pixels - seen).mean() <= max(row.tolerance, 0.5)


def test_the_page_has_these_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip() == table()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(f"{text[: text.index(BEGIN) + len(BEGIN)]}\n\n{table()}\n\n{text[text.index(END) :]}", encoding="utf-8")
