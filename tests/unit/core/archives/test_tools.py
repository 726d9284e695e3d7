"""Archives that real programs write, drawn here: every one is read whole, with the names and bytes that went in.

PowerShell, Finder and Java are not at hand: their layouts are written field by field as those programs write them.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.archives.base import Archive
from core.archives.detect import prepare_archive
from core.archives.notes import ArchiveNote, Notes
from core.archives.open import open_archive
from core.errors import ArchiveError
from core.settings import Settings
from core.storage.local import LocalStorage
from tests.support.archive_bytes import RawEntry, outcomes, raw_zip

FILES = {
    "a.jpg": random.Random(1).randbytes(70_000),
    "sub dir/b c.png": b"text that shrinks " * 3000,
    "sub dir/deep/ü é ß.jpg": random.Random(2).randbytes(900),
    "病変/001.tif": random.Random(3).randbytes(1),
    "n" * 120 + "/" + "m" * 120 + ".jpg": random.Random(4).randbytes(5000),
    "-dash.jpg": b"dash",
}
PACKAGES = {"7z": "p7zip-full", "zip": "zip", "bsdtar": "libarchive-tools", "tar": "tar"}

ZIP_COMMANDS: dict[str, Sequence[str]] = {
    "7z deflate": ("7z", "a", "-bd", "-tzip", "OUT", "."),
    "7z deflate64": ("7z", "a", "-bd", "-tzip", "-mm=Deflate64", "OUT", "."),
    "7z bzip2": ("7z", "a", "-bd", "-tzip", "-mm=BZip2", "OUT", "."),
    "7z lzma": ("7z", "a", "-bd", "-tzip", "-mm=LZMA", "OUT", "."),
    "7z xz": ("7z", "a", "-bd", "-tzip", "-mm=xz", "OUT", "."),
    "7z store": ("7z", "a", "-bd", "-tzip", "-mm=Copy", "OUT", "."),
    "7z cp437 names": ("7z", "a", "-bd", "-tzip", "-mcl=off", "-mcu=on", "OUT", "."),
    "Info-ZIP": ("zip", "-qr", "OUT", "."),
    "Info-ZIP store": ("zip", "-qr0", "OUT", "."),
    "Info-ZIP bzip2": ("zip", "-qr", "-Z", "bzip2", "OUT", "."),
    "Info-ZIP streamed": ("sh", "-c", "zip -qr - . > OUT"),
    "Info-ZIP streamed zip64": ("sh", "-c", "zip -qr -fz - . > OUT"),
    "Info-ZIP without extra fields": ("zip", "-qrX", "OUT", "."),
    "Info-ZIP without folders": ("zip", "-qrD", "OUT", "."),
    "bsdtar": ("bsdtar", "-cf", "OUT", "--format=zip", "."),
    "bsdtar streamed": ("sh", "-c", "bsdtar -cf - --format=zip . > OUT"),
    "bsdtar store": ("bsdtar", "-cf", "OUT", "--format=zip", "--options=zip:compression=store", "."),
}
TAR_COMMANDS: dict[str, Sequence[str]] = {
    "GNU tar": ("tar", "-cf", "OUT", "."),
    "GNU tar, posix": ("tar", "-cf", "OUT", "--format=posix", "."),
    "GNU tar, oldgnu": ("tar", "-cf", "OUT", "--format=oldgnu", "."),
    "GNU tar, gzip": ("tar", "-czf", "OUT", "."),
    "GNU tar, bzip2": ("tar", "-cjf", "OUT", "."),
    "GNU tar, xz": ("tar", "-cJf", "OUT", "."),
    "GNU tar, label": ("tar", "-cf", "OUT", "--label=volume", "."),
    "GNU tar, incremental": ("tar", "-cf", "OUT", "--listed-incremental=../snapshot", "."),
    "GNU tar, blocks": ("tar", "-cf", "OUT", "-b", "200", "."),
    "GNU tar, appended": ("sh", "-c", "tar -cf OUT ./a.jpg && tar -rf OUT --exclude=./a.jpg ."),
    "bsdtar, pax": ("bsdtar", "-cf", "OUT", "--format=pax", "."),
    "bsdtar, gnutar": ("bsdtar", "-cf", "OUT", "--format=gnutar", "."),
    "7z": ("sh", "-c", "7z a -bd -ttar OUT.tar . && mv OUT.tar OUT"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def packed(command: Sequence[str], folder: Path) -> bytes:
    """The archive that a command writes of a folder. Skips where the program is missing."""
    text, output = " ".join(command), folder.parent / "out"
    for program, package in PACKAGES.items():
        if program in text.split() and shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {package}")
    arguments = [part.replace("OUT", str(output)) for part in command]
    arguments[0] = shutil.which(arguments[0]) or arguments[0]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    subprocess.run(arguments, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    found = [path for path in (output, output.with_suffix(".zip")) if path.exists()]
    return found[0].read_bytes()


def opened(data: bytes, folder: Path, name: str) -> tuple[Archive, Notes]:
    storage, notes = LocalStorage(folder), Notes()
    with storage.writer("upload") as writer:
        writer.write(data)
        writer.commit()
    source = {"kind": "upload", "key": "upload", "filename": name}
    ref = prepare_archive(source, storage, "jobs/1/plain", Settings(), notes=notes)
    return open_archive(ref, storage, Settings()), notes


def read(data: bytes, folder: Path, name: str = "images") -> tuple[dict[str, object], dict[str, int]]:
    """Names (without ./) and what was read, and the notes."""
    archive, notes = opened(data, folder, name)
    found = outcomes(archive)
    notes.extend(archive.notes)
    archive.close()
    return {name.removeprefix("./"): result for name, result in found.items()}, {str(n.code): n.count for n in notes}


@pytest.mark.parametrize("tool", ZIP_COMMANDS)
def test_zip_files_of_real_programs(tool: str, folder: Path, tmp_path: Path) -> None:
    assert read(packed(ZIP_COMMANDS[tool], folder), tmp_path / "objects") == (FILES, {})


@pytest.mark.parametrize("tool", TAR_COMMANDS)
def test_tar_files_of_real_programs(tool: str, folder: Path, tmp_path: Path) -> None:
    found, notes = read(packed(TAR_COMMANDS[tool], folder), tmp_path / "objects")
    assert found == FILES
    assert notes == ({"entries_skipped": 1} if "label" in tool else {})


def test_archives_that_real_programs_have_changed(folder: Path, tmp_path: Path) -> None:
    """Info-ZIP deletes and replaces members: the directory's order and the members' differ, and gaps stay."""
    data = packed(
        ("sh", "-c", "zip -qr OUT . && zip -qd OUT.zip ./a.jpg a.jpg && cp a.jpg z.jpg && zip -qr OUT.zip z.jpg"), folder
    )
    expected = {name: content for name, content in FILES.items() if name != "a.jpg"} | {"z.jpg": FILES["a.jpg"]}
    assert read(data, tmp_path / "objects") == (expected, {})


def test_self_extracting_archives(folder: Path, tmp_path: Path) -> None:
    data = packed(("zip", "-qr", "OUT", "."), folder)
    found, notes = read(b"#!/bin/sh\n" + b"exit 0\n" * 2000 + data, tmp_path / "objects")
    assert (found, notes) == (FILES, {"leading_bytes": 14_010})
    stub = folder.parent / "stub"
    stub.write_bytes(b"MZ" + bytes(4998))
    adjusted = packed(("sh", "-c", "zip -qr ../x . && cat ../stub ../x.zip > OUT.zip && zip -qA OUT.zip"), folder)
    assert read(adjusted, tmp_path / "objects") == (FILES, {"leading_bytes": 5000})


def test_powershells_backslashes(tmp_path: Path) -> None:
    """Compress-Archive of Windows PowerShell 5 (.NET before 4.6.1): host FAT, backslashes, UTF-8 flagged only where needed."""
    entries = [
        RawEntry(name.replace("/", "\\").encode(), data, flags=0 if name.isascii() else 0x800, host=0)
        for name, data in FILES.items()
    ]
    found, notes = read(raw_zip(entries), tmp_path)
    assert found == FILES
    assert notes == {str(ArchiveNote.NAMES_NORMALISED): sum("/" in name for name in FILES)}


def streamed_zip(entries: Sequence[RawEntry], *, extra: bytes = b"") -> bytes:
    """As java.util.zip and Archive Utility write: bit 3, zeros in the local header, a data descriptor behind the data."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        flags, offset, packed_data = entry.flags | 8, len(body), entry.packed
        numbers = struct.pack("<LLL", zlib.crc32(entry.data), len(packed_data), len(entry.data))
        fixed = struct.pack("<HHHHH", 20, flags, entry.method, 0x4A21, 0x5721)
        body += b"PK\3\4" + fixed + bytes(12) + struct.pack("<HH", len(entry.name), len(extra)) + entry.name + extra
        body += packed_data + b"PK\7\x08" + numbers
        directory += b"PK\1\2" + struct.pack("<H", entry.host << 8 | 21) + fixed + numbers
        directory += (
            struct.pack("<HHHHHLL", len(entry.name), len(extra), 0, 0, 0, entry.attributes, offset) + entry.name + extra
        )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return bytes(body + directory) + end


