"""The shorter way to the same pixels as Pillow's public functions give."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.imaging import decode_image
from core.imaging.picture import Box
from core.imaging.shrinking import shrink
from core.settings import ImageLimits

LIMITS = ImageLimits()


def noise(seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("stored", "size", "box"),
    [
        pytest.param((100, 75), (28, 28), (0, 0, 100.0, 75.0), id="small"),
        pytest.param((300, 225), (224, 224), (0, 0, 299.5, 224.5), id="a scaled JPEG that ends within a pixel"),
        pytest.param((300, 224), (224, 224), (38.0, 0.0, 262.0, 224.0), id="the middle"),
        pytest.param((28, 28), (28, 28), (0, 0, 28, 28), id="as it is"),
        pytest.param((5, 7), (224, 224), (0, 0, 5, 7), id="enlarged"),
        pytest.param((9, 9), (1, 2), (0, 0, 9, 9), id="fewer bytes than the encoder's least"),
        pytest.param((1600, 1200), (299, 299), (0, 0, 1600, 1200), id="larger than one block of the encoder"),
    ],
)
def test_shrink_gives_what_resize_gives(stored: tuple[int, int], size: tuple[int, int], box: Box) -> None:
    pixels = noise(len(stored), stored)
    expected = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box)
    found = shrink(pixels, size, box)
    assert found.dtype == np.uint8
    assert found.shape == (size[1], size[0], 3)
    assert found.tobytes() == expected.tobytes()


def test_pixels_of_another_shape_are_no_picture() -> None:
    with pytest.raises(ValueError, match="expected pixels for an image of \\(8, 8\\), got uint8 \\[8, 8, 1\\]"):
        shrink(np.zeros((8, 8, 1), np.uint8), (4, 4), (0, 0, 8, 8))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6, 3])
@pytest.mark.parametrize("size", [(200, 150), (1300, 700)], ids=["small", "reduced by whole numbers first"])
def test_a_jpeg_of_each_kind_has_the_pixels_of_pillows_own_way(mode: str, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    target = io.BytesIO()
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]] / 20
    waves = np.stack([np.sin(rows + columns), np.sin(rows), np.cos(columns)], axis=2)
    Image.fromarray((127 + 120 * waves).astype(np.uint8)).convert(mode).save(target, "JPEG", quality=95, exif=exif)

    height, width = 20, 24
    stored = (height, width) if orientation == 6 else (width, height)
    image = Image.open(io.BytesIO(target.getvalue()))
    image.draft(None, (2 * stored[0], 2 * stored[1]))
    box = (0, 0, *(whole / round(whole / scaled) for whole, scaled in zip(size, image.size, strict=True)))
    small = image.convert("RGB").resize(stored, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)  # type: ignore[arg-type]
    turn = {6: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}.get(orientation)
    expected = small if turn is None else small.transpose(turn)

    found = decode_image(target.getvalue(), height=height, width=width, limits=LIMITS)
    assert found.pixels.tobytes() == expected.tobytes()
