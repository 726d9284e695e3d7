"""GIF (89a): the first frame on its canvas, apart from comments and application data.

GIF has no checksum. Its lengths, the end of its blocks and the codes of its pixels are checked, here and by the decoder.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from core.imaging.contents import Contents
from core.imaging.copies import is_text_copy
from core.imaging.faults import damaged, truncated
from core.notes import ItemNote

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_GRAPHIC_CONTROL: Final = 0xF9


def read(data: bytes) -> Contents:
    """Checks a GIF and takes from it what its first frame needs.

    Raises:
        ItemError: truncated, damaged.
    """
    if len(data) < 13:
        raise truncated("GIF", "its header is not all there")
    start = 13 + _palette_bytes(data[10])
    at, control, frame, frames = start, b"", b"", 0
    colours = 0
    while at < len(data) and data[at] != _TRAILER:
        if data[at] == _EXTENSION:
            end = _end_of_blocks(data, at + 2, needed=not frames)
            if data[at + 1 : at + 2] == bytes([_GRAPHIC_CONTROL]) and not frames:
                control = data[at:end]
        elif data[at] == _IMAGE:
            end = _end_of_frame(data, at, needed=not frames)
            if not frames:
                frame = data[at:end]
                colours = _palette_bytes(frame[9]) // 3 or _palette_bytes(data[10]) // 3
            frames += 1
        else:
            if not frames:
                raise damaged("GIF", "something else stands where a block should begin")
            break
        at = end
    if not frames:
        raise truncated("GIF", "it has no frame")
    if is_text_copy(frame):
        raise damaged("GIF", "it was copied as text, which put a carriage return before each line feed")
    contents = Contents(data[:start] + control + frame + bytes([_TRAILER]), _size(data, frame))
    contents.finish = partial(_finish, colours=colours)
    if frames > 1:
        contents.notes.add(ItemNote.EXTRA_PAGES)
    return contents


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _size(data: bytes, frame: bytes) -> tuple[int, int]:
    """Width and height of the canvas; a frame that reaches over it makes it larger, as all decoders have it."""
    left, top, width, height = (int.from_bytes(frame[at : at + 2], "little") for at in (1, 3, 5, 7))
    if width == 0 or height == 0:
        raise damaged("GIF", f"its frame is {width} x {height} pixels")
    screen = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return max(screen[0], left + width), max(screen[1], top + height)


def _end_of_frame(data: bytes, at: int, *, needed: bool) -> int:
    if at + 11 > len(data):
        if needed:
            raise truncated("GIF", "its frame's header is not all there")
        return len(data)
    return _end_of_blocks(data, at + 11 + _palette_bytes(data[at + 9]), needed=needed)


def _end_of_blocks(data: bytes, at: int, *, needed: bool) -> int:
    """Behind the empty block that ends a row of blocks. The decoder tells whether blocks at the end of the file are enough."""
    while at < len(data):
        if data[at] == 0:
            return at + 1
        if at + 1 + data[at] > len(data) and needed:
            raise truncated("GIF", f"a block of {data[at]} bytes is not all there")
        at += 1 + data[at]
    return len(data)


def _finish(image: Image.Image, colours: int) -> Image.Image:
    """Pillow gives L where the palette is a grey ramp, and RGB where the frame does not fill the canvas."""
    if image.mode == "P" and colours and int(np.asarray(image).max()) >= colours:
        raise damaged("GIF", f"pixels point behind its palette of {colours} colours")
    return image
