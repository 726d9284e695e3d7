"""Archives of 7-Zip: read through a ZIP of stored members, bounded, each failure with its code."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import py7zr
import pytest

from core.archives.base import Archive, ArchiveKind
from core.archives.compressed import ExpandLimits
from core.archives.detect import prepare_archive
from core.archives.notes import ArchiveNote, Notes
from core.archives.open import open_archive
from core.errors import ArchiveError, ItemErrorCode
from core.settings import ImageLimits, Settings
from core.storage.local import LocalStorage
from tests.support.archive_bytes import outcomes

FILES = {f"sub {n}/é{n}.jpg": random.Random(n).randbytes(30_000) for n in range(12)} | {
    "病変.png": bytes(200_000),
    "a.txt": b"text",
}
LIMIT = 1_000_000

Packing = Callable[[Path, Path], bytes]


def written_by_py7zr(folder: Path, files: dict[str, bytes] = FILES, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return buffer.getvalue()


def written_by_7z(folder: Path, *options: str, files: dict[str, bytes] = FILES) -> bytes:
    program = shutil.which("7z")
    if program is None:
        pytest.skip("needs 7z: apt-get install p7zip-full")
    for name, data in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(data)
    subprocess.run([program, "a", "-bd", *options, "../out.7z", "."], cwd=folder / "in", check=True, stdout=subprocess.DEVNULL)
    return (folder / "out.7z").read_bytes()


def opened(data: bytes, folder: Path, limits: ExpandLimits | None = None) -> tuple[Archive, Notes]:
    storage, notes, settings = LocalStorage(folder / "objects"), Notes(), Settings(image=ImageLimits(max_bytes=LIMIT))
    with storage.writer("upload") as writer:
        writer.write(data)
        writer.commit()
    source = {"kind": "upload", "key": "upload", "filename": "images.7z"}
    ref = prepare_archive(source, storage, "jobs/1/plain", settings, limits=limits, notes=notes)
    assert (ref.kind, ref.where) == (ArchiveKind.ZIP, "storage")
    return open_archive(ref, storage, settings), notes


def found_in(data: bytes, folder: Path) -> dict[str, bytes | ItemErrorCode]:
    archive, notes = opened(data, folder)
    result = outcomes(archive)
    archive.close()
    assert len(notes) == 0
    return result


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-ms=off",),
        ("-mx=9",),
        ("-mx=1",),
        ("-m0=Copy",),
        ("-m0=LZMA",),
        ("-m0=BZip2",),
        ("-m0=Deflate",),
        ("-m0=BCJ", "-m1=LZMA2"),
        ("-m0=Delta:4", "-m1=LZMA2"),
        ("-mhc=off",),
        ("-mmt=4", "-ms=100k"),
    ],
    ids=" ".join,
)
def test_what_7z_packs_is_read(options: tuple[str, ...], tmp_path: Path) -> None:
    archive, notes = opened(written_by_7z(tmp_path, *options), tmp_path)
    assert outcomes(archive) == FILES
    assert archive.skipped == 12  # folders
    assert (len(notes), len(archive.notes)) == (0, 0)
    archive.close()


def test_what_py7zr_packs_is_read(tmp_path: Path) -> None:
    assert found_in(written_by_py7zr(tmp_path), tmp_path) == FILES


def test_empty_archives_folders_and_files(tmp_path: Path) -> None:
    assert found_in(written_by_py7zr(tmp_path, {}), tmp_path) == {}
    files = {"empty.jpg": b"", "__MACOSX/._x": b"x", "a.jpg": b"a", "Thumbs.db": b"x"}
    archive, _ = opened(written_by_py7zr(tmp_path, files), tmp_path)
    assert outcomes(archive) == {"empty.jpg": ItemErrorCode.EMPTY, "a.jpg": b"a"}
    assert (archive.skipped, archive.notes[ArchiveNote.ENTRIES_SKIPPED]) == (2, 2)
    archive.close()


def test_links_are_failed_rows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.jpg").symlink_to("/etc/passwd")
    data = written_by_7z(tmp_path, "-snl", files={"a.jpg": b"a"})
    assert found_in(data, tmp_path) == {"a.jpg": b"a", "link.jpg": ItemErrorCode.UNSAFE_PATH}


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/passwd", "a/../../b.jpg", "C:/a.jpg"])
def test_unsafe_names_are_failed_rows(name: str, tmp_path: Path) -> None:
    packed = written_by_py7zr(tmp_path, {"x" * len(name): b"a", "b.jpg": b"b"}, filters=[{"id": py7zr.FILTER_COPY}])
    header_name, wanted = ("x" * len(name)).encode("utf-16-le"), name.encode("utf-16-le")
    data = with_plain_header(tmp_path, {"x" * len(name): b"a", "b.jpg": b"b"}, header_name, wanted)
    assert packed[:6] == data[:6]
    assert found_in(data, tmp_path) == {name: ItemErrorCode.UNSAFE_PATH, "b.jpg": b"b"}


def with_plain_header(folder: Path, files: dict[str, bytes], old: bytes, new: bytes) -> bytes:
    """An archive whose unpacked header holds `new` for `old`, with right checksums."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", filters=[{"id": py7zr.FILTER_COPY}]) as archive:
        archive.set_encoded_header_mode(False)
        for name, data in files.items():
            archive.writestr(data, name)
    result = bytearray(buffer.getvalue())
    offset, size = int.from_bytes(result[12:20], "little"), int.from_bytes(result[20:28], "little")
    start = 32 + offset
    header = bytes(result[start : start + size])
    assert old in header
    result[start : start + size] = header.replace(old, new)
    result[28:32] = zlib.crc32(result[start : start + size]).to_bytes(4, "little")
    result[8:12] = zlib.crc32(result[12:32]).to_bytes(4, "little")
    return bytes(result)


