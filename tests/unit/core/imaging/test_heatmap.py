"""Maps laid over pictures: where their places come to lie, and how strong they are there."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from core.imaging import Resize, draw_heatmap

LEFT = np.array([[255, 0], [255, 0]], np.uint8)


def strength(png: bytes) -> npt.NDArray[np.uint8]:
    """The alpha channel, uint8 [height, width]."""
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGBA"))[..., 3]


def test_a_map_covers_the_whole_picture_and_is_interpolated_between_places() -> None:
    drawn = strength(draw_heatmap(LEFT, size=(600, 450), seen=(28, 28), resize="stretch"))
    assert drawn.shape == (192, 256)
    assert (drawn == drawn[0]).all()
    row = drawn[0].astype(int)
    assert (row[:64] == 255).all()  # up to the middle of the first place
    assert (row[192:] == 0).all()
    assert (row[127], row[128]) == (128, 127)  # half-way, half as strong; then less
    assert (np.diff(row) <= 0).all()


def test_the_strongest_place_is_yellow_and_opaque_and_none_is_transparent() -> None:
    image = Image.open(io.BytesIO(draw_heatmap(LEFT, size=(4, 4), seen=(4, 4), resize="stretch"))).convert("RGBA")
    assert image.getpixel((0, 0)) == (253, 231, 37, 255)
    assert image.getpixel((255, 0)) == (68, 1, 84, 0)


def test_what_was_cropped_off_is_transparent() -> None:
    everywhere = np.full((3, 3), 255, np.uint8)
    drawn = strength(draw_heatmap(everywhere, size=(400, 200), seen=(64, 64), resize="crop"))
    assert drawn.shape == (128, 256)
    assert (drawn[:, :64] == 0).all()
    assert (drawn[:, 64:192] == 255).all()
    assert (drawn[:, 192:] == 0).all()


def test_the_border_that_was_added_is_left_out() -> None:
    """A picture twice as wide as high fills the middle half of a square; the outer rows of the map lie in the border."""
    rows = np.array([[255], [0], [0], [255]], np.uint8)
    drawn = strength(draw_heatmap(rows, size=(400, 200), seen=(64, 64), resize="pad"))
    assert drawn.shape == (128, 256)
    column = drawn[:, 0].astype(int)
    assert (column[32:96] == 0).all()
    assert column[0] == pytest.approx(127, abs=3)  # the edge lies half-way to the middle of the border's place
    assert column[-1] == column[0]


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_long_strip_is_drawn_too(resize: Resize) -> None:
    assert strength(draw_heatmap(LEFT, size=(5000, 3), seen=(28, 28), resize=resize)).shape == (1, 256)


def test_a_map_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 7), dtype=np.uint8)
    assert len(draw_heatmap(noise, size=(600, 600), seen=(28, 28), resize="stretch")) < 60_000
