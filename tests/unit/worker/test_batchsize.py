"""How many images go to the model in one request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import tiny_spec
from worker.batchsize import LEAST_IMAGES, MOST_IMAGES, PIXEL_BYTES, batch_images


@pytest.mark.parametrize(("side", "images"), [(28, 128), (64, 32), (96, 16), (224, 4), (299, 2), (600, 2)])
def test_about_half_a_megabyte_of_pixels(side: int, images: int) -> None:
    assert batch_images(tiny_spec(height=side, width=side), None) == images


def test_what_the_operator_sets_holds() -> None:
    assert batch_images(tiny_spec(), 1) == 1
    assert batch_images(tiny_spec(), 500) == 500


@given(height=st.integers(1, 2000), width=st.integers(1, 2000))
def test_within_its_bounds_the_pixels_are_half_a_megabyte_by_a_factor_of_the_root_of_two(height: int, width: int) -> None:
    images = batch_images(tiny_spec(height=height, width=width), None)
    assert LEAST_IMAGES <= images <= MOST_IMAGES
    if LEAST_IMAGES < images < MOST_IMAGES:
        assert 2**-0.5 <= images * height * width * 3 / PIXEL_BYTES <= 2**0.5