def test_encrypted_members_are_failed_rows_and_an_encrypted_list_fails_the_job(tmp_path: Path) -> None:
    found = found_in(written_by_py7zr(tmp_path, password="secret"), tmp_path)
    assert found == dict.fromkeys(FILES, ItemErrorCode.ENCRYPTED)
    with pytest.raises(ArchiveError, match=r"encrypted, the list of its members included: pack it again") as caught:
        opened(written_by_py7zr(tmp_path, password="secret", header_encryption=True), tmp_path)
    assert caught.value.code == "encrypted_archive"


def test_methods_that_are_not_supported_are_named(tmp_path: Path) -> None:
    archive, _ = opened(written_by_py7zr(tmp_path, filters=[{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24}]), tmp_path)
    members = list(archive.members())
    archive.close()
    assert {member.error for member in members} == {ItemErrorCode.UNSUPPORTED_FORMAT}
    assert "of 7z other than Copy, LZMA, LZMA2" in members[0].error_text


def test_members_that_are_too_large_are_not_written(tmp_path: Path) -> None:
    files = {"big.bmp": bytes(LIMIT + 1), "a.jpg": b"a"}
    assert found_in(written_by_py7zr(tmp_path, files), tmp_path) == {"big.bmp": ItemErrorCode.TOO_LARGE, "a.jpg": b"a"}
    assert [info.size < 1000 for info in LocalStorage(tmp_path / "objects").list("jobs/")] == [True]


def test_damage_fails_the_members_it_hits(tmp_path: Path) -> None:
    files = {f"{n}.jpg": random.Random(n).randbytes(100_000) for n in range(10)}
    data = bytearray(written_by_py7zr(tmp_path, files, filters=[{"id": py7zr.FILTER_COPY}]))
    data[32 + 350_000] ^= 1
    assert found_in(bytes(data), tmp_path) == files | {"3.jpg": ItemErrorCode.BAD_CHECKSUM}
    solid = bytearray(written_by_py7zr(tmp_path, files))
    solid[32 + 350_000] ^= 1
    found = found_in(bytes(solid), tmp_path)
    assert [name for name in files if found[name] == files[name]][:3] == ["0.jpg", "1.jpg", "2.jpg"]
    assert {result for name, result in found.items() if result != files[name]} == {ItemErrorCode.BAD_CHECKSUM}


def test_what_is_cut_off_or_damaged_fails_the_job(tmp_path: Path) -> None:
    data = written_by_py7zr(tmp_path)
    for wrong in (data[:-1], data[: len(data) // 2], data[:33]):
        with pytest.raises(ArchiveError, match="it is cut off, or one part of several"):
            opened(wrong, tmp_path)
    for place in (9, 20, len(data) - 3):
        with pytest.raises(ArchiveError, match=r"damaged|cut off"):
            opened(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], tmp_path)
    with pytest.raises(ArchiveError, match="first 32 bytes"):
        opened(data[:20], tmp_path)


def test_bytes_behind_the_archive_are_noted(tmp_path: Path) -> None:
    archive, notes = opened(written_by_py7zr(tmp_path) + b"x" * 77, tmp_path)
    assert outcomes(archive) == FILES
    assert notes[ArchiveNote.TRAILING_BYTES] == 77
    archive.close()


def test_bombs_are_refused_and_memory_is_bounded(tmp_path: Path) -> None:
    data = written_by_py7zr(tmp_path, {"zeros.jpg": bytes(60_000_000)})
    with pytest.raises(ArchiveError) as caught:
        opened(data, tmp_path, ExpandLimits(free_bytes=1_000_000))
    assert caught.value.code == "archive_bomb"
    assert [info.key for info in LocalStorage(tmp_path / "objects").list("")] == ["upload"]
    tracemalloc.start()
    try:
        archive, _ = opened(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert outcomes(archive) == {"zeros.jpg": ItemErrorCode.TOO_LARGE}
    archive.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_raises_anything_but_coded_errors(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    files = {"a.jpg": b"a" * 500, "b/ü.jpg": bytes(range(256)), "c.jpg": chance.randbytes(100)}
    plain = with_plain_header(tmp_path, files, b"a\0.\0", b"a\0.\0")
    offset = 32 + int.from_bytes(plain[12:20], "little")
    for _ in range(60):
        data = bytearray(plain)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(offset if chance.random() < 0.8 else 12, len(data))
            data[place] = chance.choice([0, 1, 255, chance.randrange(256)])
        data[28:32] = zlib.crc32(data[offset:]).to_bytes(4, "little")
        data[8:12] = zlib.crc32(data[12:32]).to_bytes(4, "little")
        try:
            archive, _ = opened(bytes(data), tmp_path, ExpandLimits(free_bytes=10_000_000))
        except ArchiveError:
            continue
        assert all(isinstance(result, (bytes, ItemErrorCode)) for result in outcomes(archive).values())
        archive.close()
