"""Which format do these bytes claim to be? By signature only: file names are not known here and would not be believed.

Three answers matter: a format that may be decoded, an image format that may not (named, so that a user can convert it), and
something that is no image (described, so that a user sees what went into the archive by mistake).
"""

from __future__ import annotations

import re
import zlib
from typing import Final

# Formats that core.imaging.opening knows how to open, by Pillow's names.
_ALLOWED_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
)
_BMP_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 64, 108, 124})  # bytes; text that begins with "BM" has other ones
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})

_OTHER_IMAGES: Final = (
    (4, b"ftypcrx ", "Canon raw photograph (CR3)"),
    (0, b"%PDF-", "PDF document"),
    (0, b"8BPS", "Photoshop (PSD) image"),
    (0, b"%!PS", "PostScript document"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS document"),
    (0, b"\x00\x00\x01\x00", "Windows icon (ICO)"),
    (0, b"\x00\x00\x02\x00", "Windows cursor (CUR)"),
    (0, b"icns", "Apple icon (ICNS)"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000 codestream"),
    (0, b"\xff\x0a", "JPEG XL image"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL image"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw photograph (RAF)"),
    (0, b"IIRO", "Olympus raw photograph (ORF)"),
    (0, b"IIRS", "Olympus raw photograph (ORF)"),
    (0, b"MMOR", "Olympus raw photograph (ORF)"),
    (0, b"IIU\x00", "Panasonic raw photograph (RW2)"),
    (0, b"FOVb", "Sigma raw photograph (X3F)"),
    (0, b"\x00MRM", "Minolta raw photograph (MRW)"),
    (6, b"HEAPCCDR", "Canon raw photograph (CRW)"),
    (0, b"BPG\xfb", "BPG image"),
    (0, b"FLIF", "FLIF image"),
    (0, b"\x8aMNG", "MNG animation"),
    (0, b"\x8bJNG", "JNG image"),
    (0, b"/* XPM */", "XPM image"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster image"),
    (40, b" EMF", "Windows metafile (EMF)"),
    (344, b"n+1\x00", "NIfTI volume"),
    (0, b"ZISRAWFILE", "Zeiss (CZI) image"),
    (0, b"gimp xcf", "GIMP (XCF) image"),
    (0, b"SIMPLE  =", "FITS image"),
    (0, b"DDS ", "DDS texture"),
    (0, b"qoif", "QOI image"),
    (0, b"#?RADIANCE", "Radiance HDR image"),
    (0, b"v/1\x01", "OpenEXR image"),
    (0, b"AT&TFORM", "DjVu document"),
    (0, b"\xd7\xcd\xc6\x9a", "Windows metafile (WMF)"),
    (0, b"II\xbc", "JPEG XR image"),
)
_NETPBM: Final = re.compile(rb"P[1-7]\s")
_SVG: Final = re.compile(rb"<svg[\s>]", re.IGNORECASE)

_OTHER_FILES: Final = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"RIFF", "a sound or video (RIFF) file"),
    (b"OggS", "a sound or video (Ogg) file"),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska) file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\x00\x05\x16\x07", "an AppleDouble file, written by macOS beside the real one"),
)
_DICOM_KINDS: Final = frozenset({b"UL", b"OB", b"CS", b"UI", b"DA", b"LO", b"SH"})
_HTML: Final = re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE)
_LOOK_BYTES: Final = 1024


def sniff_format(data: bytes) -> str | None:
    """Pillow's name of the format that the bytes' signature announces, or None when it is not one that may be decoded."""
    if data.startswith(b"DICM", 128):  # its preamble may be a TIFF header
        return "DICOM"
    for signature, name in _ALLOWED_SIGNATURES:
        if data.startswith(signature):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    brands = _ftyp_brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def other_image_format(data: bytes) -> str | None:
    """What kind of image, drawing or document this is, if it is one that is known but never decoded; else None."""
    for offset, signature, name in _OTHER_IMAGES:
        if data.startswith(signature, offset):
            return name
    tests = (
        (_is_bare_dicom(data), "DICOM file without its preamble"),
        (b"%PDF-" in data[:_LOOK_BYTES], "PDF document"),
        (data.startswith(b"\x1f\x8b") and _SVG.search(_inflated(data)), "compressed SVG drawing (SVGZ)"),
        (_NETPBM.match(data), "Netpbm image"),
        (data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and _SVG.search(data, 0, _LOOK_BYTES), "SVG drawing"),
    )
    return next((name for is_so, name in tests if is_so), None)


def describe_bytes(data: bytes) -> str:
    """A few words on what bytes that are no image look like. Never quotes them: notes in an archive may name a patient."""
    if _HTML.search(data, 0, _LOOK_BYTES):
        return "an HTML page"
    if data[4:8] == b"ftyp":
        return "a video (MP4) file"
    for signature, name in _OTHER_FILES:
        if data.startswith(signature):
            return name
    head = data[:_LOOK_BYTES]
    if not head.strip(b"\x00"):
        return "zeros, as a broken copy or download leaves them"
    if _is_text(head):
        return "plain text"
    return f"unknown binary data that begins with {head[:8].hex(' ')}"


def _ftyp_brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3); empty for anything else."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return {data[8:12]} | {data[i : i + 4] for i in range(16, end - 3, 4)}


def _is_bare_dicom(data: bytes) -> bool:
    """Whether the bytes begin with a data element of DICOM's group 2 or 8 (PS3.5, 7.1): old devices write no preamble."""
    group, element = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
    if (group, element) not in ((2, 0), (2, 1), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16)):
        return False
    return data[4:6] in _DICOM_KINDS or 0 < int.from_bytes(data[4:8], "little") <= 64


def _inflated(data: bytes) -> bytes:
    """The first bytes of gzip data; empty where they are broken."""
    try:
        return zlib.decompressobj(31).decompress(data[:_LOOK_BYTES], _LOOK_BYTES)
    except zlib.error:
        return b""


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 with its byte order mark, as Windows' editors write it
        return True
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character cut in two by the limit of the look
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
