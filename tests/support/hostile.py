"""Members and archives of an attacker, drawn anew: bombs, giants, lies, tricks with names; and the outcome each must have."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from core.errors import ItemErrorCode as Code
from tests.support.archive_bytes import RawEntry, end_records, honest_zip, raw_zip
from tests.support.tiffs import tiff

MB = 1024 * 1024


@dataclass(frozen=True)
class Attack:
    """One member of a ZIP.

    Attributes:
        name: of the attack, for people.
        code: that its row must have; None: the row has a result.
        entry: makes the member, with a name of its own, from a good picture.
    """

    name: str
    code: Code | None
    entry: Callable[[random.Random, bytes], RawEntry]


def _png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """A PNG whose pixels are the zlib stream of `pixels`."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(pixels, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + more + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _giant_jpeg(good: bytes) -> bytes:
    at = good.index(b"\xff\xc0") + 5
    return good[:at] + struct.pack(">HH", 65_500, 65_500) + good[at + 4 :]


def _giant_gif(_: bytes) -> bytes:
    stream = io.BytesIO()
    Image.new("P", (8, 8)).save(stream, "GIF")
    data = bytearray(stream.getvalue())
    at = data.index(b"\x2c", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    data[6:10] = data[at + 5 : at + 9] = b"\xff" * 4
    return bytes(data)


def _giant_tiff(_: bytes) -> bytes:
    return tiff(
        ([(256, 4, [65_000]), (257, 4, [65_000]), (258, 3, [8]), (259, 3, [1]), (262, 3, [1]), (277, 3, [1])], [bytes(64)])
    )


_GREY = (b"\0" + b"\x7f" * 192) * 64  # the rows of a picture of 64 x 64 pixels


@cache
def white() -> bytes:
    return _png(9900, 9900, (b"\0" + b"\xff" * 29_700) * 9900)


@cache
def _profile() -> bytes:
    return _png(64, 64, _GREY, more=_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(64 * MB), 9)))


@cache
def _text() -> bytes:
    return _png(64, 64, _GREY, more=_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 * MB), 9)))


@cache
def _long() -> bytes:
    return _png(64, 64, _GREY * 1000)


@cache
def _zeros() -> bytes:
    return bytes(100 * MB)


def _in_shape(number: random.Random, name: str) -> bytes:
    return f"{name}-{number.getrandbits(32):08x}.jpg".encode()


def _named(
    prefix: str, make: Callable[[bytes], bytes] = lambda good: good, **fields: int
) -> Callable[[random.Random, bytes], RawEntry]:
    """A member called `prefix` and a random number, whose bytes are made from those of a good picture."""
    return lambda number, good: RawEntry(_in_shape(number, prefix), make(good), **fields)  # type: ignore[arg-type]


def _under(folder: bytes) -> Callable[[random.Random, bytes], RawEntry]:
    return lambda number, good: RawEntry(folder + _in_shape(number, "x"), good)


