"""What is sent when a job is submitted: a file as it is; a folder, or several files, as a ZIP that is made while it is sent.

All are produced in constant memory, can be produced again for a second attempt, and are the same bytes each time as long as the
files are: the server compares them under one idempotency key.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermq.errors import UnreadableError
from dermq.files import BLOCK_BYTES, file_stream, unreadable
from dermq.zipstream import Entry, measure, zip_stream


@dataclass(frozen=True, slots=True)
class Payload:
    """A body that can be streamed several times.

    Attributes:
        name: the job's name.
        size: bytes of the body; of a ZIP made on the way as its files were listed.
        exact: the body has this length, whatever happens to the files of a folder meanwhile.
        open: gives the body.
        identity: what tells it from others of the same size: of a file its place, and when it was written last; of a ZIP made
            on the way names, sizes and times of its files. Empty for bytes in memory.
        open_listed: gives a body of this length, or an error where the files of a folder have changed. None: `open` does.
    """

    name: str
    size: int
    exact: bool
    open: Callable[[], Iterator[bytes]]
    identity: str = ""
    open_listed: Callable[[], Iterator[bytes]] | None = None


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
    """Files as one ZIP; `entries` lists them anew for each attempt, in the same order.

    Raises:
        UnreadableError: a file may not be looked at.
    """
    found = measure(entries())

    def listed() -> Iterator[bytes]:
        return zip_stream(entries(), as_listed=True)

    return Payload(name, found.size, False, lambda: zip_stream(entries()), found.identity, listed)


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
