"""A folder on the server: every file below it, in the order of its path's bytes, links never followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.archives.base import Member
from core.archives.beneath import RootFolder
from core.archives.notes import ArchiveNote, Notes
from core.archives.screening import Problem, size_problem
from core.archives.skipping import is_skipped
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.storage.scan import EntryKind, scan_sorted

_CLOSED = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)
_MAX_DEPTH = 100  # folders within folders; far above what people make, far below the recursion limit


class FolderArchive:
    """The files below one folder; names are relative POSIX paths."""

    def __init__(self, root: Path, max_bytes: int, top: Path | None = None) -> None:
        """Open the folder.

        Args:
            root: an absolute, resolved path.
            max_bytes: limit for one file.
            top: the allowed folder that `root` is or lies below: a link between them is not followed.

        Raises:
            ArchiveError: code "archive_gone", a link or a file stands in its place.
            StorageUnavailableError: the folder is not there.
        """
        self._root = root
        self._files = RootFolder(root, top)
        self._max_bytes = max_bytes
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Folders and files passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """All files, sorted, in constant memory. Names that are no UTF-8 carry surrogate escapes.

        A folder that is closed to the reader is one failed row, its name with a slash behind it.

        Raises:
            ArchiveError: the folder itself cannot be read, or one below it goes away meanwhile.
        """
        self._skipped = 0
        self._notes.clear()
        return self._walk("", 0)

    def _walk(self, folder: str, depth: int) -> Iterator[Member]:
        if depth > _MAX_DEPTH:
            raise ArchiveError(f"{self._root}: more than {_MAX_DEPTH} folders within folders at {folder[:200]!r}")
        try:
            with self._files.scan(folder) as fd:
                for name, kind in scan_sorted(fd):
                    path = f"{folder}/{name}" if folder else name
                    if kind is EntryKind.FOLDER:
                        self._skipped += 1
                        yield from self._walk(path, depth + 1)
                    elif self._passes_over(fd, path, kind):
                        self._skipped += 1
                    else:
                        yield self._member(fd, path, kind)
        except OSError as error:
            if is_skipped(f"{folder}/…"):
                return  # litter may be closed to us
            if folder and error.errno in _CLOSED:
                text = f"the folder cannot be read, nor any file in it: {error.strerror}; let the workers read it"
                yield Member(folder + "/", error=ItemErrorCode.NOT_FOUND, error_text=text)
                return
            raise ArchiveError(f"{self._root / folder}: the folder cannot be read: {error.strerror}") from error

    def _passes_over(self, folder: int, path: str, kind: EntryKind) -> bool:
        if is_skipped(path):
            self._notes.add(ArchiveNote.ENTRIES_SKIPPED, example=path)
            return True
        if kind is EntryKind.LINK and _leads_to_folder(folder, path.rpartition("/")[2]):
            self._notes.add(ArchiveNote.LINKS_SKIPPED, example=path)
            return True
        return False

    def _member(self, folder: int, path: str, kind: EntryKind) -> Member:
        size, problem = 0, None
        if kind is EntryKind.FILE:
            try:
                size = os.stat(path.rpartition("/")[2], dir_fd=folder, follow_symlinks=False).st_size
                problem = size_problem(size, self._max_bytes)
            except FileNotFoundError:
                problem = ItemErrorCode.NOT_FOUND, "deleted while the folder was listed"
            except PermissionError as error:
                problem = ItemErrorCode.NOT_FOUND, f"cannot be read: {error.strerror}; let the workers read its folder"
        else:
            problem = _kind_problem(kind)
        code, text = problem or (None, "")
        return Member(path, packed_size=size, size=size, error=code, error_text=text)

    def read(self, member: Member) -> bytes:
        """The file's bytes as they are now.

        Raises:
            ItemError: what the listing already knew, or gone, grown too large, empty, replaced by a link.
            StorageUnavailableError: the file system does not answer.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        return self._files.read(member.name, self._max_bytes)

    def close(self) -> None:
        """Release the folder."""
        self._files.close()


def _leads_to_folder(folder: int, link: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(link, dir_fd=folder).st_mode)
    except OSError:  # it leads nowhere, or in a circle
        return False


def _kind_problem(kind: EntryKind) -> Problem:
    what = "a symbolic link; links are not followed" if kind is EntryKind.LINK else "a pipe, a socket or a device"
    return ItemErrorCode.UNSAFE_PATH, f"expected a regular file, got {what}"
