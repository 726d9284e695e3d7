"""Names of ZIP members: which encoding their bytes are in, and which way their slashes lean.

APPNOTE.TXT 6.3, sections 4.4.4 (bit 11), 4.6.9 (Unicode path field 0x7075), appendix D (code page 437).
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from core.archives.zip_directory import extra_field

FLAG_UTF8 = 0x0800
_EXTRA_UNICODE_PATH = 0x7075  # Info-ZIP: the name in UTF-8 beside a name in the local code page
UNICODE_PATH_MARK = _EXTRA_UNICODE_PATH.to_bytes(2, "little")  # an extra field without these bytes has none
_BACKSLASH_HOSTS = (0, 6, 10, 14)  # made on FAT, HPFS, NTFS, VFAT: no backslash can be part of a name there


class Name(NamedTuple):
    """A decoded name."""

    text: str
    plain: bool = True  # simply the UTF-8 of its bytes
    guessed: bool = False  # no encoding was declared, and the bytes are no UTF-8
    turned: bool = False  # its backslashes became slashes


def decode_name(raw: bytes, flags: int, extra: bytes) -> Name:
    """UTF-8 where flagged, then an Info-ZIP Unicode path field that fits, then UTF-8 where valid, else code page 437.

    macOS's Archive Utility and many libraries write UTF-8 without the flag; text in another encoding is hardly ever valid
    UTF-8. Bytes that are no UTF-8 despite the flag survive as surrogate escapes.
    """
    if flags & FLAG_UTF8:
        return Name(raw.decode("utf-8", "surrogateescape"))
    field = extra_field(extra, _EXTRA_UNICODE_PATH) if extra else b""
    if len(field) > 5 and field[0] == 1 and int.from_bytes(field[1:5], "little") == zlib.crc32(raw):
        try:
            return Name(field[5:].decode("utf-8"), plain=False)
        except UnicodeDecodeError:
            pass  # a broken field says nothing
    try:
        return Name(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Name(raw.decode("cp437"), plain=False, guessed=True)


def local_readings(name: bytes, extra: bytes) -> tuple[str, ...]:
    """What a local header's name may mean besides what it declares: either encoding, or a Unicode path field of any CRC."""
    field = extra_field(extra, _EXTRA_UNICODE_PATH)
    return name.decode("utf-8", "surrogateescape"), name.decode("cp437"), field[5:].decode("utf-8", "surrogateescape")


def member_name(raw: bytes, flags: int, extra: bytes, host: int) -> Name:
    """The name as a member has it: decoded, and with slashes where a Windows writer has left all of its backslashes in place.

    Args:
        raw: the name's bytes.
        flags: general purpose flags of the entry.
        extra: its extra field.
        host: the high byte of `version made by`.
    """
    name = decode_name(raw, flags, extra)
    # As Info-ZIP does it. In a guessed name the byte may be half of a character (Shift JIS).
    if "\\" in name.text and host in _BACKSLASH_HOSTS and "/" not in name.text and not name.guessed:
        return Name(name.text.replace("\\", "/"), plain=False, turned=True)
    return name
