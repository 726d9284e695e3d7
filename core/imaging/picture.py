"""An opened image whose pixels are not decoded yet. Each format's module makes one; decoding.py and thumbnails.py use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging.colour import to_opaque
from core.notes import ItemNote
from core.settings import ImageLimits

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(slots=True)
class Picture(ABC):
    """What the header says. All of it is read once, when the image is opened."""

    format: str  # Pillow's name
    size: tuple[int, int]  # width and height in pixels, as stored
    orientation: int = 1  # EXIF orientation, 1 to 8, that is still to be applied to the decoded pixels
    profile: bytes | None = None  # ICC; empty where the file has a broken one
    notes: set[ItemNote] = field(default_factory=set)
    green: NDArray[np.uint8] | None = None  # of the decoded pixels, uint8 [height, width], where `decode` has an array of them

    def shown(self, image: Image.Image) -> Image.Image:
        """The decoded image, opaque, as sRGB; a profile that is of no use is noted."""
        opaque, lost = to_opaque(image, self.profile)
        if lost:
            self.notes.add(ItemNote.LOST_PROFILE)
        return opaque

    def decode_array(self, enough: tuple[int, int]) -> tuple[NDArray[np.uint8], Box] | None:  # noqa: ARG002
        """As `decode`, where the decoder gives an array of RGB values to which nothing is to be done; else None.

        Args:
            enough: as in `decode`.

        Returns:
            uint8 [height, width, 3], valid until this thread's next picture, and the box in it that the picture fills.

        Raises:
            ItemError: as `decode`.
        """
        return None

    @abstractmethod
    def decode(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:
        """The pixels, opaque, as sRGB. Call once, within `faults.decoding`.

        Args:
            enough: (width, height) in pixels, as stored, that the whole image will be resized to.

        Returns:
            The image in mode L or RGB, at least twice `enough` unless the file itself is smaller, and the box in it that the
            picture fills: the last column or row of a scaled JPEG may lie partly outside. Notes may have been added.

        Raises:
            ItemError: the pixels are damaged, or cannot be read for what they are.
        """


def check_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    """Refuse a picture by the size that its header announces.

    Raises:
        ItemError: too_many_pixels.
    """
    width, height = size
    if width * height > limits.max_pixels:
        raise ItemError(
            ItemErrorCode.TOO_MANY_PIXELS,
            f"expected at most {limits.max_pixels:,} pixels, the header announces {width:,} x {height:,} = {width * height:,}; "
            "make it smaller, or have an operator raise DERMQ_IMAGE_MAX_PIXELS",
        )
