"""Pictures that Pillow and its plugins decode: all formats but JPEG."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Final

from PIL import Image, ImageFile

from core.errors import ItemError, ItemErrorCode
from core.imaging.faults import DECODER_ERRORS, decoding, item_error
from core.imaging.picture import Box, Picture, check_pixels
from core.settings import ImageLimits

PLUGINS: Final = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),  # an optional dependency
}
_ORIENTATION_SOURCES: Final = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_ORIENTATION_TAG: Final = 0x0112  # EXIF 2.32, 4.6.4


class PluginPicture(Picture):
    """A picture that one of Pillow's plugins decodes."""

    __slots__ = ("_image",)

    def __init__(self, name: str, data: bytes, limits: ImageLimits) -> None:
        if name == "WEBP":  # its decoder allocates the canvas when it is created
            check_pixels(_webp_size(data), limits)
        self._image = _opened(name, data)
        check_pixels(self._image.size, limits)
        with decoding(name, self._image.size):
            self._image.load()  # a PNG may bring its EXIF after the pixels; TIFF and HEIF turn themselves as they load
        super().__init__(name, self._image.size, _orientation(self._image))
        self.profile = self._image.info.get("icc_profile") or None

    def decode(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:  # noqa: ARG002 - one signature for all formats
        """See Picture.decode; always at full size."""
        return self.shown(self._image), (0, 0, *self._image.size)


def _opened(name: str, data: bytes) -> ImageFile.ImageFile:
    plugin = _plugin(name)
    stream = io.BytesIO(data)
    try:
        image: ImageFile.ImageFile = plugin(stream)
    except DECODER_ERRORS as error:
        at_end = stream.tell() >= len(data)
        raise item_error(name, error, at_end=at_end, doing="reading its header") from error
    return image


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8, that is still to be applied. TIFF and HEIF are turned upright by their plugins."""
    if image.format in ("TIFF", "HEIF") or not _ORIENTATION_SOURCES & image.info.keys():
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _plugin(name: str) -> type[ImageFile.ImageFile]:
    module_name, class_name = PLUGINS[name]
    try:
        plugin: type[ImageFile.ImageFile] = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT,
            f"{name} images need {module_name}, which is not installed here; install dermq[heic] or convert to JPEG",
        ) from error
    return plugin


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas size in pixels as the header announces it (RFC 9649, 2.5 to 2.7); (0, 0) where the header is broken."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return 0, 0
