"""TAR files that hold more than one archive, end early, lie or hold odd entries: no member is lost without a word."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.archives.compressed import ExpandLimits, expand_tar, sniff_codec
from core.archives.inflate import zstd_module
from core.archives.notes import ArchiveNote, Notes
from core.archives.sniff import Content, sniff
from core.archives.tar import TarArchive
from core.errors import ArchiveError, ItemErrorCode
from core.storage.local import LocalStorage
from tests.support.archive_bytes import BytesAccess, outcomes

ZERO = bytes(512)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def entry(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def whole(*names: str) -> bytes:
    """A TAR as tarfile writes it, end marker and padding included; each member's data are its name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    return buffer.getvalue()


def archive_of(data: bytes) -> TarArchive:
    return TarArchive(BytesAccess(data), 10_000_000)


def notes_of(archive: TarArchive) -> dict[str, int]:
    return {str(note.code): note.count for note in archive.notes}


def named(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


# More than one archive


def test_archives_in_a_row_are_all_read() -> None:
    archive = archive_of(whole("a.jpg", "b.jpg") + whole("c.jpg") + whole() + whole("d.jpg"))
    assert outcomes(archive) == named("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert notes_of(archive) == {"archives_joined": 2}


@pytest.mark.parametrize("zeros", [1, 2, 3, 20, 5000])
def test_zeros_between_members_lose_none(zeros: int) -> None:
    archive = archive_of(entry("a.jpg", b"a.jpg") + ZERO * zeros + entry("b.jpg", b"b.jpg") + ZERO * 2)
    assert outcomes(archive) == named("a.jpg", "b.jpg")
    assert notes_of(archive) == {"lone_zero_blocks" if zeros == 1 else "archives_joined": 1}


def test_what_one_archive_says_of_all_its_members_holds_for_no_other() -> None:
    record = b"11 size=10\n"
    first = entry("g", record, tarfile.XGLTYPE) + header("a.jpg", 0) + b"0123456789" + bytes(502)
    archive = archive_of(first + ZERO * 2 + entry("b.jpg", b"b.jpg") + ZERO * 2)
    assert outcomes(archive) == {"a.jpg": b"0123456789", "b.jpg": b"b.jpg"}


@pytest.mark.parametrize("behind", [b"x", b"garbage" * 1000, b"\0" * 700 + b"x", gzip.compress(whole("b.jpg"))], ids=len)
def test_bytes_behind_the_end_marker_are_noted(behind: bytes) -> None:
    archive = archive_of(whole("a.jpg") + behind)
    assert outcomes(archive) == named("a.jpg")
    assert notes_of(archive) == {"trailing_bytes": len(behind) - (512 if behind.startswith(b"\0") else 0)}


def test_zeros_alone_behind_the_end_marker_are_padding() -> None:
    archive = archive_of(whole("a.jpg") + bytes(3_000_001))
    assert outcomes(archive) == named("a.jpg")
    assert notes_of(archive) == {}


def test_leading_zeros_hide_no_archive() -> None:
    data = ZERO + whole("a.jpg")
    assert sniff(BytesAccess(data), "upload") is Content.TAR
    assert outcomes(archive_of(data)) == named("a.jpg")


# Early ends and lies


def test_a_missing_end_marker_is_noted() -> None:
    for keep in (1024, 1024 + 100):
        archive = archive_of(whole("a.jpg")[:keep])
        assert outcomes(archive) == named("a.jpg")
        assert notes_of(archive) == {"end_missing": 1}


def test_a_member_that_claims_more_than_is_there_is_said_twice() -> None:
    archive = archive_of(entry("a.jpg", b"a.jpg") + header("b.jpg", 1 << 60) + entry("c.jpg", b"c"))
    assert outcomes(archive) == {"a.jpg": b"a.jpg", "b.jpg": ItemErrorCode.TRUNCATED}
    assert notes_of(archive) == {"archive_cut": (1 << 60) - 1024}


@pytest.mark.parametrize(("name", "kind"), [("._x", b"0"), ("dump", b"D"), ("__MACOSX/x", b"0"), ("s.jpg", b"S"), ("m", b"M")])
def test_an_entry_without_a_row_of_its_own_that_claims_more_is_noted_too(name: str, kind: bytes) -> None:
    archive = archive_of(entry("a.jpg", b"a.jpg") + header(name, 1 << 40, kind) + entry("c.jpg", b"c"))
    assert outcomes(archive)["a.jpg"] == b"a.jpg"
    assert notes_of(archive)["archive_cut"] == (1 << 40) - 1024


@pytest.mark.parametrize("kind", [b"K", b"L", b"x", b"X", b"g"])
@pytest.mark.parametrize("size", [1 << 60, 2 << 20, 100_000])
def test_extended_headers_that_claim_more_fail_the_archive(kind: bytes, size: int) -> None:
    data = entry("a.jpg", b"a.jpg") + header("././@LongLink", size, kind) + entry("b.jpg", b"b.jpg") + ZERO * 2
    with pytest.raises(ArchiveError, match=r"the limit is|ends within an extended header"):
        list(archive_of(data).members())


@pytest.mark.parametrize("kind", [b"K", b"L", b"x"])
def test_extended_headers_without_their_member_fail_the_archive(kind: bytes) -> None:
    metadata = b"12 path=xyz\n" if kind == b"x" else b"long/name\0"
    for behind in (b"", ZERO * 2, ZERO * 2 + whole("b.jpg")):
        with pytest.raises(ArchiveError, match="has no member behind it"):
            list(archive_of(entry("a.jpg", b"a") + entry("meta", metadata, kind) + behind).members())


# Odd entries


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"5", b"V"])
@pytest.mark.parametrize("stored", [False, True])
def test_entries_that_should_have_no_data_hide_no_member(kind: bytes, stored: bool) -> None:
    """POSIX lets a hard link carry its file; other writers give a size and no data."""
    odd = entry("odd", b"its data", kind) if stored else header("odd", 8, kind)
    archive = archive_of(entry("a.jpg", b"a.jpg") + odd + entry("b.jpg", b"b.jpg") + ZERO * 2)
    found = outcomes(archive)
    assert {name: found[name] for name in ("a.jpg", "b.jpg")} == named("a.jpg", "b.jpg")
    assert notes_of(archive) == ({"entries_skipped": 1} if kind == b"V" else {})


