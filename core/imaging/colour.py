"""Any pixel mode to opaque 8-bit RGB or grey.

- Alpha, a transparent palette entry or a colour key is composited over white, as a page would show it; an image that is
  transparent everywhere is taken as opaque (writers that leave the fourth byte zero).
- 16-bit grey keeps its high byte, just as Pillow reads 16-bit colour; 12-bit TIFF is scaled by its own depth.
- 32-bit integers and floating point have no defined white: refused rather than guessed.
- Colour profiles are not applied: models see the stored values, in training as in service.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from core.errors import ItemError, ItemErrorCode

_WHITE: Final = (255, 255, 255)
_BITS_PER_SAMPLE: Final = 258  # TIFF 6.0, section 8


def to_opaque(image: Image.Image) -> Image.Image:
    """The loaded image in mode L or RGB, same size.

    Raises:
        ItemError: unsupported_format, for modes without a defined white.
    """
    if image.mode.startswith("I;16"):
        return _high_byte(image)
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("I", "F", "LAB"):
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT,
            f"expected 8 or 16 bits per channel of grey, RGB or CMYK, got Pillow's mode {image.mode}; convert it to 8-bit RGB",
        )
    return image.convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    depth = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    bits = depth[0] if isinstance(depth, tuple) else depth
    pixels = np.asarray(image) >> (4 if bits == 12 else 8)
    return Image.fromarray(pixels.astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    lowest, highest = image.getchannel("A").getextrema()
    if lowest == 255 or highest == 0:
        return image.convert("RGB")
    white = Image.new("RGB", image.size, _WHITE)
    white.paste(image, mask=image)
    return white
