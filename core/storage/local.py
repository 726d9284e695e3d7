"""Object storage in a local folder: objects are files, made visible by an atomic rename once they are on the disk."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import NotFoundError, StorageUnavailableError
from core.storage.base import ObjectInfo, StoredObject
from core.storage.keys import check_key
from core.storage.scan import EntryKind, scan_sorted

_INCOMING = ".incoming"  # unfinished writes: on the same file system, so that the rename is atomic
_FLUSH_BYTES = 8 * 1024 * 1024
_ORPHAN_AGE_S = 3600.0
_MOVE_TRIES = 100
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)


@contextmanager
def _read_errors(what: str) -> Iterator[None]:
    """Translate OSError: what is missing is not found, all else is an outage."""
    try:
        yield
    except OSError as error:
        raise _translated(what, error) from error


def _translated(what: str, error: OSError) -> NotFoundError | StorageUnavailableError:
    if error.errno in _GONE:
        return NotFoundError(f"{what}: no such object ({error.strerror})")
    return StorageUnavailableError(f"{what}: {error.strerror or error}")


@contextmanager
def _write_errors(what: str) -> Iterator[None]:
    """Translate OSError: full, read-only, not mounted: all of it is an outage."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"{what}: {error.strerror or error}") from error


def closest_there(folder: Path) -> Path:
    """The folder, or the closest of its parents that is there: it will lie on the same disk."""
    return next(path for path in (folder, *folder.parents) if path.exists())


