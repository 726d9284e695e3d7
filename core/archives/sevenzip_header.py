"""The header of a .7z: which files lie in which run of packed bytes. Parsed by py7zr, bounded here.

Layout: 7zFormat.txt of 7-Zip. A *folder* is a run of packed bytes that holds one or (solid) many files; the header itself may
be packed or encrypted.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from py7zr.archiveinfo import FilesInfo, HeaderStreamsInfo, StreamsInfo, read_uint64

from core.errors import ArchiveError
from core.storage.base import RandomAccess

SIGNATURE_BYTES = 32
MAX_HEADER_BYTES = 64 * 1024 * 1024
_MAX_FILES = 500_000  # py7zr holds some 500 bytes for each
_ENCODED, _HEADER, _ARCHIVE_PROPERTIES, _ADDITIONAL, _STREAMS, _FILES = 0x17, 0x01, 0x02, 0x03, 0x04, 0x05
_FOLDER_ATTRIBUTE, _LINK_ATTRIBUTE, _UNIX_ATTRIBUTE = 0x10, 0x400, 0x8000


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file: its size in bytes, its CRC-32 if the archive has one, its Unix mode (of a regular file if unknown)."""

    name: bytes  # UTF-8
    size: int
    crc32: int | None
    mode: int


@dataclass(frozen=True, slots=True)
class Coder:
    """One step of unpacking: its method's number and properties."""

    method: bytes
    properties: bytes


@dataclass(frozen=True, slots=True)
class PackedRun:
    """A folder: packed bytes, the steps to unpack them in order ((): it takes more than one stream), the files inside."""

    offset: int
    packed_size: int
    size: int
    coders: tuple[Coder, ...]
    files: list[PackedFile]


Unpacker = Callable[[PackedRun], bytes]


@dataclass(frozen=True, slots=True)
class SevenZip:
    """Files without bytes, and the runs of the others; `end`: of the archive, in bytes from the file's start."""

    empty: list[PackedFile]
    runs: list[PackedRun]
    end: int


def read_header(access: RandomAccess, unpack: Unpacker) -> SevenZip:
    """Read which files there are.

    Args:
        access: the file.
        unpack: unpacks a run in memory, for a packed header.

    Raises:
        ArchiveError: damaged, cut off, one part of several, encrypted, or too many files.
    """
    signature = access.read_at(0, SIGNATURE_BYTES)
    if len(signature) < SIGNATURE_BYTES or zlib.crc32(signature[12:]) != int.from_bytes(signature[8:12], "little"):
        raise ArchiveError("the 7z archive is damaged: its first 32 bytes contradict their checksum")
    offset, size, crc32 = struct.unpack_from("<QQL", signature, 12)
    end = SIGNATURE_BYTES + offset + size
    if end > access.size:
        text = f"the 7z archive ends {end - access.size:,} bytes early: it is cut off, or one part of several"
        raise ArchiveError(f"{text}; upload it again, or join the parts first")
    if size > MAX_HEADER_BYTES:
        raise ArchiveError(f"the 7z archive's list of members has {size:,} bytes, the limit is {MAX_HEADER_BYTES:,}")
    header = access.read_at(SIGNATURE_BYTES + offset, size)
    if zlib.crc32(header) != crc32:
        raise ArchiveError("the 7z archive is damaged: its list of members contradicts its checksum")
    try:
        while header[:1] == bytes([_ENCODED]):
            header = _unpacked(header, unpack)
        return _parse(header, end)
    except (ArchiveError, MemoryError):
        raise
    except Exception as error:  # py7zr raises Bad7zFile, and whatever its parsing runs into
        raise ArchiveError(f"the 7z archive's list of members is damaged: {error}") from error


def _unpacked(header: bytes, unpack: Unpacker) -> bytes:
    streams = HeaderStreamsInfo.retrieve(io.BytesIO(header[1:]))
    runs = [_run(*found, [PackedFile(b"", found[0].get_unpack_size(), found[0].crc, 0)]) for found in _folders(streams)]
    if sum(run.size for run in runs) > MAX_HEADER_BYTES:
        raise ArchiveError(f"the 7z archive's list of members is larger than {MAX_HEADER_BYTES:,} bytes: use ZIP or TAR")
    return b"".join(map(unpack, runs))


