"""Archives: damaged ones against what was packed and against zipfile and tarfile.

Every member's bytes are its own, so that a name with another member's bytes shows. Wrong is: other bytes than were packed under
that name, a member that is gone without an error, a failed row or a note, an error without a code.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import traceback
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import py7zr

from core.archives.base import Archive
from core.archives.compressed import ExpandLimits, expand_tar, sniff_codec
from core.archives.notes import Notes
from core.archives.sevenzip import expand_7z
from core.archives.tar import TarArchive
from core.archives.zip import ZipArchive
from core.errors import ItemError, ItemErrorCode, JobError
from core.storage.base import StoredObject
from tests.fuzz import mutations
from tests.fuzz.findings import Finding
from tests.support.archive_bytes import BytesAccess

MAX_BYTES = 1_000_000
_LIMITS = ExpandLimits(free_bytes=20_000_000)
Files = Mapping[str, bytes]


class Memory:
    """An ObjectWriter that keeps the bytes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> StoredObject:
        return StoredObject("", len(self.data), "")

    def abort(self) -> None: ...

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None: ...


@dataclass
class Answer:
    """What DermQ says of an archive."""

    rows: list[tuple[str, bytes | ItemErrorCode]] = field(default_factory=list)
    skipped: int = 0
    noted: int = 0
    refused: bool = False

    @property
    def said_something(self) -> bool:
        return self.refused or self.noted > 0 or any(isinstance(result, ItemErrorCode) for _, result in self.rows)


def ask(open_it: Callable[[Notes], Archive]) -> Answer:
    """List and read everything; raises what has no code."""
    answer, notes = Answer(), Notes()
    try:
        archive = open_it(notes)
        for member in archive.members():
            try:
                answer.rows.append((member.name, archive.read(type(member).from_line(member.to_line()))))
            except ItemError as error:
                answer.rows.append((member.name, error.code))
        answer.skipped = archive.skipped
        answer.noted = len(notes) + len(archive.notes)
    except JobError:
        answer.refused = True
    return answer


def open_zip(data: bytes, _: Notes) -> Archive:
    return ZipArchive(BytesAccess(data), MAX_BYTES)


def open_tar(data: bytes, notes: Notes) -> Archive:
    if (codec := sniff_codec(data)) is None:
        return TarArchive(BytesAccess(data), MAX_BYTES)
    plain = Memory()
    expand_tar(BytesAccess(data), codec, plain, _LIMITS, notes=notes)
    return TarArchive(BytesAccess(bytes(plain.data)), MAX_BYTES)


def open_7z(data: bytes, notes: Notes) -> Archive:
    stored = Memory()
    expand_7z(BytesAccess(data), stored, _LIMITS, MAX_BYTES, notes=notes)
    return ZipArchive(BytesAccess(bytes(stored.data)), MAX_BYTES)


# What is packed, and how


def draw_files(chance: random.Random) -> dict[str, bytes]:
    """Names of every kind; bytes that no other member has."""
    stems = [
        "a.jpg",
        "dir/b.jpg",
        "ü é.jpg",
        "病変/1.png",
        "x" * 120 + ".jpg",
        "dir/sub/c d.tif",
        "__MACOSX/._a.jpg",
        "..x.jpg",
    ]
    files = {}
    for number, stem in enumerate(chance.sample(stems, chance.randint(2, 6))):
        files[f"{stem[:-4]}{number}{stem[-4:]}"] = bytes([number + 1]) * 8 + chance.randbytes(
            chance.choice([1, 100, 505, 1016, 3000])
        )
    return files


def pack_zip(chance: random.Random, files: Files) -> bytes:
    method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    buffer: io.BytesIO = Unseekable() if chance.random() < 0.3 else io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=chance.random() < 0.2) as file:
                file.write(data)
    return buffer.getvalue()


