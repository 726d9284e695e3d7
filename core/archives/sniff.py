"""What a file is, by its content; a name decides nothing unless the content says nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from enum import StrEnum

from core.archives.compressed import sniff_codec
from core.archives.foreign import describe_foreign
from core.archives.manifest import HEAD_BYTES as TABLE_BYTES
from core.archives.manifest import decode_head, describe_table, looks_like_manifest
from core.archives.tar_header import BLOCK, ZEROS, is_header
from core.archives.zip_directory import SplitArchiveError, find_directory
from core.errors import ArchiveError
from core.storage.base import RandomAccess

HEAD_BYTES = 4096
_TABLE_NAME = re.compile(r"\.(csv|tsv|tab|txt)\Z", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"\.(jpe?g|jfif|png|gif|bmp|dib|tiff?|webp|hei[cf]|avif|jp2|jxl|dcm|dicom)\Z", re.IGNORECASE)
_PART_NAME = re.compile(r"\.(z\d\d|r\d\d|\d{3}|part\d+\.rar)\Z", re.IGNORECASE)
_IMAGES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, little-endian
    b"MM\0*",  # TIFF, big-endian
    b"II+\0",  # BigTIFF
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xffO\xffQ",
    b"\xff\x0a",  # JPEG XL
    b"\0\0\0\x0cJXL \r\n\x87\n",
)
_ISO_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes of the known information headers, byte 14
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
SEVEN_ZIP_MAGIC = b"7z\xbc\xaf\x27\x1c"


class Content(StrEnum):
    """What the bytes are."""

    ZIP = "zip"
    TAR = "tar"
    COMPRESSED = "compressed"  # a TAR, one hopes
    SEVEN_ZIP = "7z"
    IMAGE = "image"
    MANIFEST = "manifest"


def sniff(access: RandomAccess, name: str, path_column: str = "") -> Content:
    """Decide by the first bytes, by a TAR's checksum and by a ZIP's end record.

    Args:
        access: the file.
        name: its name: for messages, and to take unrecognisable bytes for a damaged image where it ends like one.
        path_column: a column of the table that the user says it is; empty if they do not.

    Raises:
        ArchiveError: none of the supported kinds; the message says what it looks like instead.
    """
    head = access.read_at(0, HEAD_BYTES)
    signs: tuple[tuple[Content, Callable[[], bool]], ...] = (
        (Content.ZIP, lambda: head.startswith(_ZIP) and describe_foreign(access, head) is None),
        (Content.SEVEN_ZIP, lambda: head.startswith(SEVEN_ZIP_MAGIC)),
        (Content.COMPRESSED, lambda: sniff_codec(head) is not None),
        (Content.IMAGE, lambda: is_image(head)),
        (Content.TAR, lambda: _begins_like_tar(head)),
        (Content.ZIP, lambda: _ends_like_zip(access) and describe_foreign(access, head) is None),
        (
            Content.MANIFEST,
            lambda: (
                looks_like_manifest(access.read_at(0, TABLE_BYTES), path_column=path_column)
                and describe_foreign(access, head) is None
            ),
        ),
        (Content.IMAGE, lambda: _IMAGE_NAME.search(name) is not None),  # its one row will say what is wrong with it
    )
    for content, holds in signs:
        if holds():
            return content
    if foreign := describe_foreign(access, head):
        raise ArchiveError(f"{name}: {foreign}")
    if columns := describe_table(access.read_at(0, TABLE_BYTES)):
        raise ArchiveError(
            f"{name}: no column of this table names images; its columns are {columns}; if one of them does, name it with "
            "--path-column (in the API: path_column)"
        )
    if b"\0" in head and _TABLE_NAME.search(name):
        raise ArchiveError(f"{name}: expected a table as text, got a file with NUL bytes: save it as CSV in UTF-8")
    wanted = "a ZIP, a TAR (plain, gzip, bzip2, xz, zstd, lzma), a 7z, a CSV of paths or an image"
    part = "; its name is that of one part of a split archive: join the parts first" if _PART_NAME.search(name) else ""
    raise ArchiveError(f"{name}: expected {wanted}, got {_describe(head)}{part}")


def is_image(head: bytes) -> bool:
    """Whether the first bytes announce an image format, supported or not."""
    if head.startswith(_IMAGES):
        return True
    if (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[128:132] == b"DICM":
        return True
    if head[4:8] == b"ftyp" and head[8:12] in _ISO_BRANDS:
        return True
    return head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS


def _begins_like_tar(head: bytes) -> bool:
    """A header, or one behind stray blocks of zeros."""
    blocks = (head[start : start + BLOCK] for start in range(0, len(head), BLOCK))
    return is_header(next((block for block in blocks if block != ZEROS), b""))


def _ends_like_zip(access: RandomAccess) -> bool:
    """A ZIP behind other bytes: self-extracting, or an empty head."""
    try:
        return find_directory(access).entries > 0
    except SplitArchiveError:
        raise
    except ArchiveError:
        return False


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.startswith((b"MZ", b"\x7fELF")):
        return "a program: if it is a self-extracting archive, run it and send the images as ZIP, TAR or 7z"
    text = decode_head(head[:200])
    if text is not None:
        return f"text that begins with {' '.join(text.split())[:60]!r}"
    return f"bytes that begin with {head[:8].hex(' ')}"