class LocalFile:
    """A regular file read by range with pread; it keeps its content even if the name is replaced meanwhile."""

    def __init__(self, path: Path, label: str = "", *, opener: Callable[[Path, int], int] = os.open) -> None:
        """Open `path`.

        Args:
            path: the file.
            label: its name in messages; the path if empty.
            opener: makes a descriptor of a path and flags, as os.open does; raises OSError.

        Raises:
            NotFoundError: there is no regular file of that name.
            StorageUnavailableError: it cannot be opened.
        """
        self._label = label or str(path)
        with _read_errors(self._label):
            self._fd = opener(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block the open
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise NotFoundError(f"{self._label}: expected a regular file, got something else")
        self._size = status.st_size

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""
        length = min(length, self._size - offset)
        if offset < 0 or length <= 0:
            return b""
        try:  # not `_read_errors`: a generator costs as much as the read of a small image
            data = os.pread(self._fd, length, offset)
            if len(data) == length:
                return data
            pieces = [data]  # one pread returns at most 2 GiB, and fewer bytes when a signal comes
            while data and (missing := length - sum(map(len, pieces))) > 0:
                data = os.pread(self._fd, missing, offset + length - missing)
                pieces.append(data)
        except OSError as error:
            raise _translated(self._label, error) from error
        return b"".join(pieces)

    def close(self) -> None:
        """Release the descriptor; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class LocalWriter:
    """Writes to a temporary file; commit() syncs it, renames it to its key and syncs the folder."""

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self._key = key
        self._size = 0
        self._unflushed = 0
        self._hash = hashlib.sha256()
        self._temporary = root / _INCOMING / uuid.uuid4().hex
        with _write_errors(f"{root}: writing {key!r}"):
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._fd, fcntl.LOCK_EX)  # held by the living: see LocalStorage.remove_orphans

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._fd < 0:
            raise ValueError(f"{self._key!r}: this write was committed or aborted already")
        with _write_errors(f"{self._root}: writing {self._key!r}"):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        self._hash.update(data)
        self._size += len(data)
        self._unflushed += len(data)
        if self._unflushed >= _FLUSH_BYTES:
            self._start_flush()

    def _start_flush(self) -> None:
        # Linux starts to write dirty pages back on this advice, without waiting: the disk works while more bytes come in, and
        # the fsync of commit() finds little left to do.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, self._size - self._unflushed, self._unflushed, os.POSIX_FADV_DONTNEED)
        self._unflushed = 0

    def commit(self) -> StoredObject:
        """Make the object visible, durably and whole."""
        if self._fd < 0:
            raise ValueError(f"{self._key!r}: this write was committed or aborted already")
        target = self._root / self._key
        try:
            with _write_errors(f"{self._root}: committing {self._key!r}"):
                os.fsync(self._fd)
                self._move_to(target)
        except BaseException:
            self.abort()
            raise
        self._close()
        return StoredObject(self._key, self._size, self._hash.hexdigest())

    def _move_to(self, target: Path) -> None:
        for tries_left in reversed(range(_MOVE_TRIES)):
            try:
                _make_folder(target.parent)
                self._temporary.replace(target)
                break
            except FileNotFoundError:  # a concurrent delete() took a folder that was empty until now
                if not tries_left:
                    raise
        with suppress(FileNotFoundError):  # as above, and the object with it
            _sync_folder(target.parent)

    def abort(self) -> None:
        """Leave no trace. Does nothing after commit()."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                self._temporary.unlink()
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abort()


class LocalStorage:
    """Objects as files below one root folder, which processes may share (and machines, on a network file system)."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, key: str) -> LocalWriter:
        """Start a streaming write that replaces what is under the key."""
        return LocalWriter(self._root, _own_key(key))

    def open(self, key: str) -> LocalFile:
        """Open for reading by range.

        Raises:
            NotFoundError: no such object.
        """
        return LocalFile(self._root / _own_key(key), label=key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in key order (as bytes)."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        yield from self._walk(folder, prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        with _read_errors(f"{self._root}: listing {folder!r}"):
            if not (self._root / folder).is_dir():
                return
            for name, kind in scan_sorted(self._root / folder):
                key = f"{folder}/{name}" if folder else name
                if key == _INCOMING:
                    continue
                if kind is EntryKind.FOLDER and (key + "/").startswith(prefix[: len(key) + 1]):
                    yield from self._walk(key, prefix)
                elif kind is EntryKind.FILE and key.startswith(prefix):
                    with suppress(FileNotFoundError):  # deleted since the scan
                        yield ObjectInfo(key, (self._root / key).stat().st_size)

    def delete(self, key: str) -> None:
        """Remove one object, and the folders that it leaves empty; a missing one is no error."""
        path = self._root / _own_key(key)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, NotADirectoryError):
            return  # no object of that key
        except OSError as error:
            if path.is_dir():  # EPERM is what POSIX asks for, and macOS returns, for a folder
                return
            raise StorageUnavailableError(f"{self._root}: deleting {key!r}: {error.strerror}") from error
        for parent in path.parents:
            if parent == self._root:
                break
            try:
                parent.rmdir()
            except OSError:  # not empty, or gone: in either case there is nothing left to tidy
                break

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below a prefix; returns how many."""
        count = 0
        for info in self.list(prefix):
            self.delete(info.key)
            count += 1
        return count

    def check(self) -> None:
        """Raise StorageUnavailableError unless the folder can be written."""
        with LocalWriter(self._root, "check") as probe:
            probe.write(b"dermq")

    def remove_orphans(self, older_than_s: float = _ORPHAN_AGE_S) -> int:
        """Remove what killed processes left unfinished; returns how many. Safe beside running writers, which hold a lock.

        Args:
            older_than_s: seconds since the last write to the file.
        """
        count = 0
        folder = self._root / _INCOMING
        if not folder.is_dir():
            return 0
        for name, kind in scan_sorted(folder):
            path = folder / name
            with suppress(FileNotFoundError, BlockingIOError):  # finished meanwhile, or still being written
                if kind is EntryKind.FILE and time.time() - path.stat().st_mtime >= older_than_s:
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()
                        count += 1
        return count


def _own_key(key: str) -> str:
    if check_key(key).split("/", 1)[0] == _INCOMING:
        raise ValueError(f"expected a storage key outside {_INCOMING}/, which is for unfinished writes, got {key!r}")
    return key


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with suppress(FileExistsError):  # another writer's; exist_ok would raise if a delete() has taken it by now
            path.mkdir()
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
