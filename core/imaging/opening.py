"""From bytes to an opened, not yet decoded picture: allow list, limits, and the header, read once.

The module of the sniffed format is called directly, never `Image.open`: no other plugin can run, none is registered or imported
before its first image (memory of a worker), and Pillow's process-wide pixel limit neither warns nor rules here.
"""

from __future__ import annotations

import warnings
from typing import Final

from core.archives.foreign import describe_nested
from core.errors import ItemError, ItemErrorCode
from core.imaging.dicom import DicomPicture
from core.imaging.jpeg import JpegPicture
from core.imaging.picture import Picture, check_pixels
from core.imaging.plugins import PLUGINS, PluginPicture
from core.imaging.sniffing import describe_bytes, other_image_format, sniff_format
from core.settings import ImageLimits

ALLOWED_FORMATS: Final = ("JPEG", *PLUGINS, "DICOM")

# Pillow reports damaged metadata as warnings whose texts hold the file's own numbers: each would be remembered for the life of
# a worker and printed to its log, and none concerns a pixel.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def open_image(data: bytes, limits: ImageLimits) -> Picture:
    """Checks format and size and reads the header, before any pixel is decoded.

    Args:
        data: the whole file.
        limits: bytes and pixels that an image may have.

    Raises:
        ItemError: empty, too_large, not_an_image, unsupported_format, truncated or damaged (in the header, too),
            too_many_pixels.
    """
    if not data:
        raise ItemError(ItemErrorCode.EMPTY, "expected an image, got 0 bytes")
    if len(data) > limits.max_bytes:
        raise ItemError(
            ItemErrorCode.TOO_LARGE,
            f"expected at most {limits.max_bytes:,} bytes, got {len(data):,}; an operator can raise DERMQ_IMAGE_MAX_BYTES",
        )
    name = _allowed_format(data)
    picture = _read(name, data)
    check_pixels(picture.size, limits)
    return picture


def _read(name: str, data: bytes) -> Picture:
    if name == "JPEG":
        return JpegPicture(data)
    return DicomPicture(data) if name == "DICOM" else PluginPicture(name, data)


def _allowed_format(data: bytes) -> str:
    name = sniff_format(data)
    if name is not None:
        return name
    other = other_image_format(data)
    if other is not None:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT, f"expected one of {', '.join(ALLOWED_FORMATS)}, got a {other}; convert it first"
        )
    raise ItemError(ItemErrorCode.NOT_AN_IMAGE, f"expected an image, got {describe_nested(data) or describe_bytes(data)}")
