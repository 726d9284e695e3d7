"""Notes on what the pixels tell: found on drawn and degraded pictures, absent on sound ones."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from core.imaging import decode_image
from core.notes import ItemNote
from core.settings import ImageLimits
from tests.support.pictures import saved

LIMITS = ImageLimits()


def lesion(seed: int) -> Image.Image:
    """A drawn skin picture of 600 x 450: a dark spot with a network, hairs and pores, in warm colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:450, 0:600]
    skin = np.array([222, 178, 160]) + rng.normal(0, 3, (450, 600, 3))
    spot = np.exp(-(((x - 300) / 140) ** 4) - ((y - 225) / 110) ** 4)[..., None]
    network = (np.sin(x / 3.1) * np.sin(y / 2.7) > 0.4)[..., None] * spot
    pixels = skin - spot * np.array([90, 100, 95]) - network * 35
    for _ in range(12):
        pixels[np.abs(y - (rng.uniform(0, 450) + rng.normal(0, 0.6) * x)) < 1.2] -= 60
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def notes(image: Image.Image, side: int = 224) -> set[ItemNote]:
    found = {decode_image(saved(image, fmt), height=side, width=side, limits=LIMITS).notes for fmt in ("JPEG", "PNG")}
    assert len(found) == 1
    return set(found.pop())


def times(image: Image.Image, factor: float) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(image) * factor, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("seed", range(4))
class TestDegraded:
    def test_a_sound_picture_has_none(self, seed: int) -> None:
        for side in (28, 96, 224):
            assert notes(lesion(seed), side) == set()

    def test_grey(self, seed: int) -> None:
        grey = lesion(seed).convert("L")
        for image in (grey, grey.convert("RGB"), times(grey.convert("RGB"), 0.7)):
            assert notes(image) == {ItemNote.GREYSCALE}

    def test_one_coloured_part_is_colour(self, seed: int) -> None:
        image = lesion(seed).convert("L").convert("RGB")
        image.paste((200, 140, 120), (200, 150, 400, 300))
        assert ItemNote.GREYSCALE not in notes(image)

    def test_light(self, seed: int) -> None:
        assert notes(times(lesion(seed), 0.25)) == {ItemNote.UNDER_EXPOSED}
        assert ItemNote.OVER_EXPOSED in notes(times(lesion(seed), 1.8))
        for factor in (0.7, 1.1):
            assert notes(times(lesion(seed), factor)) == set()

    def test_blur(self, seed: int) -> None:
        assert notes(lesion(seed).filter(ImageFilter.GaussianBlur(8))) == {ItemNote.BLURRED}
        assert notes(lesion(seed).filter(ImageFilter.GaussianBlur(0.7))) == set()

    def test_padding_is_no_darkness(self, seed: int) -> None:
        data = saved(lesion(seed).resize((600, 60)))
        assert ItemNote.UNDER_EXPOSED not in decode_image(data, height=50, width=50, resize="pad", limits=LIMITS).notes


def test_a_vignette_is_no_darkness() -> None:
    image = np.asarray(lesion(0)).copy()
    y, x = np.mgrid[0:450, 0:600]
    image[(x - 300) ** 2 + (y - 225) ** 2 > 220**2] = 0
    assert ItemNote.UNDER_EXPOSED not in notes(Image.fromarray(image))


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (15, 15), (1, 400), (400, 1)])
def test_tiny_pictures_have_only_their_size_against_them(size: tuple[int, int]) -> None:
    assert notes(Image.new("RGB", size, (200, 150, 140)), 224) == {ItemNote.LOW_RESOLUTION}


def test_real_pictures_have_few(shared_data: Path) -> None:
    """Six of 10,054 are called blurred, and one of this sample at most. None is grey, too dark or too bright."""
    found: Counter[ItemNote] = Counter()
    with zipfile.ZipFile(shared_data / "ham10000" / "ham10000_200x150.zip") as archive:
        members = [archive.read(name) for name in archive.namelist()[::25] if name.endswith(".jpg")]
    members += [path.read_bytes() for path in sorted((shared_data / "ham10000" / "originals_600x450").glob("*.jpg"))]
    for data in members:
        found.update(decode_image(data, height=28, width=28, limits=LIMITS).notes)
    assert found.total() <= 1
    blurred = [Image.open(io.BytesIO(data)).filter(ImageFilter.GaussianBlur(4)) for data in members[:100]]
    seen = [ItemNote.BLURRED in decode_image(saved(image), height=28, width=28, limits=LIMITS).notes for image in blurred]
    assert sum(seen) >= 95
