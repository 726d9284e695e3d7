"""Pictures that Pillow and its plugins decode: all formats but JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from typing import Final

from PIL import Image, ImageFile

from core.imaging import bmp, gif, heif, png, tiff, webp
from core.imaging.contents import Contents
from core.imaging.faults import DECODER_ERRORS, damaged, item_error
from core.imaging.picture import Box, Picture

PLUGINS: Final = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),  # an optional dependency
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
}
_READERS: Final[dict[str, Callable[[bytes], Contents]]] = {
    "PNG": png.read,
    "WEBP": webp.read,
    "TIFF": tiff.read,
    "BMP": bmp.read,
    "GIF": gif.read,
    "HEIF": heif.read,
    "AVIF": heif.read_avif,
}


class PluginPicture(Picture):
    """A picture that one of Pillow's plugins decodes, after this package has read and checked the file."""

    __slots__ = ("_contents",)

    def __init__(self, name: str, data: bytes) -> None:
        try:
            contents = _READERS[name](data)
        except DECODER_ERRORS as error:
            raise item_error(name, error, at_end=False, doing="reading its header") from error
        super().__init__(name, contents.size, contents.orientation, contents.profile, contents.notes)
        self._contents = contents

    def decode(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:  # noqa: ARG002 - one signature for all formats
        """See Picture.decode; always at full size."""
        image: Image.Image = _loaded(self.format, self._contents)
        if self._contents.finish:
            image = self._contents.finish(image)
        return self.shown(image), (0, 0, *image.size)


def _loaded(name: str, contents: Contents) -> ImageFile.ImageFile:
    image = contents.opened or _opened(name, contents.complete() if contents.complete else contents.data)
    if image.size != contents.size:
        raise damaged(name, f"its pixels are {image.size}, its header says {contents.size}")
    image.load()
    return image


def _opened(name: str, data: bytes) -> ImageFile.ImageFile:
    module_name, class_name = PLUGINS[name]
    plugin: type[ImageFile.ImageFile] = getattr(import_module(module_name), class_name)
    stream = io.BytesIO(data)
    try:
        return plugin(stream)
    except DECODER_ERRORS as error:
        raise item_error(name, error, at_end=stream.tell() >= len(data), doing="reading its header") from error
