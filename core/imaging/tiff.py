"""TIFF 6.0 and BigTIFF: which page is the picture, what its samples mean, and whether all of its strips or tiles are there.

The picture is handed to Pillow with a directory of its own that holds the entries of its pixels only. All other entries,
however large or broken, are not read. What Pillow or libtiff would decode into something else than the file says is refused
here by name.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from core.imaging import jpeg
from core.imaging.contents import Contents
from core.imaging.faults import damaged, truncated, unsupported
from core.imaging.ifd import Directories, Entry
from core.imaging.profiles import MOST_BYTES, SRGB_PRIMARIES, matrix_profile
from core.notes import ItemNote

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, PLANAR = 266, 273, 274, 277, 278, 279, 284
TRANSFER, PREDICTOR, WHITE, PRIMARIES, COLORMAP = 301, 317, 318, 319, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, SUB_IFDS, INK_SET, DOT_RANGE = 322, 323, 324, 325, 330, 332, 336
EXTRA, SAMPLE_FORMAT, JPEG_TABLES, COEFFICIENTS, SUBSAMPLING, REFERENCE = 338, 339, 347, 529, 530, 532
PROFILE, DNG_VERSION = 34675, 50706
_KEPT: Final = frozenset({
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, SAMPLES, ROWS, STRIP_BYTES, PLANAR, 292, 293, PREDICTOR,
    COLORMAP, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, SAMPLE_FORMAT, JPEG_TABLES, COEFFICIENTS, SUBSAMPLING, 531,
    REFERENCE,
})  # fmt: skip
_RAW, _FAX, _OLD_JPEG, _JPEG, _DEFLATE = 1, (2, 3, 4), 6, 7, (8, 32946)
_COMPRESSIONS: Final = frozenset({_RAW, *_FAX, 5, _JPEG, *_DEFLATE, 32773, 34925, 50000, 50001})
_WHITE_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR = 0, 2, 3, 4, 5, 6
_SENSOR: Final = frozenset({32803, 34892})  # photometric interpretations of raw photographs: colour filter array, linear raw
_SENSOR_COMPRESSIONS: Final = frozenset(
    {32767, 32769, 32770, 34713, 34892, 65000, 65535}
)  # ARW, packed, SRW, NEF, DNG, DCR, PEF
_MOST_PAGES: Final = 100


@dataclass(slots=True)
class _Page:
    """One directory, with the values that are looked at."""

    files: Directories
    entries: dict[int, Entry]

    def get(self, tag: int, default: int = 0) -> int:
        values = self.files.values(self.entries.get(tag))
        return values[0] if values else default

    def all(self, tag: int) -> tuple[int, ...]:
        return self.files.values(self.entries.get(tag))

    @property
    def is_preview(self) -> bool:
        """A reduced copy, or a transparency mask, of another page."""
        return bool(self.get(SUBFILE) & 5) or self.get(OLD_SUBFILE) == 2 or self.get(PHOTOMETRIC, 1) == _MASK


def read(data: bytes) -> Contents:
    """Checks a TIFF and takes from it the first page that is a picture of its own.

    Raises:
        ItemError: truncated, damaged; unsupported_format for raw photographs, and for samples that would come out wrong.
    """
    files = Directories(data)
    pages = _pages(files)
    if not pages or not pages[0].entries:
        raise truncated("TIFF", "its directory is not there")
    _check_not_raw(files, pages)
    pictures = [page for page in pages if not page.is_preview]
    if not pictures:
        raise unsupported("a TIFF that holds previews only", "export the photograph itself as JPEG or PNG")
    page = pictures[0]
    size = page.get(WIDTH), page.get(HEIGHT)
    if min(size) <= 0:
        raise damaged("TIFF", "it does not say its width and height")
    _check_samples(page)
    contents = Contents(b"", size, orientation=page.get(ORIENTATION, 1), profile=_profile(page))
    contents.finish = partial(_finish, bits=page.get(BITS, 1), invert=page.get(PHOTOMETRIC) == _WHITE_IS_ZERO)
    if not 1 <= contents.orientation <= 8:
        contents.orientation = 1
    if len(pictures) > 1:
        contents.notes.add(ItemNote.EXTRA_PAGES)
    contents.data = files.with_directory(_kept(page))
    _check_segments(page, data)
    return contents


def _pages(files: Directories) -> list[_Page]:
    pages, at, seen = list[_Page](), files.first(), set[int]()
    while at and at not in seen and len(pages) < _MOST_PAGES:
        seen.add(at)
        entries, at = files.read(at)
        if entries:
            pages.append(_Page(files, entries))
    return pages


def _check_not_raw(files: Directories, pages: list[_Page]) -> None:
    """A raw photograph looks like a TIFF whose picture is a small preview of it."""
    inner = [_Page(files, files.read(at)[0]) for page in pages[:4] for at in page.all(SUB_IFDS)[:8]]
    is_raw = DNG_VERSION in pages[0].entries or files.data[8:10] == b"CR"
    for page in pages[:8] + inner:
        is_raw = is_raw or page.get(PHOTOMETRIC) in _SENSOR or page.get(COMPRESSION) in _SENSOR_COMPRESSIONS
    if is_raw:
        kind = "DNG" if DNG_VERSION in pages[0].entries else "CR2" if files.data[8:10] == b"CR" else "NEF, ARW, PEF or the like"
        raise unsupported(f"a raw photograph ({kind})", "develop it to JPEG, PNG or 8-bit TIFF")


def _check_samples(page: _Page) -> None:
    """Refuses what Pillow would take for something else. The rest is in Pillow's own table of what it decodes."""
    bits, extra, photometric, compression = (
        page.all(BITS) or (1,),
        page.all(EXTRA),
        page.get(PHOTOMETRIC, -1),
        page.get(COMPRESSION, 1),
    )
    formats = set(page.all(SAMPLE_FORMAT)) or {1}
    if photometric < 0:
        raise unsupported("a TIFF that does not say what its samples mean (no PhotometricInterpretation)")
    if compression not in _COMPRESSIONS:
        name = "old-style JPEG" if compression == _OLD_JPEG else f"unknown ({compression})"
        raise unsupported(f"a TIFF with {name} compression")
    if formats != {1}:
        raise unsupported("a TIFF of signed or floating-point samples: they have no defined white")
    if photometric == _RGB and page.get(SAMPLES, 1) > 3 and not extra:
        raise unsupported("a TIFF with a fourth sample whose meaning it does not say (no ExtraSamples)")
    if photometric == _CMYK and (page.get(INK_SET, 1) != 1 or _other(page, DOT_RANGE, (0, 255))):
        raise unsupported("a TIFF with other inks than plain CMYK")
    in_planes = page.get(PLANAR, 1) == 2 and page.get(SAMPLES, 1) > 1
    if in_planes and (max(bits) > 8 or compression == _JPEG or photometric < _RGB):
        raise unsupported("a TIFF in separate planes of more than 8 bits, of JPEG, or of grey with alpha")
    if page.get(FILL_ORDER, 1) != 1 and (in_planes or compression not in (_RAW, *_FAX)):
        raise unsupported("a TIFF with its bits in reverse order (FillOrder 2) in compressed strips or in planes")
    if photometric == _YCBCR:
        _check_ycbcr(page, compression)