def _parse(header: bytes, end: int) -> SevenZip:
    if not header:
        return SevenZip([], [], end)
    buffer = io.BytesIO(header)
    if buffer.read(1) != bytes([_HEADER]):
        raise ArchiveError(f"the 7z archive's list of members begins with {header[:1].hex()}: damaged")
    kind = buffer.read(1)[0]
    if kind in (_ARCHIVE_PROPERTIES, _ADDITIONAL):
        raise ArchiveError("7z archives with properties or additional streams of their own are not supported: use ZIP or TAR")
    streams = None
    if kind == _STREAMS:
        streams = StreamsInfo.retrieve(buffer)
        kind = buffer.read(1)[0]
    if kind != _FILES:
        return SevenZip([], [], end)
    place = buffer.tell()
    count = read_uint64(buffer)
    if count > _MAX_FILES:
        raise ArchiveError(f"the 7z archive holds {count:,} files, the limit is {_MAX_FILES:,}: use ZIP or TAR")
    buffer.seek(place)
    return _assign(FilesInfo.retrieve(buffer), streams, end)


def _assign(info: Any, streams: Any, end: int) -> SevenZip:
    """Deal the files with bytes to the folders in order."""
    empty_kinds = iter(info.emptyfiles)
    empty = [_file(entry, 0, None, folder=not next(empty_kinds, False)) for entry in info.files if entry["emptystream"]]
    full = iter([entry for entry in info.files if not entry["emptystream"]])
    runs = []
    sizes = _sizes(streams)
    for number, found in enumerate(_folders(streams)):
        files = [_file(next(full), size, crc32, folder=False) for size, crc32 in sizes[number]]
        runs.append(_run(*found, files))
    if next(full, None) is not None:
        raise ArchiveError("the 7z archive names more files than it holds: damaged")
    return SevenZip(empty, runs, end)


def _sizes(streams: Any) -> list[list[tuple[int, int | None]]]:
    """(size, CRC-32) of each file, folder by folder."""
    if streams is None or streams.unpackinfo is None:
        return []
    folders, inner = streams.unpackinfo.folders, streams.substreamsinfo
    if inner is None:
        return [[(folder.get_unpack_size(), folder.crc if folder.digestdefined else None)] for folder in folders]
    sizes = iter(inner.unpacksizes if inner.unpacksizes is not None else [folder.get_unpack_size() for folder in folders])
    digests = iter(zip(inner.digests, inner.digestsdefined, strict=True))
    result = []
    for folder, count in zip(folders, inner.num_unpackstreams_folders, strict=True):
        if count == 0 and inner.unpacksizes is not None:
            next(sizes)  # py7zr gives an empty folder a size, too
        found = []
        for _ in range(count):
            size, (crc32, defined) = next(sizes), next(digests)
            whole = count == 1 and folder.digestdefined
            found.append((size, crc32 if defined else folder.crc if whole else None))
        if any(size < 0 for size, _ in found) or sum(size for size, _ in found) > folder.get_unpack_size():
            raise ArchiveError("the 7z archive's files are larger than the data they lie in: damaged")
        result.append(found)
    return result


def _folders(streams: Any) -> Iterator[tuple[Any, int, int]]:
    """(folder, offset of its packed bytes, their number)."""
    if streams is None or streams.unpackinfo is None or streams.packinfo is None:
        return
    offset, sizes = SIGNATURE_BYTES + streams.packinfo.packpos, iter(streams.packinfo.packsizes)
    for folder in streams.unpackinfo.folders:
        packed = sum(next(sizes) for _ in folder.packed_indices)
        yield folder, offset, packed
        offset += packed


def _run(folder: Any, offset: int, packed_size: int, files: list[PackedFile]) -> PackedRun:
    return PackedRun(offset, packed_size, folder.get_unpack_size(), tuple(_coders(folder)), files)


def _coders(folder: Any) -> Iterator[Coder]:
    """The steps in the order of unpacking; none where a step takes several streams, as BCJ2 does."""
    if len(folder.packed_indices) != 1 or any((c["numinstreams"], c["numoutstreams"]) != (1, 1) for c in folder.coders):
        return
    following = {bond.outcoder: bond.incoder for bond in folder.bindpairs}
    number: int | None = folder.packed_indices[0]
    for _ in folder.coders:
        if number is None or number >= len(folder.coders):
            raise ArchiveError("the 7z archive's steps of packing are not one after the other: damaged")
        yield Coder(folder.coders[number]["method"], folder.coders[number]["properties"] or b"")
        number = following.get(number)


def _file(entry: dict[str, Any], size: int, crc32: int | None, *, folder: bool) -> PackedFile:
    attributes = entry.get("attributes") or 0
    mode = attributes >> 16 if attributes & _UNIX_ATTRIBUTE else 0
    if attributes & _LINK_ATTRIBUTE:
        mode = mode or 0o120777
    name = str(entry.get("filename", "contents")).encode("utf-8", "surrogatepass")
    if size == 0 and (folder or attributes & _FOLDER_ATTRIBUTE):
        name, mode = name.rstrip(b"/") + b"/", 0o040755
    return PackedFile(name, size, crc32, mode or 0o100644)
