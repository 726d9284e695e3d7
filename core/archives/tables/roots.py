"""Where the images of a table lie: below a folder, or below an s3:// prefix."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from core.archives.beneath import RootFolder
from core.archives.s3_prefix import S3Objects
from core.errors import StorageUnavailableError

_CLOSED_TO_US = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_MAX_DEPTH = 100  # folders within folders


class Files(Protocol):
    """Files below one root, by relative path."""

    listed: bool  # whether only a listing says what is there

    def size(self, relative: str) -> int:
        """Bytes of a file, -1 if that is unknown until it is read; ItemError if it is not there or may not be read."""
        ...

    def read(self, relative: str, max_bytes: int) -> bytes:
        """A file's bytes; errors as in RootFolder.read."""
        ...

    def walk(self) -> Iterator[tuple[str, int]]:
        """(relative path, size in bytes) of each file, in any order."""
        ...

    def is_folder(self, relative: str) -> bool:
        """Whether a folder, and no link to one, bears this name."""
        ...

    def close(self) -> None: ...


class FolderRoot:
    """Files below a folder."""

    listed = False

    def __init__(self, root: Path, files: RootFolder) -> None:
        """`files` reads below `root`; closed with this."""
        self._root = root
        self._files = files

    def size(self, relative: str) -> int:
        """Bytes of a regular file; errors as in RootFolder.size."""
        return self._files.size(relative)

    def read(self, relative: str, max_bytes: int) -> bytes:
        """A file's bytes; errors as in RootFolder.read."""
        return self._files.read(relative, max_bytes)

    def walk(self) -> Iterator[tuple[str, int]]:
        """All regular files that can be listed; links are not followed, sizes are given as -1.

        Raises:
            StorageUnavailableError: the file system does not answer.
        """
        return self._walk("", 0)

    def _walk(self, folder: str, depth: int) -> Iterator[tuple[str, int]]:
        folders: list[str] = []
        try:
            with os.scandir(self._root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        yield path, -1
        except OSError as error:
            if error.errno not in _CLOSED_TO_US:
                raise StorageUnavailableError(f"{self._root / folder}: cannot be listed: {error.strerror}") from error
        if depth < _MAX_DEPTH:
            for path in folders:
                yield from self._walk(path, depth + 1)

    def is_folder(self, relative: str) -> bool:
        """Whether a folder, and no link to one, bears this name."""
        path = self._root / relative
        return path.is_dir() and not path.is_symlink()

    def close(self) -> None:
        """Release the folder."""
        self._files.close()


class S3Root:
    """Objects below an s3:// prefix. What is there is known by a listing: a request per row would cost far more."""

    listed = True

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    def size(self, relative: str) -> int:  # noqa: ARG002 - as its sibling
        """-1: unknown until it is read."""
        return -1

    def read(self, relative: str, max_bytes: int) -> bytes:
        """The object's bytes; errors as in S3Objects.read."""
        return self._objects.read(relative, max_bytes)

    def walk(self) -> Iterator[tuple[str, int]]:
        """All objects, a page of a thousand at a time.

        Raises:
            ArchiveError: they cannot be listed.
            StorageUnavailableError: the server does not answer.
        """
        return ((name, size) for name, size in self._objects.list() if not name.endswith("/"))

    def is_folder(self, relative: str) -> bool:  # noqa: ARG002 - as its sibling
        """Never: S3 has no folders."""
        return False

    def close(self) -> None:
        """Nothing is held."""
