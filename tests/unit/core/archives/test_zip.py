"""ZIP files as they come: ZIP64, odd names, damage, lies and attacks."""

from __future__ import annotations

import io
import itertools
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archives.inflate import ZSTD, unpack, zstd_module
from core.archives.zip import ZipArchive
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.storage.local import LocalFile
from tests.support.archive_bytes import BytesAccess, RawEntry, end_records, honest_zip, outcome, outcomes, raw_zip

LIMIT = 10_000_000


def archive_of(data: bytes, max_bytes: int = LIMIT) -> ZipArchive:
    return ZipArchive(BytesAccess(data), max_bytes)


def result_of(entry: RawEntry, max_bytes: int = LIMIT) -> bytes | ItemErrorCode:
    archive = archive_of(raw_zip([entry]), max_bytes)
    (member,) = archive.members()
    return outcome(archive, member)


def test_zip64_by_count() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(70_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")
    members = list(archive_of(buffer.getvalue()).members())
    assert [member.name for member in members] == [f"{number}.jpg" for number in range(70_000)]


def test_zip64_extra_fields() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as file:
        file.write(b"first")
    wide = struct.pack("<HHQQQ", 1, 24, 4, 4, 0)
    assert outcomes(archive_of(buffer.getvalue())) == {"a.jpg": b"first"}
    full = 0xFFFFFFFF
    entry = RawEntry(b"w.jpg", method=0, size=full, packed_size=full, offset=full, extra=b"\x99\x00\x02\x00ab" + wide)
    assert outcomes(archive_of(raw_zip([entry], zip64=True))) == {"w.jpg": b"data"}
    assert outcomes(archive_of(b"prefix" * 100 + raw_zip([entry], zip64=True))) == {"w.jpg": b"data"}


def test_offsets_beyond_four_gigabytes(tmp_path: Path) -> None:
    far = (1 << 32) + 12345
    with (tmp_path / "sparse.zip").open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("near.jpg", b"near")
        file.seek(far)
        archive.start_dir = far
        archive.writestr("far.jpg", b"far")
    assert outcomes(ZipArchive(LocalFile(tmp_path / "sparse.zip"), LIMIT)) == {"near.jpg": b"near", "far.jpg": b"far"}


def test_macos_archives_without_zip64(tmp_path: Path) -> None:
    """Archive Utility writes offsets modulo 2^32 and counts modulo 2^16."""
    places = [0, 1 << 31, (1 << 32) + 77, (1 << 32) + (1 << 31), (1 << 33) + 5]
    directory = b""
    with (tmp_path / "mac.zip").open("wb") as file:
        for number, place in enumerate(places):
            part = raw_zip([RawEntry(f"{number}.jpg".encode(), data=bytes([number + 1]) * 50, offset=place & 0xFFFFFFFF)])
            start = part.index(b"PK\1\2")
            file.seek(place)
            file.write(part[:start])
            directory += part[start:-22]
        start = file.tell()
        file.write(directory + end_records(len(places), len(directory), start & 0xFFFFFFFF))
    expected = {f"{number}.jpg": bytes([number + 1]) * 50 for number in range(len(places))}
    assert outcomes(ZipArchive(LocalFile(tmp_path / "mac.zip"), LIMIT)) == expected


def test_counts_modulo_2_16() -> None:
    entries = [RawEntry(f"{number}".encode(), data=b"", method=0) for number in range(65_539)]
    assert len(list(archive_of(raw_zip(entries, count=3)).members())) == 65_539


@pytest.mark.parametrize(("count", "real"), [(2, 3), (4, 3), (0, 1), (65_535, 3)])
def test_a_count_that_does_not_match_fails_the_archive(count: int, real: int) -> None:
    data = raw_zip([RawEntry(b"a" * 50 + str(number).encode()) for number in range(real)], count=count)
    with pytest.raises(ArchiveError, match=r"claims|contradicts"):
        list(archive_of(data).members())


def test_names_as_zipfile_reads_them() -> None:
    names = {
        "plain.jpg": RawEntry(b"plain.jpg"),
        "sp ace/ü.jpg": RawEntry("sp ace/ü.jpg".encode(), flags=0x800),
        "é¥.jpg": RawEntry(b"\x82\x9d.jpg"),  # code page 437
        "bad\udcff.jpg": RawEntry(b"bad\xff.jpg", flags=0x800),
        "new\nline\t.jpg": RawEntry(b"new\nline\t.jpg"),
    }
    data = raw_zip(names.values())
    assert list(outcomes(archive_of(data))) == list(names)
    readable = raw_zip(entry for name, entry in names.items() if "\udcff" not in name)
    with zipfile.ZipFile(io.BytesIO(readable)) as archive:
        assert archive.namelist() == [name for name in names if "\udcff" not in name]


def test_unicode_path_fields_are_read_where_they_fit() -> None:
    raw, meant = b"?.jpg", "日.jpg".encode()

    def field(crc32: int) -> bytes:
        return struct.pack("<HHBL", 0x7075, 5 + len(meant), 1, crc32) + meant

    entries = [RawEntry(raw, extra=field(zlib.crc32(raw))), RawEntry(raw, extra=field(1))]
    assert [member.name for member in archive_of(raw_zip(entries)).members()] == ["日.jpg", "?.jpg"]


def test_duplicates_each_get_their_row() -> None:
    archive = archive_of(raw_zip([RawEntry(b"a.jpg", b"first"), RawEntry(b"a.jpg", b"second")]))
    assert [(member.name, archive.read(member)) for member in archive.members()] == [("a.jpg", b"first"), ("a.jpg", b"second")]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/..", "C:\\a.jpg", "c:a.jpg", "\\\\host\\a.jpg", "..\\a.jpg", "a\0b.jpg"],
)
def test_unsafe_names_are_failed_rows(name: str) -> None:
    assert result_of(RawEntry(name.encode())) is ItemErrorCode.UNSAFE_PATH


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_failed_rows(kind: int) -> None:
    assert result_of(RawEntry(b"a.jpg", attributes=(kind | 0o777) << 16)) is ItemErrorCode.UNSAFE_PATH


