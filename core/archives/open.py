"""From a reference to the archive: the one way in, at prepare (members) and at classify (read)."""

from __future__ import annotations

from pathlib import Path

from core.archives.allowlist import allowed_root, check_place
from core.archives.base import Archive, ArchiveKind, ArchiveRef
from core.archives.beneath import RootFolder
from core.archives.folder import FolderArchive
from core.archives.manifest import ManifestArchive, S3Root
from core.archives.s3_prefix import S3Objects, S3PrefixArchive
from core.archives.single import SingleImage
from core.archives.source import open_source
from core.archives.tar import TarArchive
from core.archives.zip import ZipArchive
from core.errors import ArchiveError, JobErrorCode, NotFoundError
from core.settings import Settings
from core.storage.base import ObjectStorage, RandomAccess


def open_archive(ref: ArchiveRef, storage: ObjectStorage, settings: Settings) -> Archive:
    """Open without listing.

    Raises:
        ArchiveError: code "archive_gone", the file has been deleted, or a link stands where there was none.
        ForbiddenSourceError: the operator does not allow this place (any more).
        StorageUnavailableError: its place does not answer.
    """
    max_bytes = settings.image.max_bytes
    check_place(ref.where, ref.location, settings.api)
    if ref.kind is ArchiveKind.FOLDER:
        folder = Path(ref.location)
        return FolderArchive(folder, max_bytes, allowed_root(folder, settings.api))
    if ref.kind is ArchiveKind.S3_PREFIX:
        return S3PrefixArchive(ref.location, settings.storage, max_bytes)
    try:
        access = open_source(ref.where, ref.location, storage, settings)
    except NotFoundError as error:
        raise ArchiveError(
            f"{ref.name or ref.location}: the archive is gone: {error}", code=JobErrorCode.ARCHIVE_GONE
        ) from error
    try:
        return _open_file(ref, access, settings)
    except BaseException:
        access.close()
        raise


def _open_file(ref: ArchiveRef, access: RandomAccess, settings: Settings) -> Archive:
    max_bytes = settings.image.max_bytes
    if ref.kind is ArchiveKind.ZIP:
        return ZipArchive(access, max_bytes)
    if ref.kind is ArchiveKind.TAR:
        return TarArchive(access, max_bytes)
    if ref.kind is ArchiveKind.SINGLE:
        return SingleImage(access, ref.name, max_bytes)
    is_s3 = "://" in ref.root  # a folder is an absolute path
    check_place("s3" if is_s3 else "path", ref.root, settings.api)
    files = S3Root(S3Objects(ref.root, settings.storage)) if is_s3 else _root_folder(ref.root, settings)
    return ManifestArchive(access, ref.root, files, max_bytes, ref.path_column)


def _root_folder(location: str, settings: Settings) -> RootFolder:
    return RootFolder(Path(location), allowed_root(Path(location), settings.api))
