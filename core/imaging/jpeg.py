"""JPEG (ITU-T T.81): the header, read once, and a strict decode.

libjpeg goes on after damage, warns and fills the rest with something. Pillow loses these warnings; simplejpeg (libjpeg-turbo)
with `strict=True` makes them errors. The reasons are in docs/adr/0005-strict-jpeg.md.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from importlib import import_module
from threading import local
from typing import Final, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from core.imaging.copies import is_text_copy
from core.imaging.exif import ExifFacts, read_exif
from core.imaging.faults import damaged, truncated, unsupported
from core.imaging.ifd import Directories
from core.imaging.picture import Box, Picture
from core.imaging.profiles import adobe_rgb
from core.notes import ItemNote

_MARKER: Final = re.compile(rb"\xff+([\x01-\xfe])")
_END_OF_SCAN: Final = re.compile(rb"\xff+([\x02-\xcf\xd8-\xfe])")  # anything but stuffed zeros, TEM and RST0 to RST7
_EOI, _SOI, _SOS = 0xD9, 0xD8, 0xDA
_DHT: Final = 0xC4
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # DHT, DAC, DQT, DRI
_FRAMES: Final = {0xC0: False, 0xC1: False, 0xC2: True, 0xC9: False, 0xCA: True}  # SOF marker → progressive
_OTHER_FRAMES: Final = {
    0xC3: "lossless JPEG (SOF3)",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical lossless JPEG",
    0xC8: "JPEG with reserved extensions",
    0xCB: "lossless arithmetic JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical lossless JPEG",
    0xDE: "hierarchical JPEG",
    0xF7: "JPEG-LS",
}
_SCAN_BYTES: Final = 8  # of a scan's header that must be there: marker, length, count, and the first component's
_MOST_SCANS: Final = 500  # libjpeg-turbo's own limit (TJFLAG_LIMITSCANS): each scan passes over all of the picture
_REUSED: Final = 4 * 2**20  # bytes
_REMEMBERED: Final = 64 * 2**10  # bytes of a header that is kept for the next picture
_LOCAL: Final = local()
_MP_ENTRIES: Final = 0xB002
_MP_PREVIEWS: Final = (0x010001, 0x010002)
_HOLE: Final = bytes(32)
_JFIF: Final = b"\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0"


@dataclass(slots=True)
class Header:
    """What stands before the first scan."""

    size: tuple[int, int] = (0, 0)  # width, height
    components: tuple[int, ...] = ()  # their ids; empty before the frame header
    progressive: bool = False
    scan_at: int = 0  # of the first SOS marker's byte 0xff
    tables: list[bytes] = field(default_factory=list)  # segments that decoding needs, markers included
    huffman: list[bytes] = field(default_factory=list)
    is_jfif: bool = False
    adobe_transform: int | None = None
    exif: bytes = b""
    xmp: bytes = b""
    profile: list[bytes] = field(default_factory=list)
    multi_picture: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a header means, worked out once for pictures with the same first bytes, as an archive's often are. Never changed."""

    start: bytes  # up to the first bytes of the first scan's header: `read_header` reads no further
    header: Header
    orientation: int
    profile: bytes | None
    notes: frozenset[ItemNote]


