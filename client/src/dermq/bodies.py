"""What is sent when a job is submitted: a file as it is; a folder, or several files, as a ZIP that is made while it is sent.

All are produced in constant memory, can be produced again for a second attempt, and are the same bytes each time as long as the
files are: the server compares them under one idempotency key.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermq.errors import UnreadableError

BLOCK_BYTES = 1 << 20
_UTF8 = 0x800  # bit 11 of the flags, APPNOTE 4.4.4
_UNIX = 3  # "version made by" of APPNOTE 4.4.2: the attributes are a Unix mode


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: its name there, its place here, its size in bytes."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Payload:
    """A body that can be streamed several times."""

    name: str  # the job's name
    size: int  # bytes of the body; of a ZIP made on the way the sum of its files, a little less than its length
    exact: bool  # whether `size` is the body's length
    open: Callable[[], Iterator[bytes]]
    identity: str = ""  # of a file: its place, and when it was written last


def read_payload(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Payload:
    """Prepare a file, a folder, or several of both.

    Raises:
        UnreadableError: there is nothing at a path, or nothing to send in it.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_file():
            return file_payload(path)
        sources, name = [path], path.resolve().name or "folder"
    else:
        sources = [Path(each) for each in source]
        name = f"{len(sources)} files"
    entries = list_entries(sources)
    if not entries:
        raise UnreadableError(f"{', '.join(map(str, sources)) or 'the list'} holds no file: name images or an archive")
    return zip_payload(f"{name}.zip", lambda: iter(entries))


def file_payload(path: Path) -> Payload:
    """One file, sent as it is.

    Raises:
        UnreadableError: it is not there (any more), or may not be looked at.
    """
    try:
        status, place = path.stat(), path.resolve()
    except OSError as error:
        raise unreadable(error) from error
    identity = f"{place} {status.st_dev}:{status.st_ino} {status.st_mtime_ns}"
    return Payload(path.name, status.st_size, True, lambda: file_stream(path), identity)


def bytes_payload(data: bytes, name: str) -> Payload:
    """Bytes in memory."""
    return Payload(name, len(data), True, lambda: (data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)))


def zip_payload(name: str, entries: Callable[[], Iterator[Entry]]) -> Payload:
    """Files as one ZIP; `entries` lists them anew for each attempt, in the same order."""
    return Payload(name, sum(entry.size for entry in entries()), False, lambda: zip_stream(entries()))


def list_entries(sources: Sequence[Path]) -> list[Entry]:
    """The files of several paths, each name once.

    A folder's files are named by their path within it; of several sources, behind the folder's own name.

    Raises:
        UnreadableError: a path does not exist, or two files would have the same name.
    """
    found: dict[str, Entry] = {}
    for source in sources:
        for entry in _entries_of(source, alone=len(sources) == 1):
            if (other := found.get(entry.name)) is not None:
                if other.path.resolve() == entry.path.resolve():
                    continue
                raise UnreadableError(f"two files are named {entry.name}: {other.path} and {entry.path}; rename one")
            found[entry.name] = entry
    return list(found.values())


def _entries_of(source: Path, *, alone: bool) -> Iterator[Entry]:
    if source.is_dir():
        prefix = "" if alone else f"{source.resolve().name}/"
        yield from (Entry(prefix + name, path, _size(path)) for name, path in walk(source))
    elif source.is_file():
        place = source.resolve()  # a link that is named is followed, as if it were named alone
        yield Entry(source.name, place, _size(place))
    else:
        raise UnreadableError(f"{source} does not exist or is neither a file nor a folder: check the path")


def walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Names (relative, with slashes) and paths of all that a folder holds but folders, sorted; links are not followed."""

    def refuse(error: OSError) -> None:
        raise unreadable(error) from error

    found = []
    for folder, _, names in os.walk(root, onerror=refuse):
        found += [Path(folder) / name for name in names]
    named = sorted((os.fsencode(path.relative_to(root).as_posix()), path) for path in found)
    return ((os.fsdecode(name), path) for name, path in named)


def _size(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError as error:
        raise unreadable(error) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def zip_stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Files as a stored ZIP, block by block (APPNOTE 4.3.9: sizes follow the data, as the sink cannot be rewound).

    Links, pipes and the like are entries of their kind without content, so that the server gives them their row.

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
                for block in file_stream(entry.path) if stat.S_ISREG(info.external_attr >> 16) else ():
                    target.write(block)
                    yield from sink.drain()
            yield from sink.drain()
    yield from sink.drain(everything=True)


def _zip_info(entry: Entry) -> zipfile.ZipInfo:
    try:
        status = entry.path.lstat()
    except OSError as error:
        raise unreadable(error) from error
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


def file_stream(path: Path) -> Iterator[bytes]:
    """A file's bytes in blocks of a megabyte.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise unreadable(error, path) from error


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """A file's modification time; ZIP knows the years 1980 to 2107."""
    moment = time.gmtime(seconds)
    if not 1980 <= moment.tm_year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)


def unreadable(error: OSError, path: Path | None = None) -> UnreadableError:
    """What the system says of a file, as an error of this package; `path` where the error may name none."""
    return UnreadableError(f"cannot read {error.filename or path}: {error.strerror}")
