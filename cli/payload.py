"""What is sent when a job is submitted: a file as it is, or a folder as a ZIP that is made while it is sent.

Both are produced in constant memory, can be produced again for a second attempt, and are the same bytes each time as long as
the files are: the server compares them under one idempotency key.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.exits import CliError, ExitCode

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Payload:
    """A body that can be streamed several times."""

    name: str  # the job's name
    size: int  # bytes of the body; for a folder the sum of its files, a little less than its ZIP
    exact: bool  # whether `size` is the body's length
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class FolderMember:
    """One file of a folder: its name in the ZIP (relative, POSIX), its path and size."""

    name: str
    path: Path
    size: int


def read_payload(path: Path) -> Payload:
    """Prepare a local file or folder for sending.

    Raises:
        CliError: there is nothing at the path, or the folder holds no file.
    """
    if path.is_dir():
        members = list_folder(path)
        if not members:
            raise CliError(f"{path} holds no file", ExitCode.USAGE, "Name a folder of images, an archive or an image.")
        size = sum(member.size for member in members)
        return Payload(f"{path.resolve().name or 'folder'}.zip", size, False, lambda: zip_stream(members))
    if path.is_file():
        return Payload(path.name, path.stat().st_size, True, lambda: _file_stream(path))
    raise CliError(f"{path} does not exist or is neither a file nor a folder", ExitCode.USAGE, "Check the path.")


def list_folder(root: Path) -> list[FolderMember]:
    """All regular files below a folder in a fixed order. Symbolic links are not followed, so nothing from elsewhere is sent."""
    members = []
    for folder, subfolders, names in os.walk(root, onerror=_refuse, followlinks=False):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                members.append(FolderMember(_portable(path.relative_to(root)), path, path.stat().st_size))
    return members


def zip_stream(members: list[FolderMember]) -> Iterator[bytes]:
    """The members as a stored ZIP, block by block (APPNOTE 4.4.4: sizes follow the data, as the sink cannot be rewound).

    Yields:
        Blocks of at most about a megabyte.

    Raises:
        CliError: a file cannot be read.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # write() and flush() do
        for member in members:
            info = zipfile.ZipInfo(member.name, _zip_time(member.path))
            info.file_size = member.size  # decides on ZIP64 before the first byte
            with archive.open(info, "w") as target:
                for block in _file_stream(member.path):
                    target.write(block)
                    yield from sink.drain()
            yield from sink.drain()
    yield from sink.drain(everything=True)


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


def _zip_time(path: Path) -> tuple[int, int, int, int, int, int]:
    """The file's modification time; ZIP knows the years 1980 to 2107."""
    moment = time.gmtime(path.stat().st_mtime)
    if not 1980 <= moment.tm_year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)


def _portable(path: Path) -> str:
    """A relative path as ZIP keeps it; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _refuse(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> CliError:
    return CliError(f"cannot read {error.filename}: {error.strerror}", ExitCode.USAGE, "Check its permissions.")
