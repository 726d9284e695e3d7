"""What is sent when a job is submitted: a file as it is, or a folder as a ZIP that is made while it is sent.

Both are produced in constant memory, can be produced again for a second attempt, and are the same bytes each time as long as
the files are: the server compares them under one idempotency key.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.output.exit_codes import CliError, ExitCode
from core.archives.base import Member
from core.archives.folder import FolderArchive
from core.errors import ArchiveError, StorageUnavailableError

BLOCK_BYTES = 1 << 20
_UTF8 = 0x800  # bit 11 of the flags, APPNOTE 4.4.4
_UNIX = 3  # "version made by" of APPNOTE 4.4.2: the attributes are a Unix mode


@dataclass(frozen=True, slots=True)
class Payload:
    """A body that can be streamed several times."""

    name: str  # the job's name
    size: int  # bytes of the body; for a folder the sum of its files, a little less than its ZIP
    exact: bool  # whether `size` is the body's length
    open: Callable[[], Iterator[bytes]]


def read_payload(path: Path) -> Payload:
    """Prepare a local file or folder for sending.

    Raises:
        CliError: there is nothing at the path, or the folder holds no file.
    """
    if path.is_dir():
        count, size = _measure(path)
        if not count:
            raise CliError(f"{path} holds no file", ExitCode.USAGE, "Name a folder of images, an archive or an image.")
        return Payload(f"{path.resolve().name or 'folder'}.zip", size, False, lambda: zip_stream(path))
    if path.is_file():
        return Payload(path.name, path.stat().st_size, True, lambda: _file_stream(path))
    raise CliError(f"{path} does not exist or is neither a file nor a folder", ExitCode.USAGE, "Check the path.")


def list_folder(root: Path) -> Iterator[Member]:
    """What a server would find in the folder if it read it itself: the same names, the same order, links not followed.

    Raises:
        CliError: a folder cannot be read.
    """
    archive = FolderArchive(root.resolve(), max_bytes=sys.maxsize)
    try:
        yield from archive.members()
    except (ArchiveError, StorageUnavailableError) as error:
        raise CliError(str(error), ExitCode.USAGE, "Check its permissions.") from error
    finally:
        archive.close()


def _measure(root: Path) -> tuple[int, int]:
    """Files and bytes of a folder."""
    count = size = 0
    for member in list_folder(root):
        count, size = count + 1, size + member.size
    return count, size


def zip_stream(root: Path) -> Iterator[bytes]:
    """A folder as a stored ZIP, block by block (APPNOTE 4.3.9: sizes follow the data, as the sink cannot be rewound).

    Links, pipes and the like are entries of their kind without content, so that the server gives them their row.

    Yields:
        Blocks of at most about a megabyte.

    Raises:
        CliError: a file cannot be read.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # write() and flush() do
        for member in list_folder(root):
            path = root / member.name
            info = _zip_info(path, member)
            with archive.open(info, "w") as target:
                for block in _file_stream(path) if stat.S_ISREG(info.external_attr >> 16) else ():
                    target.write(block)
                    yield from sink.drain()
            yield from sink.drain()
    yield from sink.drain(everything=True)


def _zip_info(path: Path, member: Member) -> zipfile.ZipInfo:
    try:
        status = path.lstat()
    except OSError as error:
        raise _unreadable(error) from error
    info = _EntryInfo(member.name, _zip_time(status.st_mtime))
    info.file_size = member.size  # decides on ZIP64 before the first byte
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


def _file_stream(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise _unreadable(error) from error


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """A file's modification time; ZIP knows the years 1980 to 2107."""
    moment = time.gmtime(seconds)
    if not 1980 <= moment.tm_year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)


def _unreadable(error: OSError) -> CliError:
    return CliError(f"cannot read {error.filename}: {error.strerror}", ExitCode.USAGE, "Check its permissions.")
