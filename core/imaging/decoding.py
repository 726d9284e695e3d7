"""The arrays that models are trained on and fed with.

Order of work: header → decode (JPEG by the inverse DCT at 1/2, 1/4 or 1/8 of the size, never below twice the target in each
dimension) → opaque 8-bit → bilinear resize with antialiasing → EXIF orientation. The orientation comes last, on the small
picture, with the target's sides swapped where it turns by a quarter.

Notes on what the pixels tell are taken of many pictures at once (`examine`): the calls cost more than the work.

Whatever changes a pixel of this must raise PREPROCESSING_VERSION: a model remembers the hash it was trained under.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.imaging.faults import decoding
from core.imaging.opening import open_image
from core.imaging.picture import Box, Picture
from core.imaging.quality import are_blurred, lines_of, lines_of_green, notes_on_light, points_of
from core.imaging.shrinking import shrink
from core.notes import ItemNote
from core.settings import ImageLimits

PREPROCESSING_VERSION: Final = 1

Resize = Literal["stretch", "crop", "pad"]

_TURNS: Final = {  # EXIF orientation → what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS: Final = (5, 6, 7, 8)
_RESIZES: Final = get_args(Resize)
_REDUCING_GAP: Final = 3.0
_MAX_REDUCTION: Final = 64  # Pillow's reduce() divides by a 24-bit reciprocal: one over 1,500 pixels a side makes white 231


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """One image as the model sees it, the size that it had, and what is doubtful about it."""

    pixels: NDArray[np.uint8]  # [height, width, 3] of the target
    width: int  # pixels of the original, upright
    height: int
    notes: tuple[ItemNote, ...] = ()  # in the order of the enum


@dataclass(slots=True, eq=False)
class UnexaminedImage:
    """One image as the model sees it, and samples of it, until `examine` has looked at them."""

    pixels: NDArray[np.uint8]  # [height, width, 3] of the target
    width: int  # pixels of the original, upright
    height: int
    notes: set[ItemNote]  # that the file gave
    points: NDArray[np.uint8]  # of the filled part of `pixels`, a view: [rows, columns, 3]
    lines: NDArray[np.uint8] | None  # of the picture at the scale at which it was decoded: [lines, length]


def decode_image(
    data: bytes,
    *,
    height: int,
    width: int,
    resize: Resize = "stretch",
    limits: ImageLimits,
    out: NDArray[np.uint8] | None = None,
) -> DecodedImage:
    """Decodes one image to the size a model expects. Safe to call from several threads.

    Args:
        data: the whole file.
        height: of the result, pixels.
        width: of the result, pixels.
        resize: "stretch" ignores the aspect ratio; "crop" fills the target with the middle of the image; "pad" fits the image
            into the target, black around it (as the vignette of a dermatoscope is).
        limits: bytes and pixels that an image may have.
        out: uint8 [height, width, 3], a row of a batch, written in place; `pixels` of the result is then this array.

    Returns:
        The pixels, uint8 [height, width, 3], RGB, and the original's size. Of several frames or pages, the first.

    Raises:
        ItemError: why this image cannot be decoded. Nothing else is raised for what the bytes may contain.
        ValueError: `out` has another shape or type, or `resize` is unknown: a fault of the caller.
    """
    decoded = decode_unexamined(data, height=height, width=width, resize=resize, limits=limits, out=out)
    (notes,) = examine([decoded])
    return DecodedImage(decoded.pixels, decoded.width, decoded.height, notes)


def decode_unexamined(
    data: bytes, *, height: int, width: int, resize: Resize, limits: ImageLimits, out: NDArray[np.uint8] | None = None
) -> UnexaminedImage:
    """As `decode_image`, for many images: `examine` takes the notes on their pixels, of all at once."""
    if resize not in _RESIZES:
        raise ValueError(f"resize: expected one of {', '.join(_RESIZES)}, got {resize!r}")
    pixels = _target(out, height, width)
    picture = open_image(data, limits)
    with decoding(picture.format, picture.size):
        small, size, lines = _render(picture, (width, height), resize)
        filled = _middle_of(pixels, (small.shape[1], small.shape[0]))
        filled[...] = small
    if size[0] < width or size[1] < height:
        picture.notes.add(ItemNote.LOW_RESOLUTION)
    return UnexaminedImage(pixels, *size, picture.notes, points_of(filled), lines)


def examine(images: Sequence[UnexaminedImage]) -> list[tuple[ItemNote, ...]]:
    """The notes of each image, in the order of the enum. The arrays must still hold what was decoded."""
    found = [image.notes for image in images]
    for numbers in _alike(image.points.shape for image in images):
        for note, having in notes_on_light(np.stack([images[number].points for number in numbers])):
            _note(found, note, numbers, having)
    with_lines = [(number, image.lines) for number, image in enumerate(images) if image.lines is not None]
    for places in _alike(lines.shape for _, lines in with_lines):
        having = are_blurred(np.stack([with_lines[place][1] for place in places]))
        _note(found, ItemNote.BLURRED, [with_lines[place][0] for place in places], having)
    return [tuple(note for note in ItemNote if note in notes) if notes else () for notes in found]


def preprocessing_hash(height: int, width: int, resize: str) -> str:
    """Twelve hex digits that differ where the pixels of the same file would: rule version, target size, resize rule."""
    rule = f"dermq-imaging/{PREPROCESSING_VERSION}/{height}x{width}/{resize}/rgb8"
    return hashlib.sha256(rule.encode()).hexdigest()[:12]


def scaled(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """What lies in `box`, resized to (width, height) pixels, in RGB.

    Far larger images are first reduced by whole numbers, to no less than three times the size: faster, the same to the eye.
    """
    gap = max(_REDUCING_GAP, _shrinkage(size, box) / _MAX_REDUCTION)
    small = image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=gap)
    return small if small.mode == "RGB" else small.convert("RGB")


def _shrinkage(size: tuple[int, int], box: Box) -> float:
    return max((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])


def _is_reduced(size: tuple[int, int], box: Box) -> bool:
    """Whether `scaled` reduces by whole numbers first."""
    return _shrinkage(size, box) >= 2 * _REDUCING_GAP


def upright(image: Image.Image, turn: int) -> Image.Image:
    """The image turned as EXIF orientation `turn` says."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _alike(shapes: Iterable[tuple[int, ...]]) -> list[list[int]]:
    """The positions of equal shapes."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, shape in enumerate(shapes):
        groups[shape].append(number)
    return list(groups.values())


def _note(found: Sequence[set[ItemNote]], note: ItemNote, numbers: Sequence[int], having: NDArray[np.bool_]) -> None:
    for place in np.flatnonzero(having).tolist():
        found[numbers[place]].add(note)


def _render(
    picture: Picture, target: tuple[int, int], resize: Resize
) -> tuple[NDArray[np.uint8], tuple[int, int], NDArray[np.uint8] | None]:
    """The upright RGB pixels, as large as `target` (width, height) or, for "pad", within that.

    Returns:
        Them, uint8 [height, width, 3], the (width, height) that the original has upright, and lines of it
        (core.imaging.quality).
    """
    turned = picture.orientation in _QUARTER_TURNS
    stored_target = target[::-1] if turned else target
    whole = _whole(picture.size, stored_target, resize)
    small_size = whole if resize == "pad" else stored_target
    decoded = picture.decode_array(whole)
    flat, box = decoded or picture.decode(whole)
    if resize == "crop":
        box = _middle(box, stored_target)
    if isinstance(flat, np.ndarray):
        lines = lines_of_green(flat[..., 1])
        if picture.orientation not in _TURNS and not _is_reduced(small_size, box):
            return shrink(flat, small_size, box), picture.size, lines
        flat = Image.frombuffer("RGB", flat.shape[1::-1], flat, "raw", "RGB", 0, 1)
    else:
        lines = lines_of(flat) if picture.green is None else lines_of_green(picture.green)
    small = upright(scaled(flat, small_size, box), picture.orientation)
    pixels = np.frombuffer(small.tobytes(), np.uint8).reshape(small.size[1], small.size[0], 3)
    return pixels, picture.size[::-1] if turned else picture.size, lines


def _target(out: NDArray[np.uint8] | None, height: int, width: int) -> NDArray[np.uint8]:
    if out is None:
        return np.empty((height, width, 3), np.uint8)
    if out.shape != (height, width, 3) or out.dtype != np.uint8:
        raise ValueError(f"out: expected uint8 [{height}, {width}, 3], got {out.dtype} {list(out.shape)}")
    return out


def _whole(size: tuple[int, int], target: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """The (width, height) that the whole image, uncropped, gets in the target."""
    if resize == "stretch":
        return target
    scales = target[0] / size[0], target[1] / size[1]
    scale = max(scales) if resize == "crop" else min(scales)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _middle(box: Box, target: tuple[int, int]) -> Box:
    """The largest part of `box` around its centre that has the aspect ratio of `target`."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    aspect = target[0] / target[1]
    dx, dy = max(0.0, (width - height * aspect) / 2), max(0.0, (height - width / aspect) / 2)
    return left + dx, top + dy, right - dx, bottom - dy


def _middle_of(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The part of the target that a picture of `size` (width, height) fills; what is around it becomes black."""
    (height, width), top, left = pixels.shape[:2], (pixels.shape[0] - size[1]) // 2, (pixels.shape[1] - size[0]) // 2
    if (width, height) != size:
        pixels[...] = 0
    return pixels[top : top + size[1], left : left + size[0]]