class Unseekable(io.BytesIO):
    """Makes zipfile write data descriptors, as streaming writers do."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("not seekable")

    def tell(self) -> int:
        raise OSError("not seekable")


def pack_tar(chance: random.Random, files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=chance.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pack_7z(chance: random.Random, files: Files) -> bytes:
    buffer = io.BytesIO()
    kinds = [[{"id": py7zr.FILTER_COPY}], [{"id": py7zr.FILTER_LZMA2, "preset": 1}], [{"id": py7zr.FILTER_DEFLATE}]]
    with py7zr.SevenZipFile(buffer, "w", filters=chance.choice(kinds)) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return buffer.getvalue()


# The targets


def judge(target: str, data: bytes, files: Files, open_it: Callable[[bytes, Notes], Archive]) -> tuple[Answer, list[Finding]]:
    """Hold the answer against what was packed."""
    try:
        answer = ask(lambda notes: open_it(data, notes))
    except Exception:  # noqa: BLE001 - this is what is looked for
        return Answer(refused=True), [Finding(target, "no code", traceback.format_exc(limit=-2), data)]
    findings = []
    for name, result in answer.rows:
        if isinstance(result, bytes) and name in files and result != files[name]:
            kind = "wrong name" if result in files.values() else "wrong bytes"
            findings.append(Finding(target, kind, repr(name), data))
        elif isinstance(result, bytes) and name not in files and result in files.values():
            findings.append(Finding(target, "wrong name", repr(name), data))
    if len(answer.rows) + answer.skipped < len(files) and not answer.said_something:
        findings.append(Finding(target, "lost", f"{len(answer.rows)} of {len(files)}", data))
    return answer, findings


def fuzz_zip(chance: random.Random) -> list[Finding]:
    """ZIP: CRC-32 and two headers say what was packed, whatever was damaged."""
    files = draw_files(chance)
    data = pack_zip(chance, files)
    for _ in range(chance.randint(0, 2)):
        data = (mutations.blind if chance.random() < 0.4 else mutations.zip_fields)(chance, data)
    answer, findings = judge("zip", data, files, open_zip)
    return findings + _against_zipfile(data, answer)


def _against_zipfile(data: bytes, answer: Answer) -> list[Finding]:
    """What both read must be the same; what zipfile lists must have its row."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
    except Exception:  # noqa: BLE001 - zipfile raises whatever its parsing runs into
        return []
    if not answer.refused and len(answer.rows) + answer.skipped != len(infos):
        return [Finding("zip", "lost", f"zipfile lists {len(infos)}, DermQ {len(answer.rows)} + {answer.skipped}", data)]
    return []


def fuzz_tar(chance: random.Random) -> list[Finding]:
    """TAR: only headers have a checksum, so bytes are held against tarfile's."""
    files = draw_files(chance)
    data = pack_tar(chance, files)
    if chance.random() < 0.3:
        more = {f"more/{name}": content + b"more" for name, content in files.items()}
        end = chance.choice([len(data), len(data.rstrip(b"\0")) // 512 * 512 + 1024])
        data = data[:end] + pack_tar(chance, more)
    change = chance.random()
    if change < 0.45:
        data = mutations.blind(chance, data)
    elif change < 0.9:
        data = mutations.tar_header(chance, data)
    try:
        answer = ask(lambda notes: open_tar(data, notes))
    except Exception:  # noqa: BLE001 - this is what is looked for
        return [Finding("tar", "no code", traceback.format_exc(limit=-2), data)]
    return _against_tarfile(data, answer)


def _against_tarfile(data: bytes, answer: Answer) -> list[Finding]:
    read, listed = [], 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", ignore_zeros=True, errors="surrogateescape") as archive:
            for info in archive:
                listed += 1
                is_file = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
                file = archive.extractfile(info) if is_file and not info.issparse() else None
                read.append((info.name, file.read() if file else None))
    except Exception:  # noqa: BLE001, S110 - tarfile raises whatever its parsing runs into; what it has read counts
        pass
    findings = []
    names = [name for name, _ in read]
    for name, result in answer.rows:
        if isinstance(result, bytes) and name in names and (name, result) not in read:
            findings.append(Finding("tar", "wrong bytes", repr(name), data))
    if len(answer.rows) + answer.skipped < listed and not answer.said_something:
        findings.append(Finding("tar", "lost", f"tarfile lists {listed}, DermQ {len(answer.rows)} + {answer.skipped}", data))
    return findings


def fuzz_packed_tar(chance: random.Random) -> list[Finding]:
    """Compressed TARs, one or two in a row: their checksums say what was packed."""
    files = draw_files(chance)
    packers = [gzip.compress, bz2.compress, lzma.compress]
    first = data = chance.choice(packers)(pack_tar(chance, files))
    first_files = files
    if chance.random() < 0.5:
        more = {f"more/{name}": content + b"more" for name, content in files.items()}
        data += bytes(chance.choice([0, 0, 4, 512])) + chance.choice(packers)(pack_tar(chance, more))
        files = files | more
    if chance.random() < 0.9:
        data = mutations.blind(chance, data)
    if data.startswith(first) and not data[len(first) :].strip(b"\0"):  # cut off in the padding: nobody can see that
        files = first_files
    if sniff_codec(data) is None:
        return []
    return judge("packed tar", data, files, open_tar)[1]


def fuzz_7z(chance: random.Random) -> list[Finding]:
    """7z: checksums over the list of members and over each member."""
    files = draw_files(chance)
    data = pack_7z(chance, files)
    if chance.random() < 0.9:
        data = mutations.blind(chance, data)
    return judge("7z", data, files, open_7z)[1]


def archive_targets() -> dict[str, Callable[[random.Random], list[Finding]]]:
    """All of them."""
    return {"zip": fuzz_zip, "tar": fuzz_tar, "packed tar": fuzz_packed_tar, "7z": fuzz_7z}
