"""The difference hash of each picture of a batch."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.archives.base import Member
from core.imaging.differencehash import difference_hash
from core.modelspec import ModelSpec
from core.settings import ImageLimits
from worker.batches import BatchDecoder
from worker.telemetry.stopwatch import Stopwatch

SPEC = ModelSpec(name="tiny", classes=("a", "b"), input_height=28, input_width=28, preprocessing_hash="x")


class Pictures:
    """An archive whose members' names are seeds."""

    def read(self, member: Member) -> bytes:
        pixels = np.random.default_rng(int(member.name)).integers(0, 256, (40, 40, 3), np.uint8)
        saved = io.BytesIO()
        Image.fromarray(pixels).save(saved, "PNG")
        return saved.getvalue()


@pytest.mark.parametrize("wanted", [True, False], ids=["on", "off"])
def test_hashes_are_of_the_pixels_that_the_model_sees(wanted: bool) -> None:
    limits, archive = ImageLimits(near_duplicates=wanted), Pictures()
    decoder: Any = BatchDecoder(archive, SPEC, limits, 8, Stopwatch())  # type: ignore[arg-type]
    (batch,) = decoder.batches([(0, Member("1")), (1, Member("2")), (2, Member("1"))])
    found = [item.difference_hash for item in batch.items]
    assert found == ([difference_hash(pixels) for pixels in batch.images[:3]] if wanted else [None] * 3)
    assert (found[0] == found[2]) is True
    assert (found[0] != found[1]) is wanted
