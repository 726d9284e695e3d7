"""From bytes to an opened, not yet decoded Pillow image; and from any decoder's exception to an ItemError.

The plugin class of the sniffed format is called directly, never `Image.open`: no other plugin can run, none is registered or
imported before its first image (memory of a worker), and Pillow's process-wide pixel limit neither warns nor rules here.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import Final

from PIL import Image, ImageFile

from core.errors import ItemError, ItemErrorCode
from core.imaging.sniffing import describe_bytes, other_image_format, sniff_format
from core.settings import ImageLimits

_PLUGINS: Final = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),  # the first picture of an MPO, too
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),  # an optional dependency
}
ALLOWED_FORMATS: Final = tuple(_PLUGINS)

# All that Pillow, its plugins and pillow-heif are known to raise on hostile bytes. Not `Exception`: a soft time limit of the
# task queue arrives as an exception in the middle of a decode, and is no fault of the image.
_DECODER_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,  # where an operator made warnings errors
    struct.error,
    zlib.error,
)
_UNSUPPORTED_WORDS: Final = (
    "cannot handle",
    "not available",
    "not supported",
    "not yet supported",
    "unknown data organization",
    "unknown pixel mode",
    "unsupported",
)
_ORIENTATION_SOURCES: Final = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_ORIENTATION_TAG: Final = 0x0112  # EXIF 2.32, 4.6.4
_HUGE: Final = Lock()

# Pillow reports damaged metadata as warnings whose texts hold the file's own numbers: each would be remembered for the life of
# a worker and printed to its log, and none concerns a pixel.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def open_image(data: bytes, limits: ImageLimits) -> ImageFile.ImageFile:
    """Checks format and size and reads the header, before any pixel is decoded.

    Args:
        data: the whole file.
        limits: bytes and pixels that an image may have.

    Raises:
        ItemError: empty, too_large, not_an_image, unsupported_format, truncated (damage in the header, too), too_many_pixels.
    """
    if not data:
        raise ItemError(ItemErrorCode.EMPTY, "expected an image, got 0 bytes")
    if len(data) > limits.max_bytes:
        raise ItemError(
            ItemErrorCode.TOO_LARGE,
            f"expected at most {limits.max_bytes:,} bytes, got {len(data):,}; an operator can raise DERMQ_IMAGE_MAX_BYTES",
        )
    name = _allowed_format(data)
    plugin = _plugin(name)
    stream = io.BytesIO(data)
    if name == "WEBP":  # its decoder allocates the canvas when it is created
        _check_pixels(_webp_size(data), limits)
    try:
        image: ImageFile.ImageFile = plugin(stream)
    except _DECODER_ERRORS as error:
        at_end = stream.tell() >= len(data)
        raise _item_error(name, error, at_end=at_end, doing="reading its header") from error
    _check_pixels(image.size, limits)
    return image


@contextmanager
def decoding(image: ImageFile.ImageFile) -> Iterator[None]:
    """Pixels of `image` are decoded within: what goes wrong there leaves as an ItemError."""
    try:
        with _own_pixel_limit(image):
            yield
    except _DECODER_ERRORS as error:
        raise _item_error(image.format or "image", error, at_end=False, doing="decoding its pixels") from error


def orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8, that is still to be applied to the decoded image. Call after `load()`, but for JPEG.

    TIFF and HEIF are turned upright by their plugins. Damaged metadata count as none: the pixels are good.
    """
    if image.format in ("TIFF", "HEIF") or not _ORIENTATION_SOURCES & image.info.keys():
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _allowed_format(data: bytes) -> str:
    name = sniff_format(data)
    if name is not None:
        return name
    other = other_image_format(data)
    if other is not None:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT, f"expected one of {', '.join(ALLOWED_FORMATS)}, got a {other}; convert it first"
        )
    raise ItemError(ItemErrorCode.NOT_AN_IMAGE, f"expected an image, got {describe_bytes(data)}")


def _plugin(name: str) -> type[ImageFile.ImageFile]:
    module_name, class_name = _PLUGINS[name]
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


def _check_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ItemError(
            ItemErrorCode.TOO_MANY_PIXELS,
            f"expected at most {limits.max_pixels:,} pixels, the header announces {width:,} x {height:,} = {width * height:,}; "
            "make it smaller, or have an operator raise DERMQ_IMAGE_MAX_PIXELS",
        )


@contextmanager
def _own_pixel_limit(image: ImageFile.ImageFile) -> Iterator[None]:
    """Some plugins ask Pillow's process-wide limit once more when they load; an image within ours must pass it.

    The limit is lifted for as long as such a huge image takes, one at a time, and then put back: nobody else loses it for good.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or image.width * image.height <= limit:
        yield
        return
    with _HUGE:
        saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = saved


def _item_error(name: str, error: Exception, *, at_end: bool, doing: str) -> ItemError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError):
        return ItemError(
            ItemErrorCode.TOO_MANY_PIXELS, f"not enough memory for this {name} image while {doing}; make it smaller"
        )
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ItemError(ItemErrorCode.TOO_MANY_PIXELS, f"too many pixels in this {name} image: {text}")
    unknown_variant = isinstance(error, SyntaxError) and isinstance(error.__cause__, KeyError)
    if unknown_variant or any(words in text.lower() for words in _UNSUPPORTED_WORDS):
        return ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT, f"a variant of {name} that cannot be decoded ({text}); convert it to 8-bit RGB"
        )
    if at_end or "truncated" in text.lower():
        return ItemError(ItemErrorCode.TRUNCATED, f"the {name} image ends too early, while {doing} ({text}); copy it again")
    return ItemError(ItemErrorCode.TRUNCATED, f"the {name} image is damaged: {doing} failed ({text}); copy it again")