class JpegPicture(Picture):
    """A JPEG; of several pictures in one file (MPO), the first."""

    __slots__ = ("_data", "_header")

    def __init__(self, data: bytes) -> None:
        facts = _facts_of(data)
        self._data, self._header = data, facts.header
        super().__init__("JPEG", facts.header.size, facts.orientation, facts.profile, set(facts.notes))

    def decode_array(self, enough: tuple[int, int]) -> tuple[NDArray[np.uint8], Box] | None:
        """See Picture.decode_array."""
        if self.profile is not None or len(self._header.components) == 4:
            return None
        return self._decode(enough)

    def decode(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:
        """See Picture.decode. The scale is 1, 1/2, 1/4 or 1/8, as Pillow's `draft()` chooses it."""
        pixels, box = self._decode(enough)
        mode = "CMYK" if pixels.shape[2] == 4 else "RGB"
        if mode == "RGB":
            self.green = pixels[..., 1]
        return self.shown(Image.frombuffer(mode, pixels.shape[1::-1], pixels, "raw", mode, 0, 1)), box

    def _decode(self, enough: tuple[int, int]) -> tuple[NDArray[np.uint8], Box]:
        scale = _scale(self.size, enough)
        size = (self.size[0] + scale - 1) // scale, (self.size[1] + scale - 1) // scale
        return decode_strictly(self._data, self._header, size), (0, 0, self.size[0] / scale, self.size[1] / scale)


def read_header(data: bytes) -> Header:
    """Reads all segments up to the first scan.

    Raises:
        ItemError: truncated, damaged, or unsupported_format where the frame is of a kind that is not decoded.
    """
    header, at, is_table = Header(), 2, False
    while match := _MARKER.search(data, at):
        if is_table and match.start() != at:
            raise damaged("JPEG", "bytes were inserted into its tables")
        at = match.end()
        marker = data[at - 1]
        if marker == _SOS and at - 2 + _SCAN_BYTES <= len(data):
            header.scan_at = at - 2
            return _checked(header)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without a length
            continue
        if marker in (_SOI, _EOI):
            raise damaged("JPEG", "it has a second start, or an end before its pixels")
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if end > len(data):
            break
        is_table = _take(header, marker, data[at - 2 : end])
        at = end
    raise truncated("JPEG", "there are no pixels behind its header")


def _facts_of(data: bytes) -> Facts:
    """From this thread's last picture, where the bytes are the same. Raises what `read_header` raises."""
    known: Facts | None = getattr(_LOCAL, "facts", None)
    if known is not None and data.startswith(known.start):
        return known
    header = read_header(data)
    exif = read_exif(header.exif, header.xmp) if header.exif or header.xmp else ExifFacts()
    profile = None
    if header.profile:
        profile = _joined(header.profile)
    elif exif.adobe_rgb and len(header.components) == 3:
        profile = adobe_rgb()
    notes = frozenset({ItemNote.EXTRA_PAGES} if _pictures_beside(header) else ())
    facts = Facts(data[: header.scan_at + _SCAN_BYTES], header, exif.orientation, profile, notes)
    if len(facts.start) <= _REMEMBERED:
        _LOCAL.facts = facts
    return facts


def check(data: bytes) -> None:
    """Decodes a JPEG stream as small as possible, for its faults only. For streams within a TIFF.

    Raises:
        ItemError: truncated, damaged, unsupported_format.
    """
    header = read_header(data)
    decode_strictly(data, header, ((header.size[0] + 7) // 8, (header.size[1] + 7) // 8))


def decode_strictly(data: bytes, header: Header, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels at `size` (width, height): RGB, or CMYK (0 is no ink), uint8 [height, width, 3 or 4].

    Raises:
        ItemError: truncated or damaged where libjpeg has anything to say about the scans; unsupported_format.
    """
    if header.progressive or len(header.components) != data[header.scan_at + 4]:
        _check_scans(data, header)
    elif _has_hole(data, header):
        raise damaged("JPEG", "there are zeros where its pixels should be")
    feed = data.find(b"\n", header.scan_at)
    if data[feed - 1 : feed] == b"\r" and is_text_copy(data[header.scan_at : _end_of_picture(data, header)]):
        raise damaged("JPEG", "it was copied as text, which put a carriage return before each line feed")
    try:
        return _pixels(data, header, size)
    except ValueError as error:
        if "subsampling" in str(error):
            raise unsupported("a JPEG with unusual sampling factors", "save it again with 4:4:4, 4:2:2 or 4:2:0") from error
        return _second_look(data, header, size)


def _scale(size: tuple[int, int], enough: tuple[int, int]) -> int:
    """The divisor that Pillow's `JpegImageFile.draft` takes for twice `enough`."""
    most = min(size[0] // (2 * enough[0]), size[1] // (2 * enough[1]))
    return next((scale for scale in (8, 4, 2) if most >= scale), 1)


def _pixels(data: bytes, header: Header, size: tuple[int, int]) -> NDArray[np.uint8]:
    space = "CMYK" if len(header.components) == 4 else "RGB"
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, space, min_width=size[0], min_height=size[1], strict=True, buffer=_buffer(size[0] * size[1] * len(space))
    )
    if pixels.shape[:2] != size[::-1]:
        raise ValueError(f"its pixels are {pixels.shape[1]} x {pixels.shape[0]}, not {size[0]} x {size[1]}")
    if max(header.size) < 8:  # simplejpeg takes the smallest scale of this size: 7/8 of 4 pixels are 4, too
        return _tiny_pixels(_canonical(data, header), header.size, size)
    return 255 - pixels if space == "CMYK" else pixels


def _buffer(size: int) -> bytearray | None:
    """This thread's memory for decoded pixels: fresh memory for each picture costs a quarter of its decode in page faults.

    What lies there is valid until the thread's next picture. Larger pictures than a few megapixels get memory of their own.
    """
    if size > _REUSED:
        return None
    held: bytearray | None = getattr(_LOCAL, "buffer", None)
    if held is None or len(held) < size:
        held = _LOCAL.buffer = bytearray(size)
    return held


def _tiny_pixels(data: bytes, whole: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of a picture of less than 8 x 8 pixels, which is known to be sound, at `size`."""
    scale = 1 if size == whole else 2  # `_scale` finds no other for such sizes
    image = import_module("PIL.JpegImagePlugin").JpegImageFile(io.BytesIO(data))
    image.draft(None, (max(1, whole[0] // scale), max(1, whole[1] // scale)))
    return np.asarray(image if image.mode == "CMYK" else image.convert("RGB"))


def _second_look(data: bytes, header: Header, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decodes again without metadata, and with an end marker: a warning about these is no fault of the pixels.

    A picture that only lacks its end marker is whole: if a row were missing, the scan would end too early now as well.
    """
    try:
        return _pixels(_canonical(data, header), header, size)
    except ValueError as error:
        text = str(error)
        if "premature end" in text.lower():
            raise truncated("JPEG", f"bytes of its pixels are missing ({text})") from error
        raise damaged("JPEG", text) from error


def _canonical(data: bytes, header: Header) -> bytes:
    """The same picture without metadata, with an end marker behind its last scan."""
    start = [b"\xff\xd8"]
    if header.is_jfif:
        start.append(_JFIF)
    if header.adobe_transform is not None:
        start.append(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([header.adobe_transform]))
    return b"".join((*start, *header.tables, data[header.scan_at : _end_of_picture(data, header)], b"\xff\xd9"))


def _end_of_picture(data: bytes, header: Header) -> int:
    """Where the last scan's data end: at the EOI marker, or where the bytes end."""
    at = header.scan_at
    while match := _END_OF_SCAN.search(data, at):
        if data[match.end() - 1] == _EOI:
            return match.start()
        at = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return len(data)


def _check_scans(data: bytes, header: Header) -> None:
    """All coefficients of all components are sent, to the last bit: libjpeg does not ask for it.

    Raises:
        ItemError: truncated, if scans are missing.
    """
    exact = {component: [-1] * 64 for component in header.components}  # the last bit position that was sent
    at, scans = header.scan_at, 0
    while match := _END_OF_SCAN.search(data, at):
        marker, at = data[match.end() - 1], match.end()
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == _EOI:
            break
        if marker == _SOS and length >= 6 and at + length <= len(data):
            scans += 1
            chosen, (first, last, bits) = data[at + 3 : at + length - 3 : 2], data[at + length - 3 : at + length]
            if not header.progressive:
                first, last, bits = 0, 63, 0
            for component in chosen:
                if component in exact:
                    exact[component][first : min(last, 63) + 1] = [bits & 15] * (min(last, 63) + 1 - first)
        at += length
        if scans > _MOST_SCANS:
            raise unsupported(f"a JPEG of more than {_MOST_SCANS} scans", "save it again")
    if any(bits for sent in exact.values() for bits in sent):
        raise truncated("JPEG", "some of its scans are missing")


def _has_hole(data: bytes, header: Header) -> bool:
    """Whether a long run of zeros stands in the scan although zeros mean no flat area under its Huffman tables.

    The first symbol of each table has the code of zeros only. A flat area is "no difference" (DC) and "end of block" (AC),
    both 0. Under any other symbol 32 bytes of zeros would be dozens of equal coefficients in a row: no picture has them.
    """
    at = data.find(_HOLE, header.scan_at)
    if at < 0 or at >= _end_of_picture(data, header):
        return False
    return any(first for table in header.huffman for first in _first_symbols(table))


def _pictures_beside(header: Header) -> int:
    """How many other pictures the multi-picture index names (CIPA DC-007, 5.2.3), apart from previews and HDR gain maps."""
    if not header.multi_picture or b"hdrgm:" in header.xmp or b"HDRGainMap" in header.xmp:
        return 0
    files = Directories(header.multi_picture)
    entry = files.read(files.first())[0].get(_MP_ENTRIES)
    raw = (entry.raw if entry else None) or b""
    order: Literal["little", "big"] = "little" if files.order == "<" else "big"
    kinds = [int.from_bytes(raw[at : at + 4], order) & 0xFFFFFF for at in range(16, len(raw) - 15, 16)]
    return sum(kind not in _MP_PREVIEWS for kind in kinds)


def _joined(chunks: list[bytes]) -> bytes:
    """The ICC profile from its APP2 segments: number, count, data (ICC.1:2022, B.4). Empty, so broken, if one is missing."""
    ordered = sorted(chunks, key=lambda chunk: chunk[:1])
    if [chunk[:2] for chunk in ordered] != [bytes([number, len(chunks) & 255]) for number in range(1, len(chunks) + 1)][:255]:
        return b""
    return b"".join(chunk[2:] for chunk in ordered)


def _first_symbols(segment: bytes) -> list[int]:
    """The first symbol of each table in a DHT segment (T.81, B.2.4.2)."""
    found, at = [], 4
    while at + 17 < len(segment):
        found.append(segment[at + 17])
        at += 17 + sum(segment[at + 1 : at + 17])
    return found


def _take(header: Header, marker: int, segment: bytes) -> bool:
    """Keeps what the segment says. Whether decoding needs it: behind one of these, another marker must follow at once."""
    body = segment[4:]
    if marker in _OTHER_FRAMES:
        raise unsupported(f"a {_OTHER_FRAMES[marker]} image", "convert it to baseline JPEG or PNG")
    if marker in _FRAMES:
        _take_frame(header, marker, body)
        header.tables.append(segment)
    elif marker in _TABLES:
        header.tables.append(segment)
        if marker == _DHT:
            header.huffman.append(segment)
    elif marker == 0xE0 and body.startswith(b"JFIF\0"):
        header.is_jfif = True
    elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
        header.exif = header.exif or body
    elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        header.xmp = header.xmp or body
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        header.profile.append(body[12:])
    elif marker == 0xE2 and body.startswith(b"MPF\0"):
        header.multi_picture = header.multi_picture or body[4:]
    elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
        header.adobe_transform = body[11]
    return marker in _FRAMES or marker in _TABLES


def _take_frame(header: Header, marker: int, body: bytes) -> None:
    if header.components:
        raise damaged("JPEG", "it has a second frame header")
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise damaged("JPEG", "its frame header is too short")
    if body[0] != 8:
        raise unsupported(f"a JPEG of {body[0]} bits per sample")
    header.size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
    header.components = tuple(body[6 : 6 + 3 * body[5] : 3])
    header.progressive = _FRAMES[marker]


def _checked(header: Header) -> Header:
    count = len(header.components)
    if not count:
        raise damaged("JPEG", "it has no frame header")
    if header.size[1] == 0:
        raise unsupported("a JPEG that tells its height behind its pixels (DNL)", "save it again")
    if header.size[0] == 0:
        raise damaged("JPEG", "its width is 0")
    if count not in (1, 3, 4):
        raise unsupported(f"a JPEG of {count} components")
    if count == 4 and header.adobe_transform is None:
        raise unsupported("a JPEG of four components without an Adobe marker: it does not say whether 0 is ink")
    known = {3: (0, 1), 4: (0, 2)}.get(count)
    if known and header.adobe_transform is not None and header.adobe_transform not in known and not header.is_jfif:
        raise unsupported(f"a JPEG with the Adobe colour transform {header.adobe_transform}")
    return header