def test_names_with_dots_are_no_attack() -> None:
    for name in (b"...jpg", b"a..jpg", b"..a/b.jpg", b"./a.jpg", b"a:b.jpg"[1:]):
        assert result_of(RawEntry(name)) == b"data"


def test_folders_of_every_maker_are_skipped() -> None:
    entries = [
        RawEntry(b"unix/", data=b""),
        RawEntry(b"windows\\", data=b""),
        RawEntry(b"dos", data=b"", attributes=0x10),
        RawEntry(b"mode", data=b"", attributes=(stat.S_IFDIR | 0o755) << 16),
        RawEntry(b"", data=b"unnamed"),
    ]
    archive = archive_of(raw_zip(entries))
    assert list(archive.members()) == []
    assert archive.skipped == 5


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (RawEntry(b"a", flags=0x1), ItemErrorCode.ENCRYPTED),
        (RawEntry(b"a", flags=0x41), ItemErrorCode.ENCRYPTED),
        (RawEntry(b"a", method=99), ItemErrorCode.ENCRYPTED),
        (RawEntry(b"a", method=98), ItemErrorCode.UNSUPPORTED_FORMAT),
        (RawEntry(b"a", method=97), ItemErrorCode.UNSUPPORTED_FORMAT),
        (RawEntry(b"a", flags=0x20), ItemErrorCode.UNSUPPORTED_FORMAT),
        (RawEntry(b"a", data=b""), ItemErrorCode.EMPTY),
        (RawEntry(b"a", crc32=1), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", size=3), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", size=5), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", method=0, size=3), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", method=0, size=5, packed_size=5), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", data=bytes(500), packed_size=4), ItemErrorCode.TRUNCATED),
        (RawEntry(b"a", packed_size=9_000), ItemErrorCode.TRUNCATED),
        (RawEntry(b"a", size=LIMIT + 1), ItemErrorCode.TOO_LARGE),
        (RawEntry(b"a", packed_size=LIMIT * 2), ItemErrorCode.TOO_LARGE),
        (RawEntry(b"a", size=0xFFFFFFFF), ItemErrorCode.TOO_LARGE),
        (RawEntry(b"a", offset=3), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", offset=10_000), ItemErrorCode.TRUNCATED),
        (RawEntry(b"a", offset=0xFFFFFFFF), ItemErrorCode.TRUNCATED),
        (RawEntry(b"a", method=8, data=b"x", extra=b"\1\0\xff\xff"), b"x"),
        (RawEntry(b"a", method=14), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", method=14, data=b"\0\0\5\0\xff\xff\xff\xff\xff123"), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", method=12), ItemErrorCode.BAD_CHECKSUM),
        (RawEntry(b"a", local_extra=bytes(60_000)), b"data"),
    ],
    ids=str,
)
def test_what_is_wrong_has_its_code(entry: RawEntry, code: ItemErrorCode | bytes) -> None:
    assert result_of(entry) == code