def _other(page: _Page, tag: int, usual: tuple[int, ...]) -> bool:
    values = page.all(tag)
    return bool(values) and values[: len(usual)] != usual


def _check_ycbcr(page: _Page, compression: int) -> None:
    """libtiff converts by the file's numbers where it decodes; Pillow and libjpeg only know BT.601 and full range."""
    if compression == _RAW and (page.all(SUBSAMPLING) or (2, 2)) != (1, 1):
        raise unsupported("a TIFF of uncompressed, subsampled YCbCr")
    reference = page.files.fractions(page.entries.get(REFERENCE))
    usual = all(abs(a - b) <= 1 for a, b in zip(reference, (0, 255, 128, 255, 128, 255), strict=False))
    weights = page.files.fractions(page.entries.get(COEFFICIENTS)) or (0.299, 0.587, 0.114)
    if compression in (_RAW, _JPEG) and (
        not usual or any(abs(a - b) > 0.002 for a, b in zip(weights, (0.299, 0.587, 0.114), strict=False))
    ):
        raise unsupported("a TIFF of YCbCr with a range or weights of its own")


def _kept(page: _Page) -> dict[int, Entry]:
    kept = {tag: entry for tag, entry in page.entries.items() if tag in _KEPT}
    if missing := [tag for tag, entry in kept.items() if entry.raw is None]:
        raise truncated("TIFF", f"the values of tag {missing[0]} are not there")
    if page.get(SAMPLES, 1) == 1:
        kept.pop(PLANAR, None)  # one plane; Pillow would forget that 0 is white
    if page.get(BITS, 1) in (12, 16) and page.get(PHOTOMETRIC) == _WHITE_IS_ZERO:
        kept[PHOTOMETRIC] = Entry(3, 1, b"\1\0" if page.files.order == "<" else b"\0\1")  # `_finish` inverts
    colours = page.all(COLORMAP)
    if colours and max(colours) < 256:  # written with 8 bits by mistake; libtiff takes it so, too
        raw = np.asarray(colours, np.uint16) * 257
        kept[COLORMAP] = Entry(3, len(colours), raw.astype(f"{page.files.order}u2").tobytes())
    return kept


