"""Files that DermQ does not read, named with what to do. Content decides; an unknown file is none of these."""

from __future__ import annotations

import re

from core.archives.compressed import sniff_codec
from core.archives.tar_header import is_header
from core.storage.base import RandomAccess

_PACK_AGAIN = "unpack it and send the images as ZIP, TAR or 7z"
_JOIN = "join the parts first, and send the whole"
_EXPORT = "export its pictures as JPEG or PNG, and send those"
_SAVE_AS_CSV = "save its table as CSV (UTF-8) beside the images, and name that; or export its pictures"
_CONVERT = "pack it as .tar.gz, .tar.xz or .tar.zst instead"

# (what the file begins with, what it is, what to do). Long enough that no list of file names begins so by chance.
_FILES = tuple(
    (re.compile(pattern, re.DOTALL), what, advice)
    for pattern, what, advice in (
        (rb"Rar!\x1a\x07", "a RAR archive", _PACK_AGAIN),
        (rb"07070[12][0-9A-Fa-f]{104}", "a CPIO archive", _PACK_AGAIN),
        (rb"070707[0-7]{70}", "a CPIO archive", _PACK_AGAIN),
        (rb"\xc7\x71.{24}|\x71\xc7.{24}", "a CPIO archive", _PACK_AGAIN),
        (rb"!<arch>\n", "an AR archive (or a Debian package)", _PACK_AGAIN),
        (rb"MSCF\0{4}", "a CAB archive", _PACK_AGAIN),
        (rb"xar!\0", "a XAR archive", _PACK_AGAIN),
        (rb"MSWIM\0{3}", "a WIM image", _PACK_AGAIN),
        (rb"hsqs.{24}\x04\0\0\0", "a SquashFS image", _PACK_AGAIN),
        (rb"\x60\xea.{2}[\x1e-\x22]", "an ARJ archive", _PACK_AGAIN),
        (rb"..-l[hz][0-9ds]-", "an LHA archive", _PACK_AGAIN),
        (rb".{7}\*\*ACE\*\*", "an ACE archive", _PACK_AGAIN),
        (rb"SIT!\0|StuffIt \(c\)", "a StuffIt archive", _PACK_AGAIN),
        (rb"EGGA\0\x01|ALZ\x01", "an EGG or ALZ archive", _PACK_AGAIN),
        (rb"\xed\xab\xee\xdb", "an RPM package", _PACK_AGAIN),
        (rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "LZ4 data", _CONVERT),
        (rb"LZIP[\0\x01]", "lzip data", _CONVERT),
        (rb"LRZI[\0\x01]", "lrzip data", _CONVERT),
        (rb"\x1f[\x9d\xa0\x1e]", "data of compress or pack (.Z)", _CONVERT),
        (rb"\x89LZO\0\r\n\x1a\n", "LZO data", _CONVERT),
        (rb"\xff\x06\0\0sNaPpY", "Snappy data", _CONVERT),
        (rb"PK\x07\x08PK\x03\x04", "one part of a split ZIP", _JOIN),
        (rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|_rels/\.rels|docProps/|xl/)", "an Excel or other Office file", _SAVE_AS_CSV),
        (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.", "a LibreOffice file", _SAVE_AS_CSV),
        (rb"%PDF-", "a PDF document", _EXPORT),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or an installer (OLE)", _EXPORT),
        (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "run git lfs pull, and send the file"),
    )
)
_DISC_PLACE, _DISC_MARKS = 32769, (b"CD001", b"BEA01")  # ISO 9660 and UDF
_OFFICE = (b"[Content_Types].xml", b"mimetypeapplication/vnd.oasis.opendocument")
_DISK_IMAGE = b"koly"  # Apple's, in the last 512 bytes


def describe_foreign(access: RandomAccess, head: bytes) -> str | None:
    """What a file is and what to do, if DermQ knows but does not read its kind.

    Args:
        access: the file.
        head: its first bytes, 4 KiB at least where it has so many.
    """
    if known := _known(head):
        return known
    if access.size > _DISC_PLACE + 5 and access.read_at(_DISC_PLACE, 5) in _DISC_MARKS:
        return f"an ISO 9660 or UDF disc image, which DermQ does not read: {_PACK_AGAIN}"
    if access.size >= 512 and access.read_at(access.size - 512, 4) == _DISK_IMAGE:
        return f"an Apple disk image, which DermQ does not read: {_PACK_AGAIN}"
    return None


def describe_nested(data: bytes) -> str | None:
    """What kind of archive a member's (or an image's) bytes are, and what to do; None if they are none.

    Args:
        data: all of its bytes.
    """
    what = None
    if data.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        if any(mark in data[:4096] for mark in _OFFICE):
            return f"an Office document: {_EXPORT}"
        what = "a ZIP archive"
    elif data.startswith(b"7z\xbc\xaf\x27\x1c"):
        what = "a 7z archive"
    elif codec := sniff_codec(data):
        what = f"{codec} data"
    elif is_header(data):
        what = "a TAR archive"
    if what is not None:
        return f"{what}: archives within archives are not opened, send it by itself"
    if data[_DISC_PLACE : _DISC_PLACE + 5] in _DISC_MARKS:
        return f"an ISO 9660 or UDF disc image, which DermQ does not read: {_PACK_AGAIN}"
    return _known(data[:4096])


def _known(head: bytes) -> str | None:
    for pattern, what, advice in _FILES:
        if pattern.match(head):
            return f"{what}, which DermQ does not read: {advice}"
    return None