def test_traditional_encryption_as_info_zip_writes_it() -> None:
    # zip -P secret -0 - ...: 12 bytes of header before the data, CRC-32 of the plain bytes.
    assert result_of(RawEntry(b"a.jpg", data=bytes(16), method=0, flags=0x9, size=4)) is ItemErrorCode.ENCRYPTED


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_flipped_byte_of_data_is_a_bad_checksum(method: int) -> None:
    photo = random.Random(1).randbytes(20_000)
    data = bytearray(honest_zip({"a.jpg": photo}, method))
    data[10_000] ^= 0x10
    archive = archive_of(bytes(data))
    (member,) = archive.members()
    assert outcome(archive, member) in (ItemErrorCode.BAD_CHECKSUM, ItemErrorCode.TRUNCATED)
    if method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert outcome(archive, member) is ItemErrorCode.BAD_CHECKSUM


@pytest.mark.parametrize("keep", [0, 10, 21, 100, -1, -22, -23, -60])
def test_a_truncated_archive_fails_as_a_whole(keep: int) -> None:
    data = honest_zip({f"{number}.jpg": bytes(100) for number in range(20)})
    with pytest.raises(ArchiveError, match=r"cut off|damaged"):
        list(archive_of(data[:keep]).members())


def test_split_archives_are_refused() -> None:
    data = bytearray(honest_zip({"a.jpg": b"a"}))
    data[-18] = 1  # number of this disk
    with pytest.raises(ArchiveError, match="split"):
        list(archive_of(bytes(data)).members())


def test_a_comment_may_hold_anything() -> None:
    files = {"a.jpg": b"a", "b.jpg": b"b"}
    for comment in (b"x" * 65_535, b"PK\5\6", b"PK\5\6" + bytes(18), honest_zip({"evil.jpg": b"e"})[-22:-2]):
        data = raw_zip([RawEntry(name.encode(), content) for name, content in files.items()], comment=comment)
        assert outcomes(archive_of(data)) == files


def test_bytes_after_the_archive_are_ignored() -> None:
    assert outcomes(archive_of(honest_zip({"a.jpg": b"a"}) + b"\r\n\x1a" * 50)) == {"a.jpg": b"a"}


def test_an_empty_archive_is_empty() -> None:
    assert outcomes(archive_of(honest_zip({}))) == {}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_costs_its_declared_size(method: int) -> None:
    bomb = bytearray(honest_zip({"a.jpg": bytes(100_000_000)}, method))
    for place in (bomb.index(b"PK\1\2") + 24, 22):  # directory and local header
        bomb[place : place + 4] = struct.pack("<L", 50_000)  # declare 50 kB
    archive = archive_of(bytes(bomb))
    del bomb
    (member,) = archive.members()
    tracemalloc.start()
    try:
        assert outcome(archive, member) is ItemErrorCode.BAD_CHECKSUM
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_lzma_dictionaries_are_no_larger_than_the_member() -> None:
    data = bytearray(honest_zip({"a.jpg": b"0123456789" * 100}, zipfile.ZIP_LZMA))
    place = 30 + len("a.jpg") + 5
    assert data[place - 3 : place - 1] == b"\5\0"
    data[place : place + 4] = b"\xff\xff\xff\xff"  # a dictionary of 4 GiB
    assert outcomes(archive_of(bytes(data))) == {"a.jpg": b"0123456789" * 100}


def test_zstd_where_python_has_it() -> None:
    module = zstd_module()
    data = b"skin" * 1000
    if module is None:
        with pytest.raises(ItemError) as caught:
            unpack(ZSTD, b"", len(data))
        assert caught.value.code is ItemErrorCode.UNSUPPORTED_FORMAT
    else:
        assert unpack(ZSTD, module.compress(data), len(data)) == data


