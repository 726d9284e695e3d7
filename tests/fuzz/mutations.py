"""Damage to bytes: blind, and where it hurts."""

from __future__ import annotations

import random
import re
import struct

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_ZIP_MARKS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7")
_ZIP_FIELDS = {  # mark → (offset, struct format) of fields that matter
    b"PK\1\2": (
        (4, "<H"),
        (8, "<H"),
        (10, "<H"),
        (16, "<L"),
        (20, "<L"),
        (24, "<L"),
        (28, "<H"),
        (30, "<H"),
        (32, "<H"),
        (42, "<L"),
    ),
    b"PK\3\4": ((6, "<H"), (8, "<H"), (14, "<L"), (18, "<L"), (22, "<L"), (26, "<H"), (28, "<H")),
    b"PK\5\6": ((4, "<H"), (6, "<H"), (8, "<H"), (10, "<H"), (12, "<L"), (16, "<L"), (20, "<H")),
    b"PK\6\6": ((24, "<Q"), (32, "<Q"), (40, "<Q"), (48, "<Q")),
    b"PK\6\7": ((8, "<Q"), (16, "<L")),
}


def blind(chance: random.Random, data: bytes) -> bytes:
    """One to four bytes, runs or cuts anywhere. Nothing is moved by a multiple of 512, which no TAR could notice."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place, kind = chance.randrange(len(result)), chance.random()
        if kind < 0.6:
            result[place] = chance.choice([0, 1, 0x2F, 0x5C, 0xFF, chance.randrange(256)])
        elif kind < 0.75:
            result[place : place + chance.randint(1, 40)] = chance.randbytes(chance.randint(1, 40))
        elif kind < 0.85:
            result = result[: max(place, 1)]
        elif kind < 0.95:
            length = chance.randint(1, 60)
            result[place : place + length] = bytes(min(length, len(result) - place))
        else:
            result += chance.randbytes(chance.randint(1, 300))
    return bytes(result)


def zip_fields(chance: random.Random, data: bytes) -> bytes:
    """A number in one of a ZIP's records, two names or offsets exchanged, an entry repeated."""
    mark = chance.choice(_ZIP_MARKS)
    places = [found.start() for found in re.finditer(re.escape(mark), data) if found.start() <= len(data) - 56]
    if not places:
        mark = b"PK\5\6"
        places = [place for place in [data.rfind(mark)] if 0 <= place <= len(data) - 22]
    if not places:
        return data
    place, result = chance.choice(places), bytearray(data)
    entries = [found.start() for found in re.finditer(rb"PK\x01\x02", data) if found.start() <= len(data) - 46]
    if mark == b"PK\1\2" and len(entries) > 1 and chance.random() < 0.5:
        other = chance.choice(entries)
        start, length = chance.choice([(42, 4), (16, 12), (46, struct.unpack_from("<H", data, place + 28)[0])])
        result[place + start : place + start + length] = data[other + start : other + start + length]
        return bytes(result)
    offset, form = chance.choice(_ZIP_FIELDS[mark])
    (value,) = struct.unpack_from(form, data, place + offset)
    wanted = chance.choice(
        [*_NUMBERS, value + 1, value - 1, value ^ 0x800, value ^ 8, value ^ 1, value + 4, chance.randrange(1 << 16)]
    )
    struct.pack_into(form, result, place + offset, wanted % (1 << 8 * struct.calcsize(form)))
    return bytes(result)


def tar_header(chance: random.Random, data: bytes) -> bytes:
    """A field of a TAR header, with the checksum made right again."""
    places = [place for place in range(0, len(data) - 511, 512) if data[place + 257 : place + 262] == b"ustar"]
    place, result = chance.choice(places), bytearray(data)
    kind = chance.random()
    if kind < 0.4:
        size = chance.choice([0, 1, 511, 512, 513, 1 << 20, 1 << 33, chance.randrange(4000)])
        result[place + 124 : place + 136] = b"%011o\0" % size
    elif kind < 0.5:
        result[place + 124 : place + 136] = b"\x80" + bytes(3) + chance.choice([1, 1 << 40, 1 << 60]).to_bytes(8, "big")
    elif kind < 0.8:
        result[place + 156] = chance.choice(b"0123456789DKLMNSVXgxA\0")
    else:
        offset = chance.randrange(0, 512)
        result[place + offset] = chance.randrange(256)
    result[place + 148 : place + 156] = b" " * 8
    result[place + 148 : place + 156] = b"%06o\0 " % sum(result[place : place + 512])
    return bytes(result)
