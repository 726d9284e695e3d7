"""From a reference to the archive: the one way in, at prepare (members) and at classify (read)."""

from __future__ import annotations

from pathlib import Path

from core.archives.base import Archive, ArchiveKind, ArchiveRef
from core.archives.beneath import RootFolder
from core.archives.folder import FolderArchive
from core.archives.manifest import ManifestArchive, S3Root
from core.archives.s3_prefix import S3Objects, S3PrefixArchive
from core.archives.single import SingleImage
from core.archives.source import open_source
from core.archives.tar import TarArchive
from core.archives.zip import ZipArchive
from core.errors import ArchiveError, NotFoundError
from core.settings import Settings
from core.storage.base import ObjectStorage, RandomAccess


def open_archive(ref: ArchiveRef, storage: ObjectStorage, settings: Settings) -> Archive:
    """Open without listing.

    Raises:
        ArchiveError: code "archive_gone", the file has been deleted.
        StorageUnavailableError: its place does not answer.
    """
    max_bytes = settings.image.max_bytes
    if ref.kind is ArchiveKind.FOLDER:
        return FolderArchive(Path(ref.location), max_bytes)
    if ref.kind is ArchiveKind.S3_PREFIX:
        return S3PrefixArchive(ref.location, settings.storage, max_bytes)
    try:
        access = open_source(ref.where, ref.location, storage, settings.storage)
    except NotFoundError as error:
        raise ArchiveError(f"{ref.name or ref.location}: the archive is gone: {error}", code="archive_gone") from error
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
    is_s3 = ref.root.startswith("s3://")
    files = S3Root(S3Objects(ref.root, settings.storage)) if is_s3 else RootFolder(Path(ref.root))
    return ManifestArchive(access, ref.root, files, max_bytes)
