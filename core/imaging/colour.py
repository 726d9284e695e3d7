"""Any pixel mode to opaque 8-bit sRGB or grey.

- Alpha, a transparent palette entry or a colour key is composited over white, as a page would show it; an image that is
  transparent everywhere is taken as opaque (writers that leave the fourth byte zero).
- 16-bit grey keeps its high byte, just as Pillow reads 16-bit colour.
- 32-bit integers and floating point have no defined white: refused rather than guessed.
- A colour profile is applied. Where it is broken or does not fit, the stored values are used as they are, and that is noted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging.profiles import to_srgb

_WHITE: Final = (255, 255, 255)


def to_opaque(image: Image.Image, profile: bytes | None = None) -> tuple[Image.Image, bool]:
    """The loaded image in mode L or RGB, same size, as sRGB.

    Args:
        image: loaded, in any mode.
        profile: its ICC profile, if it has one.

    Returns:
        The image, and whether its profile was lost: broken, or not for such an image.

    Raises:
        ItemError: unsupported_format, for modes without a defined white.
    """
    if image.mode.startswith("I;16"):
        image = _high_byte(image)
    elif image.mode == "La":
        return _over_white(image.convert("LA").convert("RGBA"), profile)
    elif image.has_transparency_data:
        return _over_white(image.convert("RGBA"), profile)
    elif image.mode in ("I", "F", "LAB"):
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT,
            f"expected 8 or 16 bits per channel of grey, RGB or CMYK, got Pillow's mode {image.mode}; convert it to 8-bit RGB",
        )
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return _converted(image, profile)


def _converted(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    converted = image if profile is None else to_srgb(image, profile)
    lost = converted is None
    shown = converted or image
    return shown if shown.mode in ("L", "RGB") else shown.convert("RGB"), lost


def _high_byte(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _over_white(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    opaque, lost = _converted(image.convert("RGB"), profile)
    if lowest == 255 or highest == 0:
        return opaque, lost
    white = Image.new("RGB", image.size, _WHITE)
    white.paste(opaque, mask=alpha)
    return white, lost
