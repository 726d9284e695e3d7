"""One header block of a TAR, and the records of an extended one.

Formats: the old V7 format, POSIX.1-1988 ustar, GNU (base-256 numbers), POSIX.1-2001 pax ("pax Extended Header"). Only what a
reader of members needs is decoded: several times as fast as the standard library's TarInfo, which counts for a million members.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK = 512
ZEROS = bytes(BLOCK)

FOLDER, LABEL, SPARSE, MULTIVOLUME = b"5", b"V", b"S", b"M"
LONG_NAME, LONG_LINK, PAX, PAX_SOLARIS, PAX_GLOBAL = b"L", b"K", b"x", b"X", b"g"
ACL = b"A"  # Solaris: access rights of the next member
FOLDER_DUMP = b"D"  # GNU incremental: a folder, with its names as data
LINKS_AND_DEVICES = (b"1", b"2", b"3", b"4", b"6")  # hard and symbolic link, character and block device, pipe
WITHOUT_DATA = (*LINKS_AND_DEVICES, FOLDER, LABEL)  # whatever their size field says; unknown types are files (POSIX)

_CHECKSUM = slice(148, 156)


class HeaderError(ValueError):
    """The block is no TAR header."""


class Header(NamedTuple):
    """One header: name as raw bytes, size of the data in bytes, type flag."""

    name: bytes
    size: int
    kind: bytes


def parse_header(block: bytes) -> Header:
    """Decode a header of 512 bytes.

    Raises:
        HeaderError: fewer bytes, wrong checksum, or a number that is none.
    """
    if len(block) < BLOCK:
        raise HeaderError(f"{len(block)} bytes")
    expected = _number(block[_CHECKSUM])
    if sum(block) - sum(block[_CHECKSUM]) + 8 * 32 != expected and _signed_sum(block) != expected:
        raise HeaderError("wrong checksum")
    size = _number(block[124:136])
    if size < 0:
        raise HeaderError(f"a size of {size} bytes")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:  # GNU's own magic differs, and it keeps times there
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return Header(name, size, block[156:157])


def is_header(block: bytes) -> bool:
    """Whether the first 512 bytes of a file are a TAR header (also of the old format without magic), by their checksum."""
    if len(block) < BLOCK or block[:BLOCK] == ZEROS:
        return False
    try:
        parse_header(block[:BLOCK])
    except HeaderError:
        return False
    return True


def parse_pax(data: bytes) -> dict[str, bytes]:
    """Records `length keyword=value\\n` of a pax extended header.

    Raises:
        HeaderError: damaged.
    """
    records: dict[str, bytes] = {}
    cursor = 0
    while cursor < len(data) and data[cursor] != 0:
        digits, space, _ = data[cursor : cursor + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        keyword, equals, value = data[cursor + len(digits) + 1 : cursor + length - 1].partition(b"=")
        if not equals or data[cursor + length - 1 : cursor + length] != b"\n":
            raise HeaderError(f"expected a pax record 'length keyword=value', got {data[cursor : cursor + 40]!r}")
        records[keyword.decode("utf-8", "surrogateescape")] = value
        cursor += length
    return records


def _number(field: bytes) -> int:
    """Octal digits up to NUL or space; or, with the first bit set, a big-endian two's complement number (GNU)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:]) if field[0] == 0x80 else int.from_bytes(field, signed=True)
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise HeaderError(f"expected an octal number, got {field!r}")
    return int(digits, 8)


def _signed_sum(block: bytes) -> int:
    """The checksum as some old writers computed it: over signed bytes."""
    return sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 8 * 32