def _profile(page: _Page) -> bytes | None:
    entry = page.entries.get(PROFILE)
    if entry is not None:
        return (entry.raw or b"")[: MOST_BYTES + 1]
    if TRANSFER in page.entries:
        return b""
    ends = page.files.fractions(page.entries.get(PRIMARIES))
    white = page.files.fractions(page.entries.get(WHITE)) or SRGB_PRIMARIES[0]
    if len(ends) != 6 or len(white) != 2:
        return None
    given = ((white[0], white[1]), (ends[0], ends[1]), (ends[2], ends[3]), (ends[4], ends[5]))
    if all(abs(a - b) < 0.004 for one, two in zip(given, SRGB_PRIMARIES, strict=True) for a, b in zip(one, two, strict=True)):
        return None
    try:
        return matrix_profile(given, None)
    except ValueError:
        return b""


def _check_segments(page: _Page, data: bytes) -> None:
    """All strips or tiles are there, within the file, and long enough; those of deflate and JPEG are whole."""
    is_tiled = TILES in page.entries
    places, lengths = page.all(TILES if is_tiled else STRIPS), page.all(TILE_BYTES if is_tiled else STRIP_BYTES)
    width, height = page.get(WIDTH), page.get(HEIGHT)
    across, down = (page.get(TILE_WIDTH), page.get(TILE_HEIGHT)) if is_tiled else (width, min(page.get(ROWS, height), height))
    if across <= 0 or down <= 0:
        raise damaged("TIFF", "its strips or tiles have no size")
    bits = page.all(BITS) or (1,)
    samples = page.get(SAMPLES, 1)
    planes = samples if page.get(PLANAR, 1) == 2 else 1
    columns, rows = -(-width // across), -(-height // down)
    needed = columns * rows * planes
    if len(places) < needed or len(lengths) < needed:
        raise truncated("TIFF", f"it names {min(len(places), len(lengths))} of {needed} strips or tiles")
    if sum(lengths[:needed]) > 2 * len(data):
        raise damaged("TIFF", "its strips or tiles overlap")
    depth = bits[0] * (1 if planes > 1 else samples) if len(bits) == 1 else (bits[0] if planes > 1 else sum(bits[:samples]))
    row_bytes = -(-across * depth // 8)
    for number, (at, length) in enumerate(zip(places[:needed], lengths[:needed], strict=True)):
        if length == 0 or at + length > len(data):
            raise truncated("TIFF", f"strip or tile {number + 1} of {needed} is not there")
        row = number // columns % rows
        expected = row_bytes * (down if is_tiled else min(down, height - row * down))
        _check_segment(page, data[at : at + length], expected)


def _check_segment(page: _Page, segment: bytes, expected: int) -> None:
    compression, exact = page.get(COMPRESSION, 1), page.get(PHOTOMETRIC) != _YCBCR
    if compression == _RAW and exact and len(segment) < expected:
        raise truncated("TIFF", f"a strip or tile has {len(segment):,} of {expected:,} bytes")
    if compression in _DEFLATE:
        _check_deflate(segment, expected if exact else 1)
    elif compression == _JPEG:
        tables = page.entries.get(JPEG_TABLES)
        jpeg.check(b"\xff\xd8" + (tables.raw or b"")[2:-2] + segment[2:] if tables else segment)


def _check_deflate(segment: bytes, expected: int) -> None:
    stream, count, rest = zlib.decompressobj(), 0, segment
    try:
        while rest and not stream.eof and count < expected + 2**21:
            count += len(stream.decompress(rest, 2**20))
            rest = stream.unconsumed_tail
    except zlib.error as error:
        raise damaged("TIFF", f"a strip or tile cannot be inflated ({error})") from error
    if count < expected or not stream.eof:
        raise truncated("TIFF", f"a strip or tile holds {count:,} of {expected:,} bytes, or their checksum is missing")


def _finish(image: Image.Image, bits: int, invert: bool) -> Image.Image:
    """Grey of 12 or 16 bits keeps its eight highest; Pillow reads it as it is, even where 0 is white."""
    if not image.mode.startswith("I;16"):
        return image
    highest = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - highest if invert else highest)
