"""A ZIP member's local header, held against what the central directory says of the member.

Both name it, so a directory whose names were exchanged would give one patient's row another patient's picture. Layout:
APPNOTE.TXT 6.3 (PKWARE), sections 4.3.7 (local header), 4.4.4 (flags), 4.5.3 (ZIP64 field). What a writer has left open is no
contradiction: zeros where bit 3 promises a data descriptor, 0xFFFFFFFF without a ZIP64 field, slashes against backslashes.
"""

from __future__ import annotations

import struct

from core.archives.base import Member
from core.archives.zip_directory import FULL32, extra_field
from core.archives.zip_names import FLAG_UTF8, decode_name, local_readings
from core.errors import ItemError, ItemErrorCode

LOCAL_BYTES = 30
_HEADER = struct.Struct("<4s5H3L2H")
_MARK = b"PK\3\4"
_EXTRA_ZIP64 = 0x0001
_FLAG_DESCRIPTOR = 0x0008  # sizes and CRC-32 follow the data
_FLAGS_ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # traditional, strong, masked headers
_PACK_AGAIN = "the archive contradicts itself: pack it again"


def data_start(block: bytes, member: Member) -> int:
    """Where in `block`, which begins with the local header, the packed bytes begin.

    Raises:
        ItemError: TRUNCATED (the archive ends here), BAD_CHECKSUM (no local header).
    """
    if len(block) < LOCAL_BYTES:
        raise ItemError(ItemErrorCode.TRUNCATED, f"the archive ends before byte {member.offset + LOCAL_BYTES:,}, the member")
    if not block.startswith(_MARK):
        raise ItemError(ItemErrorCode.BAD_CHECKSUM, f"expected a ZIP member at byte {member.offset:,}, found something else")
    name_length, extra_length = struct.unpack_from("<HH", block, LOCAL_BYTES - 4)
    return LOCAL_BYTES + int(name_length) + int(extra_length)


def check_local(block: bytes, member: Member) -> None:
    """Compare name, method, encryption, sizes and CRC-32.

    Args:
        block: the local header with its name and extra field.
        member: as the central directory has it.

    Raises:
        ItemError: BAD_CHECKSUM, they contradict each other.
    """
    _, _, flags, method, _, _, crc32, packed_size, size, name_length, extra_length = _HEADER.unpack_from(block)
    name_end = LOCAL_BYTES + name_length
    name, extra = block[LOCAL_BYTES:name_end], block[name_end : name_end + extra_length]
    if name != member.raw_name or not name.isascii():
        _check_name(name, flags, extra, member)
    if method != member.method:
        raise _contradiction("compression method", member.method, method)
    if flags & _FLAGS_ENCRYPTED:
        raise _contradiction("encryption", "none", f"flags {flags:#06x}")
    if (crc32, packed_size, size) == (member.crc32, member.packed_size, member.size):
        return
    if FULL32 in (packed_size, size):
        packed_size, size = _widen(packed_size, size, extra)
    told = (("CRC-32", member.crc32, crc32), ("packed size", member.packed_size, packed_size), ("size", member.size, size))
    if not any(came for _, _, came in told):
        return  # a streaming writer, with or without its flag
    for what, expected, came in told:
        left_open = came is None or (came == 0 and flags & _FLAG_DESCRIPTOR)
        if not left_open and expected is not None and came != expected:
            raise _contradiction(what, f"{expected:,}", f"{came:,}")


def _check_name(name: bytes, flags: int, extra: bytes, member: Member) -> None:
    """Other bytes may still be the same name: in another encoding, or with other slashes. The same bytes may be another one."""
    meant, local = _slashed(member.name), decode_name(name, flags, extra)
    if _slashed(local.text) == meant:
        return
    if name == member.raw_name:
        # Only the directory has a Unicode path field, or only one of the two declares UTF-8 where the bytes are none.
        same = member.stored_name is not None and not flags & FLAG_UTF8
    else:
        same = meant in map(_slashed, local_readings(name, extra))
    if not same:
        raise _contradiction("name", repr(member.name[:200]), repr(local.text[:200]))


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _widen(packed_size: int, size: int, extra: bytes) -> tuple[int | None, int | None]:
    """The sizes from the ZIP64 field, where the size comes first; None where it has none."""
    field = extra_field(extra, _EXTRA_ZIP64)
    values: list[int | None] = [size, packed_size]
    for index, value in enumerate(values):
        if value == FULL32:
            values[index], field = (int.from_bytes(field[:8], "little") if len(field) >= 8 else None), field[8:]
    return values[1], values[0]


def _contradiction(what: str, directory: object, local: object) -> ItemError:
    text = f"{what}: the archive's directory says {directory}, the member itself {local}; {_PACK_AGAIN}"
    return ItemError(ItemErrorCode.BAD_CHECKSUM, text)