def test_nested_archives_are_members_like_any_other() -> None:
    inner = honest_zip({"a.jpg": bytes(1000)})
    assert outcomes(archive_of(honest_zip({"inner.zip": inner}))) == {"inner.zip": inner}


def test_a_member_costs_one_request() -> None:
    access = BytesAccess(honest_zip({"sub/ü.jpg": bytes(100_000), "b.jpg": bytes(1000)}, zipfile.ZIP_STORED))
    archive = ZipArchive(access, LIMIT)
    members = list(archive.members())
    access.requests.clear()
    for member in members:
        archive.read(member)
    assert len(access.requests) == 2


class EndlessZip:
    """A ZIP of `count` small members that are made up while they are read: for memory tests of the reader alone."""

    def __init__(self, count: int) -> None:
        entry = raw_zip([RawEntry(b"images/of/patients/0000000.jpg", method=0)])
        self._local = entry[: entry.index(b"PK\1\2")]
        header = entry[len(self._local) : -22]
        tail = b"".join(header[:42] + struct.pack("<L", n * len(self._local)) + header[46:] for n in range(count))
        self._directory_start = count * len(self._local)
        self._tail = tail + end_records(count, len(tail), self._directory_start, zip64=True)
        self.size = self._directory_start + len(self._tail)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < self._directory_start:
            return self._local[offset % len(self._local) :][:length]
        return self._tail[offset - self._directory_start :][:length]

    def close(self) -> None: ...


def test_listing_is_flat_in_memory() -> None:
    members = ZipArchive(EndlessZip(200_000), LIMIT).members()
    assert sum(1 for _ in itertools.islice(members, 170_000)) == 170_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in members) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # two blocks of the directory
    finally:
        tracemalloc.stop()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])


@given(st.lists(st.tuples(NAMES, st.binary(min_size=1, max_size=300), METHODS), max_size=12), st.binary(max_size=50))
@settings(max_examples=150, deadline=None)
def test_what_zipfile_writes_is_read_back(files: list[tuple[str, bytes, int]], prefix: bytes) -> None:
    buffer = io.BytesIO(prefix)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        for number, (name, data, method) in enumerate(files):
            archive.writestr(zipfile.ZipInfo(f"{number}/{name}x.jpg"), data, compress_type=method)
    read = archive_of(buffer.getvalue())
    found = [(member.name, outcome(read, member)) for member in read.members()]
    safe = [pair for pair in found if pair[1] is not ItemErrorCode.UNSAFE_PATH]
    expected = [(f"{number}/{name}x.jpg", data) for number, (name, data, _) in enumerate(files)]
    assert safe == [pair for pair in expected if pair in safe]
    assert len(found) + read.skipped == len(files)


SAMPLE = raw_zip(
    [
        RawEntry("sub/ü.jpg".encode(), bytes(range(256)) * 3, flags=0x800),
        RawEntry(b"b.jpg", b"stored", method=0, extra=b"\1\0\x08\0" + bytes(8)),
        RawEntry(b"__MACOSX/x", b"x"),
    ],
    comment=b"comment",
    zip64=True,
) + honest_zip({"c.jpg": bytes(999), "d.jpg": b"d"}, zipfile.ZIP_LZMA)
SAMPLES = [SAMPLE, honest_zip({"c.jpg": bytes(999), "d.jpg": b"d"}, zipfile.ZIP_BZIP2), SAMPLE[: SAMPLE.index(b"comment") + 7]]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4) | st.just(b"\xff\xff\xff\xff"))
        if not data:
            break
    return bytes(data)


@given(mutations())
@settings(max_examples=400, deadline=None)
def test_no_damage_raises_anything_but_coded_errors(data: bytes) -> None:
    """And nothing reads on and on: what is read is the end, the directory, and of each member the header and the bytes."""
    access = BytesAccess(data)
    archive = ZipArchive(access, 100_000)
    found: Iterator[bytes | ItemErrorCode]
    try:
        found = (outcome(archive, member) for member in archive.members())
        assert all(isinstance(result, ItemErrorCode) or len(result) <= 100_000 for result in found)
    except ArchiveError:
        pass
    assert access.bytes_read <= 8 * access.size
    assert len(access.requests) <= 64
