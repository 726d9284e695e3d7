"""Files as one ZIP that is made while it is sent: stored, its length known before (PKWARE APPNOTE 6.3.10)."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dermq.errors import UnreadableError
from dermq.files import BLOCK_BYTES, file_stream, unreadable

_UTF8 = 0x800  # bit 11 of the flags, APPNOTE 4.4.4
_UNIX = 3  # "version made by" of APPNOTE 4.4.2: the attributes are a Unix mode
_LOCAL, _CENTRAL, _END, _END64 = 30, 46, 22, 56 + 20  # fixed parts of headers, APPNOTE 4.3.7, 4.3.12, 4.3.14 to 4.3.16
_DESCRIPTOR, _DESCRIPTOR64 = 16, 24  # APPNOTE 4.3.9, with its signature
_EXTRA64_LOCAL = 20  # APPNOTE 4.5.3: both sizes


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: its name there, its place here, its size in bytes."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Measure:
    """What a ZIP of some files will be.

    Attributes:
        size: its length in bytes.
        identity: a hash of names, sizes and times of the files.
    """

    size: int
    identity: str


def measure(entries: Iterable[Entry]) -> Measure:
    """The length of `zip_stream(entries)`, and what tells these files from others. No file is opened.

    Raises:
        UnreadableError: a file may not be looked at.
    """
    length = _Length()
    digest = hashlib.sha256()
    for entry in entries:
        length.add(entry)
        digest.update(f"{entry.name!r} {entry.size} {_status(entry).st_mtime_ns}\n".encode())
    return Measure(length.total(), digest.hexdigest())


class _Length:
    """Adds up what zipfile writes to a sink that cannot be rewound, ZIP64 where zipfile takes it."""

    def __init__(self) -> None:
        self._count = self._offset = self._central = 0

    def add(self, entry: Entry) -> None:
        name, limit = len(os.fsencode(entry.name)), zipfile.ZIP64_LIMIT
        is_long = entry.size * 1.05 > limit  # zipfile leaves room for a compression that makes it longer
        extra = 8 * (2 * (entry.size > limit) + (self._offset > limit))
        self._central += _CENTRAL + name + (extra and 4 + extra)
        self._offset += _LOCAL + name + (_EXTRA64_LOCAL if is_long else 0)
        self._offset += entry.size + (_DESCRIPTOR64 if is_long else _DESCRIPTOR)
        self._count += 1

    def total(self) -> int:
        is_long = self._count > zipfile.ZIP_FILECOUNT_LIMIT or max(self._offset, self._central) > zipfile.ZIP64_LIMIT
        return self._offset + self._central + (_END64 if is_long else 0) + _END


def zip_stream(entries: Iterable[Entry], *, as_listed: bool = False) -> Iterator[bytes]:
    """Files as a stored ZIP, block by block (APPNOTE 4.3.9: sizes follow the data, as the sink cannot be rewound).

    Links, pipes and the like are entries of their kind without content, so that the server gives them their row.

    Args:
        entries: the files, in the order of the ZIP.
        as_listed: a file of another size than its entry's is an error; else it goes as it is.

    Yields:
        Blocks of at most about a megabyte.

    Raises:
        UnreadableError: a file cannot be read.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # write() and flush() do
        for entry in entries:
            info = _zip_info(entry)
            with archive.open(info, "w") as target:
                blocks = file_stream(entry.path) if stat.S_ISREG(info.external_attr >> 16) else iter(())
                for block in _as_listed(entry, blocks) if as_listed else blocks:
                    target.write(block)
                    yield from sink.drain()
            yield from sink.drain()
    yield from sink.drain(everything=True)


def _as_listed(entry: Entry, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks, if they are as many bytes as the entry has."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > entry.size:
            break
        yield block
    if size != entry.size:
        raise UnreadableError(
            f"{entry.path} had {entry.size} bytes, and then {'more' if size > entry.size else size}: it was changed meanwhile; "
            "submit again once nothing writes there"
        )


def _status(entry: Entry) -> os.stat_result:
    try:
        return entry.path.lstat()
    except OSError as error:
        raise unreadable(error) from error


def _zip_info(entry: Entry) -> zipfile.ZipInfo:
    status = _status(entry)
    info = _EntryInfo(entry.name, _zip_time(status.st_mtime))
    info.file_size = entry.size  # decides on ZIP64 before the first byte
    info.create_system = _UNIX
    info.external_attr = status.st_mode << 16
    return info


class _EntryInfo(zipfile.ZipInfo):
    """An entry whose name is the file's own bytes, flagged as UTF-8: DermQ reads odd ones as it reads a folder's."""

    __slots__ = ()

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return os.fsencode(self.filename), self.flag_bits | _UTF8


class _Sink:
    """The unseekable file that zipfile writes to: keeps blocks until they are drained."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> int:
        self._blocks.append(bytes(data))
        self._bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back from drain()."""

    def drain(self, *, everything: bool = False) -> Iterator[bytes]:
        """What came since, joined; small headers wait for company."""
        if self._bytes >= BLOCK_BYTES // 4 or (everything and self._bytes):
            block = b"".join(self._blocks)
            self._blocks.clear()
            self._bytes = 0
            yield block


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """A file's modification time; ZIP knows the years 1980 to 2107."""
    moment = time.gmtime(seconds)
    if not 1980 <= moment.tm_year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)
