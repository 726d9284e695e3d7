"""Files below a root folder, opened so that no link and no '..' can lead outside, whoever renames what meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ArchiveError, ItemError, ItemErrorCode, JobErrorCode, StorageUnavailableError

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block the open
_WAY_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC  # O_PATH: a folder that may only be crossed
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EINVAL)


def open_below(top: Path, path: Path, flags: int) -> int:
    """A descriptor of `path`, which is `top` or lies below it, whatever is renamed meanwhile: no link below `top` is followed.

    Raises:
        OSError: it cannot be opened; ELOOP or ENOTDIR where a link stands.
        ValueError: `path` does not lie there.
    """
    parts = path.relative_to(top).parts
    if ".." in parts:
        raise ValueError(f"expected a path below {top}, got {path}")
    if not parts:
        return os.open(top, flags)
    folder = os.open(top, _WAY_FLAGS)
    try:
        for name in parts[:-1]:
            deeper = os.open(name, _WAY_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


class RootFolder:
    """Regular files by path relative to one root. Each folder on the way is opened without following links."""

    def __init__(self, root: Path, top: Path | None = None) -> None:
        """Open the root itself.

        Args:
            root: an absolute path.
            top: the allowed folder that `root` is or lies below; no link between them is followed. None: links are followed.

        Raises:
            ArchiveError: code "archive_gone", a link or a file stands in its place.
            StorageUnavailableError: it is not there (not mounted, say).
        """
        self._root = root
        try:
            self._fd = open_below(top or root, root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if top is not None and error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ArchiveError(
                    f"{root}: the folder is gone; a link or a file stands in its place, and links are not followed",
                    code=JobErrorCode.ARCHIVE_GONE,
                ) from error
            raise StorageUnavailableError(f"{root}: the folder cannot be opened: {error.strerror}; is it mounted?") from error

    @contextmanager
    def scan(self, relative: str) -> Iterator[int]:
        """A descriptor of a folder below the root ("" is the root itself), to be listed while the context lasts.

        Raises:
            OSError: it cannot be opened, or a link stands in its place.
        """
        fd = os.open(".", _FOLDER_FLAGS, dir_fd=self._fd)
        try:
            for name in relative.split("/") if relative else ():
                deeper = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    def size(self, relative: str) -> int:
        """Bytes of a regular file.

        Raises:
            ItemError: NOT_FOUND, or UNSAFE_PATH (a link or a device).
            StorageUnavailableError: the file system does not answer.
        """
        with self._open(relative) as fd:
            return os.fstat(fd).st_size

    def read(self, relative: str, max_bytes: int) -> bytes:
        """A regular file's bytes, whole.

        Raises:
            ItemError: NOT_FOUND, UNSAFE_PATH (a link or a device), TOO_LARGE, EMPTY.
            StorageUnavailableError: the file system does not answer.
        """
        with self._open(relative) as fd:
            pieces: list[bytes] = []
            total = 0
            expected = os.fstat(fd).st_size
            if expected <= max_bytes:
                while piece := os.read(fd, max(expected - total, 0) + 1):
                    pieces.append(piece)
                    total += len(piece)
                    if total > max_bytes:
                        break
            else:
                total = expected
        if total > max_bytes:
            raise ItemError(ItemErrorCode.TOO_LARGE, f"more than {max_bytes:,} bytes, the limit for one image")
        if total == 0:
            raise ItemError(ItemErrorCode.EMPTY, "no bytes at all")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @contextmanager
    def _open(self, relative: str) -> Iterator[int]:
        *folders, leaf = relative.split("/")
        opened: list[int] = []
        try:
            parent = self._fd
            for folder in folders:
                parent = _open_at(parent, folder, _FOLDER_FLAGS)
                opened.append(parent)
            opened.append(_open_at(parent, leaf, _FILE_FLAGS))
            if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
                raise ItemError(ItemErrorCode.UNSAFE_PATH, "expected a regular file, got a folder, a pipe or a device")
            yield opened[-1]
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise ItemError(ItemErrorCode.NOT_FOUND, f"cannot be opened: {error.strerror}") from error
            raise StorageUnavailableError(f"{self._root}: reading {relative!r}: {error.strerror}") from error
        finally:
            for fd in opened:
                os.close(fd)

    def close(self) -> None:
        """Release the root; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _open_at(parent: int, name: str, flags: int) -> int:
    """openat, with a coded failure for links. Linux answers ELOOP for a link as file, ENOTDIR for one as folder."""
    if name in ("", ".", "..") or "\0" in name:
        raise ItemError(ItemErrorCode.UNSAFE_PATH, f"expected the name of a file or folder, got {name!r}")
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and _is_link(parent, name):
            raise ItemError(ItemErrorCode.UNSAFE_PATH, "a symbolic link; links are not followed") from error
        if error.errno == errno.ENXIO:
            raise ItemError(ItemErrorCode.UNSAFE_PATH, "expected a regular file, got a socket") from error
        raise


def _is_link(parent: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