def test_javas_streams(tmp_path: Path) -> None:
    entries = [RawEntry(name.encode(), data, flags=0x800, host=0) for name, data in FILES.items()]
    assert read(streamed_zip(entries), tmp_path) == (FILES, {})


def test_finders_layout(tmp_path: Path) -> None:
    """Archive Utility: NFD names in UTF-8 without the flag, a resource fork beside each file, folders as entries."""
    import unicodedata

    files = {unicodedata.normalize("NFD", name): data for name, data in FILES.items()}
    entries = [RawEntry(b"sub dir/", b"", method=0, attributes=0o40755 << 16)]
    for name, data in files.items():
        fork = f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}".replace("//", "/")
        entries += [RawEntry(name.encode(), data), RawEntry(fork.encode(), b"\0\5\x16\7" + bytes(50))]
    times = struct.pack("<HHLLHH", 0x5855, 12, 1, 1, 501, 20)  # Info-ZIP's old Unix field
    assert read(streamed_zip(entries, extra=times), tmp_path) == (files, {"entries_skipped": len(files)})


def test_split_archives_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    packed(("sh", "-c", "zip -qr -s 64k OUT.zip . && touch OUT"), folder)
    packed(("sh", "-c", "7z a -bd -v64k OUT.7z . && touch OUT"), folder)
    parts = sorted(folder.parent.glob("out.*"))
    assert len(parts) >= 4
    for part in parts:
        with pytest.raises(ArchiveError, match=r"join the parts"):
            read(part.read_bytes(), tmp_path / "objects", part.name)
