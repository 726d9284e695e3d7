"""Small upright pictures for web pages."""

from __future__ import annotations

import io
from typing import Final

from core.imaging.decoding import scaled, upright
from core.imaging.faults import decoding
from core.imaging.opening import open_image
from core.settings import ImageLimits

_QUALITY: Final = 85


def thumbnail(data: bytes, *, max_side: int, limits: ImageLimits) -> bytes:
    """A JPEG of the whole image, upright, in its own aspect ratio, without any metadata; decoded as the model sees it.

    Args:
        data: the whole file.
        max_side: the longer side of the result, pixels; a smaller image keeps its size.
        limits: bytes and pixels that an image may have.

    Raises:
        ItemError: why this image cannot be decoded.
    """
    picture = open_image(data, limits)
    with decoding(picture.format, picture.size):
        target = _fitting(picture.size, max_side)
        flat, box = picture.decode(target)
        small = upright(scaled(flat, target, box), picture.orientation)
        small.info = {}  # nothing of comments, profiles or EXIF (places, names) may travel on
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return stream.getvalue()


def _fitting(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