def _cut(good: bytes) -> bytes:
    return good[: len(good) * 2 // 3]


def _nested(good: bytes) -> bytes:
    return honest_zip({"a.zip": honest_zip({"a.jpg": good})})


_GIANT = Code.TOO_MANY_PIXELS
_PAGE = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
ATTACKS = (
    Attack("PNG, header of 50,000 x 50,000", _GIANT, _named("giant-png", lambda _: _png(50_000, 50_000, bytes(1000)))),
    Attack("JPEG, header of 65,500 x 65,500", _GIANT, _named("giant-jpeg", _giant_jpeg)),
    Attack("GIF, header of 65,535 x 65,535", _GIANT, _named("giant-gif", _giant_gif)),
    Attack("TIFF that claims 4 GB in one strip", Code.TRUNCATED, _named("giant-tiff", _giant_tiff)),
    Attack("PNG of 9,900 x 9,900 in 290 KB", None, _named("white", lambda _: white())),
    Attack("PNG, 64 MB of zeros as its profile", None, _named("profile", lambda _: _profile())),
    Attack("PNG, 200 MB of zeros as a text", None, _named("text", lambda _: _text())),
    Attack("PNG, 1,000 times too many pixels", Code.DAMAGED, _named("long", lambda _: _long())),
    Attack("100 MB of zeros", Code.TOO_LARGE, _named("bomb", lambda _: _zeros())),
    Attack("100 MB of zeros, declared as 1,000", Code.BAD_CHECKSUM, _named("liar", lambda _: _zeros(), size=1000)),
    Attack("a ZIP in a ZIP", Code.NOT_AN_IMAGE, _named("nested", _nested)),
    Attack("a name with ../", Code.UNSAFE_PATH, _under(b"../../../tmp/")),
    Attack("an absolute name", Code.UNSAFE_PATH, _under(b"/tmp/")),
    Attack("a drive letter", Code.UNSAFE_PATH, _under(b"C:\\Windows\\")),
    Attack("a symbolic link", Code.UNSAFE_PATH, _named("link", lambda _: b"/etc/passwd", attributes=0o120777 << 16)),
    Attack("a device", Code.UNSAFE_PATH, _named("device", attributes=0o020666 << 16)),
    Attack("an encrypted member", Code.ENCRYPTED, _named("secret", flags=1)),
    Attack("a wrong checksum", Code.BAD_CHECKSUM, _named("sum", crc32=7)),
    Attack("a JPEG cut off", Code.TRUNCATED, _named("cut", _cut)),
    Attack("HTML with a script, called .jpg", Code.NOT_AN_IMAGE, _named("page", lambda _: _PAGE)),
)


@dataclass(frozen=True)
class HostileArchive:
    """A ZIP with some hostile members, and what each row must say: a code, or None for a result."""

    data: bytes
    expected: dict[str, Code | None]


def good_picture(number: int) -> bytes:
    """A picture of 120 x 90 pixels, JPEG; its own for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (9, 12, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def draw_archive(members: int, hostile: int, seed: int, attacks: Sequence[Attack] = ATTACKS) -> HostileArchive:
    """Good pictures, with attacks at random places, each kind as often as the others."""
    random_number = random.Random(seed)
    chosen = [attacks[number % len(attacks)] for number in range(hostile)]
    places = dict(zip(random_number.sample(range(members), hostile), chosen, strict=True))
    entries, expected = [], {}
    for number in range(members):
        good = good_picture(number)
        attack = places.get(number)
        entry = attack.entry(random_number, good) if attack else RawEntry(f"images/{number:05}.jpg".encode(), good, method=0)
        entries.append(entry)
        expected[entry.name.decode()] = attack.code if attack else None
    return HostileArchive(raw_zip(entries), expected)


def hostile_archives() -> dict[str, tuple[str, bytes]]:
    """Archives that are an attack as a whole: name → file name and bytes."""
    good = good_picture(0)
    return {
        "ZIP: 300 entries over the same 64 MB of zeros": ("overlap.zip", _overlapping(bytes(64 * MB), 300)),
        "ZIP: a directory of 100,000 empty entries": ("many.zip", _many(100_000)),
        "ZIP: claims 2^63 entries": ("claims.zip", end_records(2**63, 46, 0, zip64=True)),
        "ZIP: nested 200 deep": ("deep.zip", _deep(good, 200)),
        "tar.gz: one member of 10 GB of zeros": ("zeros.tar.gz", _packed_zeros(10 * 1024)),
        "TAR: a name that claims 2^60 bytes": ("name.tar", _tar_header("././@LongLink", 2**60, b"K") + bytes(1024)),
        "TAR: sparse": ("sparse.tar", _tar_header("s.jpg", 0, b"S") + bytes(1024)),
        "CSV: one row of 32 MB": ("row.csv", b"path,age\n" + b"a.jpg," + b"9" * (32 * MB) + b"\n"),
    }


def _overlapping(payload: bytes, count: int) -> bytes:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = packed.compress(payload) + packed.flush()
    common = struct.pack("<HHHHHLLL", 20, 0x800, 8, 0, 0x21, zlib.crc32(payload), len(raw), len(payload))
    body = b"PK\3\4" + common + struct.pack("<HH", 11, 0) + b"0000000.png" + raw
    rest = struct.pack("<HHHHHLL", 11, 0, 0, 0, 0, 0, 0)
    directory = b"".join(b"PK\1\2" + struct.pack("<H", 20) + common + rest + b"%07d.png" % at for at in range(count))
    return body + directory + end_records(count, len(directory), len(body))


def _many(count: int) -> bytes:
    common = struct.pack("<HHHHHLLL", 20, 0, 0, 0, 0x21, 0, 0, 0)
    head = b"PK\3\4" + common + struct.pack("<HH", 11, 0)
    body = b"".join(head + b"%07d.jpg" % at for at in range(count))
    begins, rest = b"PK\1\2" + struct.pack("<H", 20) + common, struct.pack("<HHHHHL", 11, 0, 0, 0, 0, 0)
    size = len(head) + 11
    directory = b"".join(begins + rest + struct.pack("<L", at * size) + b"%07d.jpg" % at for at in range(count))
    return body + directory + end_records(count, len(directory), len(body), zip64=True)


def _deep(data: bytes, depth: int) -> bytes:
    for _ in range(depth):
        data = honest_zip({"a.zip": data})
    return data


def _packed_zeros(megabytes: int) -> bytes:
    """gzip of a member of zeros, written in seconds: one packed megabyte again and again (RFC 1951, after a full flush)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(_tar_header("z.jpg", megabytes * MB, b"0")) + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + one * megabytes + packer.compress(bytes(1024)) + packer.flush()


def _tar_header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)
