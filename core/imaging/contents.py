"""What a format's module has read from a file: the pixels' bytes apart from the metadata, and the facts that change pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageFile

from core.notes import ItemNote


@dataclass(slots=True)
class Contents:
    """A file, checked as far as its format allows. Metadata are left out of `data`: they can no longer fail the picture."""

    data: bytes  # for Pillow's plugin
    size: tuple[int, int]  # width and height in pixels, as stored; (0, 0) where only the plugin knows
    orientation: int = 1  # EXIF orientation, 1 to 8, that is still to be applied to the decoded pixels
    profile: bytes | None = None  # ICC; empty where the file has a broken one
    notes: set[ItemNote] = field(default_factory=set)
    complete: Callable[[], bytes] | None = (
        None  # makes `data` where that costs as much as decoding: called once the number of pixels is known to be allowed
    )
    opened: ImageFile.ImageFile | None = None  # where the plugin had to read the header
    finish: Callable[[Image.Image], Image.Image] | None = (
        None  # from the plugin's pixels to the right ones; may raise ItemError
    )
