"""TAR files as they come: three formats, long names, links, damage, compressed ones and bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archives.compressed import Codec, ExpandLimits, expand_tar, sniff_codec
from core.archives.inflate import zstd_module
from core.archives.tar import TarArchive
from core.archives.tar_header import Header, HeaderError, parse_header, parse_pax
from core.errors import ArchiveError, ItemErrorCode
from core.storage.local import LocalStorage
from tests.support.archive_bytes import BytesAccess, outcome, outcomes

LIMIT = 10_000_000
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def archive_of(data: bytes, max_bytes: int = LIMIT) -> TarArchive:
    return TarArchive(BytesAccess(data), max_bytes)


def tar_of(members: list[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def raw_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


@pytest.mark.parametrize("format", FORMATS)
def test_names_of_every_length(format: int) -> None:
    lengths = [1, 99, 100, 101, 154, 250] if format == tarfile.USTAR_FORMAT else [1, 99, 100, 101, 256, 1000, 4000]
    files = {"d/" * (length // 2) + "x" * (length % 2 or 2): bytes([length % 255]) * length for length in lengths}
    assert outcomes(archive_of(tar_of(list(files.items()), format))) == files


@pytest.mark.parametrize("format", FORMATS)
def test_names_that_are_no_utf8(format: int) -> None:
    files = {"ü/日.jpg": b"a", "bad\udcff.jpg": b"b", "./dot.jpg": b"c", "sp ace\n.jpg": b"d"}
    assert outcomes(archive_of(tar_of(list(files.items()), format))) == files


def test_duplicates_each_get_their_row() -> None:
    archive = archive_of(tar_of([("a.jpg", b"first"), ("a.jpg", b"second")]))
    assert [archive.read(member) for member in archive.members()] == [b"first", b"second"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_failed_rows(kind: bytes) -> None:
    data = raw_header("link.jpg", 0, kind) + tar_of([("b.jpg", b"b")])
    assert outcomes(archive_of(data)) == {"link.jpg": ItemErrorCode.UNSAFE_PATH, "b.jpg": b"b"}


@pytest.mark.parametrize("name", ["/abs.jpg", "../up.jpg", "a/../../b.jpg", "C:\\a.jpg"])
def test_unsafe_names_are_failed_rows(name: str) -> None:
    assert outcomes(archive_of(tar_of([(name, b"x")]))) == {name: ItemErrorCode.UNSAFE_PATH}


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_SPARSE, b"M"])
def test_sparse_and_multivolume_members_are_unsupported(kind: bytes) -> None:
    data = raw_header("s.jpg", 5, kind) + padded(b"hello") + tar_of([("b.jpg", b"b")])
    assert outcomes(archive_of(data)) == {"s.jpg": ItemErrorCode.UNSUPPORTED_FORMAT, "b.jpg": b"b"}


def test_sparse_maps_that_go_on_are_skipped() -> None:
    header = bytearray(raw_header("s.jpg", 5, tarfile.GNUTYPE_SPARSE))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    data = bytes(header + more) + last + padded(b"hello") + tar_of([("b.jpg", b"b")])
    assert outcomes(archive_of(data)) == {"s.jpg": ItemErrorCode.UNSUPPORTED_FORMAT, "b.jpg": b"b"}


def test_pax_sparse_files_keep_their_name() -> None:
    records = b"".join(pax_record(key, value) for key, value in [("GNU.sparse.major", "1"), ("GNU.sparse.name", "real.jpg")])
    data = raw_header("x", len(records), tarfile.XHDTYPE) + padded(records) + tar_of([("GNUSparseFile.0/real.jpg", b"map")])
    assert outcomes(archive_of(data)) == {"real.jpg": ItemErrorCode.UNSUPPORTED_FORMAT}


def pax_record(keyword: str, value: str) -> bytes:
    body = f" {keyword}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def test_pax_sizes_and_global_records() -> None:
    size = pax_record("size", "5")
    data = raw_header("g", len(size), tarfile.XGLTYPE) + padded(size)
    data += raw_header("a.jpg", 0) + padded(b"hello") + raw_header("b.jpg", 0) + padded(b"world") + bytes(1024)
    assert outcomes(archive_of(data)) == {"a.jpg": b"hello", "b.jpg": b"world"}


def test_folders_and_labels_are_skipped() -> None:
    data = (
        raw_header("label", 0, b"V") + raw_header("folder", 0, tarfile.DIRTYPE) + raw_header("dump", 3, b"D") + padded(b"Y\0\0")
    )
    archive = archive_of(data + tar_of([("./", b""), ("a.jpg", b"a")]))
    assert outcomes(archive) == {"a.jpg": b"a"}
    assert archive.skipped == 4


def test_an_archive_without_end_marker_is_whole() -> None:
    data = tar_of([("a.jpg", b"a"), ("b.jpg", b"b")])
    assert outcomes(archive_of(data[: 4 * 512])) == {"a.jpg": b"a", "b.jpg": b"b"}


def test_a_cut_member_says_so_and_is_the_last() -> None:
    data = tar_of([("a.jpg", bytes(1000)), ("b.jpg", bytes(1000)), ("c.jpg", b"c")])
    found = outcomes(archive_of(data[: 512 + 1024 + 512 + 100]))
    assert found == {"a.jpg": bytes(1000), "b.jpg": ItemErrorCode.TRUNCATED}


def test_a_cut_or_damaged_header_fails_the_archive() -> None:
    data = tar_of([("a.jpg", bytes(1000)), ("b.jpg", bytes(1000))])
    with pytest.raises(ArchiveError, match="cut off"):
        list(archive_of(data[:1700]).members())
    with pytest.raises(ArchiveError, match="damaged TAR header at byte 1,536, after 1 members"):
        list(archive_of(data[:1540] + b"\xff" + data[1541:]).members())


@pytest.mark.parametrize(
    "records",
    [b"x", b"5 a=b\n", b"99 path=a\n", b"0 a=b\n", b"-3 a=b\n", b" 6 a=b\n", b"9" * 30 + b" a=b\n", b"6 a+b\n", b"8 size=x\n"],
)
def test_damaged_pax_records_fail_the_archive(records: bytes) -> None:
    data = raw_header("x", len(records), tarfile.XHDTYPE) + padded(records) + tar_of([("a.jpg", b"a")])
    with pytest.raises(ArchiveError, match=r"damaged|says size"):
        list(archive_of(data).members())


def test_metadata_is_bounded() -> None:
    with pytest.raises(ArchiveError, match="the limit is"):
        list(archive_of(raw_header("x", 1 << 30, tarfile.GNUTYPE_LONGNAME) + bytes(2048)).members())
    with pytest.raises(ArchiveError, match="extended headers"):
        list(archive_of(raw_header("x", 0, tarfile.XHDTYPE) * 1000).members())


def test_headers_of_every_writer() -> None:
    info = tarfile.TarInfo("a" * 90 + "/" + "b" * 90)
    info.size = 1 << 40
    assert parse_header(info.tobuf(tarfile.GNU_FORMAT)[-512:]) == Header(info.name.encode()[:100], 1 << 40, b"0")
    info.size = 7
    assert parse_header(info.tobuf(tarfile.USTAR_FORMAT)) == Header(info.name.encode(), 7, b"0")
    high = bytearray(raw_header("\u00fc\u00fc.jpg", 7))
    high[148:156] = b"%06o\0 " % (sum(high) - sum(high[148:156]) + 256 - 256 * sum(byte > 127 for byte in high))
    assert parse_header(bytes(high)) == Header("\u00fc\u00fc.jpg".encode(), 7, b"0")  # checksum over signed bytes
    for field, value in ((124, b"\xff" * 12), (124, b"0000000008\0 "), (124, b"1_0".ljust(12)), (148, b"x".ljust(8))):
        wrong = bytearray(raw_header("a.jpg", 0))
        wrong[field : field + len(value)] = value
        if field == 124:
            wrong[148:156] = b" " * 8
            wrong[148:156] = b"%06o\0 " % sum(wrong)
        with pytest.raises(HeaderError):
            parse_header(bytes(wrong))


def test_pax_records() -> None:
    assert parse_pax(b"10 path=a\n13 comment=\xff\n" + bytes(5)) == {"path": b"a", "comment": b"\xff"}


def test_listing_is_flat_in_memory() -> None:
    class Endless:
        size = 512 * 200_000
        header = raw_header("images/of/patients/0000000.jpg", 0)

        def read_at(self, offset: int, length: int) -> bytes:
            assert (offset % 512, length) == (0, 512)
            return self.header if offset < self.size else b""

        def close(self) -> None: ...

    members = TarArchive(Endless(), LIMIT).members()
    for _ in range(190_000):
        next(members)
    tracemalloc.start()
    try:
        assert sum(1 for _ in members) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# Compressed TARs


def expand(data: bytes, folder: Path, limits: ExpandLimits | None = None) -> bytes:
    codec = sniff_codec(data)
    assert codec is not None
    storage = LocalStorage(folder)
    with storage.writer("plain") as writer:
        size = expand_tar(BytesAccess(data), codec, writer, limits or ExpandLimits())
        writer.commit()
    access = storage.open("plain")
    assert access.size == size
    plain = access.read_at(0, size)
    access.close()
    return plain


PACKERS: dict[Codec, Callable[[bytes], bytes]] = {Codec.GZIP: gzip.compress, Codec.BZIP2: bz2.compress, Codec.XZ: lzma.compress}
if (zstd := zstd_module()) is not None:
    # Without the flag a zstd frame has no checksum, as opposed to what the zstd tool writes.
    PACKERS[Codec.ZSTD] = partial(zstd.compress, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.fixture(params=PACKERS)
def pack(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    return PACKERS[request.param]


PLAIN = tar_of([(f"{number}.jpg", random.Random(number).randbytes(700_000)) for number in range(5)])


def test_several_streams_in_a_row_are_one_file(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    half = len(PLAIN) // 2
    packed = pack(PLAIN[:half]) + pack(b"") + pack(PLAIN[half:])
    assert expand(packed, tmp_path) == PLAIN
    if pack is gzip.compress or pack is lzma.compress:
        assert expand(packed + bytes(2048), tmp_path) == PLAIN


def test_cut_and_damaged_streams_fail_the_archive(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = pack(PLAIN)
    for keep in (20, 1000, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ArchiveError):
            expand(packed[:keep], tmp_path)
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0x20
    with pytest.raises(ArchiveError, match="damaged"):
        expand(bytes(damaged), tmp_path)
    with pytest.raises(ArchiveError, match=r"damaged|cut off"):
        expand(pack(PLAIN.rstrip(b"\0")) + b"garbage", tmp_path)  # no end marker: members may be in it
    assert list(LocalStorage(tmp_path).list("")) == []


def test_a_bomb_is_stopped(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    bomb = pack(raw_header("big.bmp", 60_000_000) + bytes(60_000_000))
    limits = ExpandLimits(max_ratio=20, free_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError) as caught:
            expand(bomb, tmp_path, limits)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code == "archive_bomb"
    with pytest.raises(ArchiveError, match="taken for a bomb"):
        expand(pack(PLAIN), tmp_path, ExpandLimits(max_bytes=1_000_000))
    assert list(LocalStorage(tmp_path).list("")) == []


def test_expanding_holds_constant_memory_and_reports(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    access, reports = BytesAccess(pack(PLAIN)), list[int]()
    tracemalloc.start()
    try:
        with LocalStorage(tmp_path).writer("plain") as writer:
            expand_tar(access, sniff_codec(access.data) or Codec.GZIP, writer, ExpandLimits(), reports.append)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert reports == sorted(reports)
    assert reports[-1] == access.size


def test_xz_headers_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    packed = lzma.compress(
        PLAIN[:100_000], filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "mf": lzma.MF_HC3, "nice_len": 3}]
    )
    with pytest.raises(ArchiveError, match="emory"):
        expand(packed, tmp_path)


# Anything at all

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=120)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=10), st.sampled_from(FORMATS[1:]))
@settings(max_examples=150, deadline=None)
def test_what_tarfile_writes_is_read_back(files: list[tuple[str, bytes]], format: int) -> None:
    members = [(f"{number}/{name}x.jpg", b"." + data) for number, (name, data) in enumerate(files)]
    archive = archive_of(tar_of(members, format))
    found = [(member.name, outcome(archive, member)) for member in archive.members()]
    assert len(found) + archive.skipped == len(members)
    assert [pair for pair in found if pair[1] is not ItemErrorCode.UNSAFE_PATH] == [pair for pair in members if pair in found]


SAMPLE = tar_of([("a" * 150, b"a"), ("ü\udcff.jpg", bytes(700)), ("c.jpg", b"c")], tarfile.GNU_FORMAT)[:-8192]
SAMPLES = [SAMPLE, tar_of([("a" * 150, b"a"), ("ü.jpg", bytes(700))])[:-7168], gzip.compress(SAMPLE), lzma.compress(SAMPLE)]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        if not data:
            break
    header = draw(st.booleans()) and len(data) >= 512
    if header:  # make the damage count: a header whose checksum is right
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


@given(mutations())
@settings(max_examples=400, deadline=None)
def test_no_damage_raises_anything_but_coded_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """And nothing reads on and on: each byte is read about once."""
    access = BytesAccess(b"")
    try:
        if sniff_codec(data) is not None:
            data = expand(data, tmp_path_factory.getbasetemp() / "fuzz", ExpandLimits(max_bytes=10_000_000))
        access = BytesAccess(data)
        found = outcomes(TarArchive(access, 100_000))
        assert all(isinstance(result, ItemErrorCode) or len(result) <= 100_000 for result in found.values())
    except ArchiveError:
        pass
    assert access.bytes_read <= 2 * access.size
    assert len(access.requests) <= 64
