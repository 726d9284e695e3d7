"""What is sent when a job is submitted: a file as it is, or a folder as a ZIP with the names that a server would find in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cli.http.problems import client_error
from cli.output.exit_codes import CliError, ExitCode
from core.archives.base import Member
from core.archives.folder import FolderArchive
from core.errors import ArchiveError, StorageUnavailableError
from dermq.bodies import Payload, file_payload, zip_payload
from dermq.bodies import read_payload as paths_payload
from dermq.errors import UnreadableError
from dermq.zipstream import Entry


def read_payload(path: Path, *more: Path) -> Payload:
    """Prepare a local file, a folder, or several of both for sending.

    Raises:
        CliError: there is nothing at the path, or the folder holds no file; of several, two would have the same name.
    """
    try:
        return _prepare(path, more)
    except UnreadableError as error:
        raise client_error(error) from error


def _prepare(path: Path, more: tuple[Path, ...]) -> Payload:
    if more:
        return paths_payload((path, *more))
    if path.is_dir():
        if next(list_folder(path), None) is None:
            raise CliError(f"{path} holds no file", ExitCode.USAGE, "Name a folder of images, an archive or an image.")
        return zip_payload(f"{path.resolve().name or 'folder'}.zip", lambda: folder_entries(path))
    if path.is_file():
        return file_payload(path)
    raise CliError(f"{path} does not exist or is neither a file nor a folder", ExitCode.USAGE, "Check the path.")


def folder_entries(root: Path) -> Iterator[Entry]:
    """The files of a folder, as entries of a ZIP."""
    return (Entry(member.name, root / member.name, member.size) for member in list_folder(root))


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