@pytest.mark.parametrize("kind", [b"7", b"\0", b"B", b"z"])
def test_unknown_kinds_are_files(kind: bytes) -> None:
    archive = archive_of(entry("odd.jpg", b"odd.jpg", kind) + entry("b.jpg", b"b.jpg") + ZERO * 2)
    assert outcomes(archive) == named("odd.jpg", "b.jpg")


def test_access_rights_of_solaris_are_no_member() -> None:
    archive = archive_of(entry("a.jpg", b"user::rw-,user:lp:--x", b"A") + entry("a.jpg", b"a.jpg") + ZERO * 2)
    assert outcomes(archive) == named("a.jpg")
    assert [member.size for member in archive.members()] == [5]
    assert notes_of(archive) == {"entries_skipped": 1}


def test_a_dumped_folder_hides_no_member() -> None:
    archive = archive_of(entry("dump/", b"Ya.jpg\0\0", b"D") + entry("a.jpg", b"a.jpg") + ZERO * 2)
    assert outcomes(archive) == named("a.jpg")
    assert (archive.skipped, notes_of(archive)) == (1, {})


def test_a_file_with_a_folders_name_is_a_failed_row() -> None:
    archive = archive_of(entry("sub/", b"data") + entry("v7/", b"") + entry("a.jpg", b"a.jpg") + ZERO * 2)
    assert outcomes(archive) == {"sub/": ItemErrorCode.UNSAFE_PATH, "a.jpg": b"a.jpg"}


def test_litter_is_noted() -> None:
    archive = archive_of(whole("._a.jpg", "a.jpg", ".DS_Store"))
    assert outcomes(archive) == named("a.jpg")
    assert notes_of(archive) == {"entries_skipped": 2}


# Compressed streams in a row


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}
if (zstd := zstd_module()) is not None:
    PACKERS["zstd"] = zstd.compress
    PACKERS["pzstd"] = lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd.compress(data)  # type: ignore[union-attr]


@pytest.fixture(params=PACKERS)
def pack(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    return PACKERS[request.param]


def expanded(data: bytes, folder: Path) -> tuple[dict[str, bytes | ItemErrorCode], Notes]:
    storage, notes = LocalStorage(folder), Notes()
    codec = sniff_codec(data)
    assert codec is not None
    with storage.writer("plain") as writer:
        expand_tar(BytesAccess(data), codec, writer, ExpandLimits(), notes=notes)
        writer.commit()
    archive = TarArchive(storage.open("plain"), 10_000_000)
    found = outcomes(archive)
    notes.extend(archive.notes)
    archive.close()
    return found, notes


@pytest.mark.parametrize("other", PACKERS)
@pytest.mark.parametrize("between", [0, 4, 2000])
def test_packed_archives_in_a_row_are_all_read(
    pack: Callable[[bytes], bytes], other: str, between: int, tmp_path: Path
) -> None:
    found, notes = expanded(pack(whole("a.jpg")) + bytes(between) + PACKERS[other](whole("b.jpg")) + bytes(between), tmp_path)
    assert found == named("a.jpg", "b.jpg")
    assert [(note.code, note.count) for note in notes] == [(ArchiveNote.ARCHIVES_JOINED, 1)]


@pytest.mark.parametrize("behind", [b"x", b"garbage" * 300_000, bytes(100) + b"\r\n", whole("b.jpg")], ids=len)
def test_bytes_behind_packed_data_are_noted(pack: Callable[[bytes], bytes], behind: bytes, tmp_path: Path) -> None:
    found, notes = expanded(pack(whole("a.jpg")) + behind, tmp_path)
    assert found == named("a.jpg")
    assert [(note.code, note.count) for note in notes] == [(ArchiveNote.TRAILING_BYTES, len(behind.lstrip(b"\0")))]


def test_bytes_behind_a_packed_tar_without_end_marker_are_refused(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no end marker"):
        expanded(pack(entry("a.jpg", b"a")) + b"garbage", tmp_path)
    second = bytearray(pack(whole("b.jpg")))
    with pytest.raises(ArchiveError, match=r"cut off|damaged"):
        expanded(pack(whole("a.jpg")) + bytes(second[: len(second) // 2]), tmp_path)
