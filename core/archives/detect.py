"""From a job's source to the reference that any worker can open: once per job, at prepare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.archives.allowlist import Where, check_place
from core.archives.base import ArchiveKind, ArchiveRef
from core.archives.compressed import ExpandLimits, expand_tar, sniff_codec
from core.archives.notes import Notes
from core.archives.s3_prefix import S3Objects
from core.archives.sniff import HEAD_BYTES, Content, sniff
from core.archives.source import open_source
from core.errors import ArchiveError, InvalidRequestError, JobErrorCode, NotFoundError
from core.settings import Settings, StorageSettings
from core.storage.base import ObjectStorage, ObjectWriter, RandomAccess
from core.storage.denied import StorageDeniedError
from core.storage.factory import open_bucket, split_bucket_uri

_KINDS = {
    Content.ZIP: ArchiveKind.ZIP,
    Content.TAR: ArchiveKind.TAR,
    Content.IMAGE: ArchiveKind.SINGLE,
    Content.MANIFEST: ArchiveKind.MANIFEST,
}


def prepare_archive(
    source: Mapping[str, Any],
    storage: ObjectStorage,
    seekable_key: str,
    settings: Settings,
    *,
    on_progress: Callable[[int], None] | None = None,
    limits: ExpandLimits | None = None,
    notes: Notes | None = None,
) -> ArchiveRef:
    """Find out what a source is. Safe to run again.

    A compressed TAR is written plain to `seekable_key`, a .7z as a ZIP of stored members; nothing else is copied.

    Args:
        source: {"kind": "upload", "key", "filename"}, {"kind": "path", "path"} or {"kind": "s3", "uri"}; optionally "root", the
            folder or s3:// prefix that a table's paths count from, and "path_column", its column that names the images. All but
            uploads are checked against the operator's allow-list (again: submission has done so, too).
        storage: DermQ's own object storage.
        seekable_key: where the plain TAR goes, if one is made.
        settings: the allow-lists, S3's endpoint and credentials.
        on_progress: called with the packed bytes read, every megabyte, while a TAR is made plain.
        limits: what making it plain may cost.
        notes: takes what making it plain has found worth a note; those of the listing come from `Archive.notes`.

    Raises:
        ArchiveError: missing, unreadable, none of the supported kinds, or (code "archive_bomb") unpacking without end.
        ForbiddenSourceError: the operator does not allow this place.
        StorageUnavailableError: the place of the bytes does not answer.
    """
    where, location, name, root = _locate(source)
    check_place(where, location, settings.api)
    path_column = str(source.get("path_column") or "")
    if where == "path" and Path(location).is_dir():
        _require_table(ArchiveKind.FOLDER, name, path_column)
        return ArchiveRef(ArchiveKind.FOLDER, where, location, name)
    if where == "s3" and not _is_object(location, settings.storage):
        _require_table(ArchiveKind.S3_PREFIX, name, path_column)
        return _prefix(location, name, settings.storage)
    try:
        access = open_source(where, location, storage, settings)
    except NotFoundError as error:
        raise ArchiveError(f"{name}: there is no such file: {error}", code=JobErrorCode.ARCHIVE_GONE) from error
    try:
        content = sniff(access, name, path_column)
        _require_table(_KINDS.get(content, ArchiveKind.TAR), name, path_column)
        if content is Content.SEVEN_ZIP:
            with storage.writer(seekable_key) as writer:
                _expand_7z(access, writer, settings, limits or ExpandLimits(), on_progress, notes=notes)
                writer.commit()
            return ArchiveRef(ArchiveKind.ZIP, "storage", seekable_key, name)
        if content is Content.COMPRESSED:
            _make_plain(access, storage, seekable_key, limits or ExpandLimits(), on_progress, notes=notes)
            return ArchiveRef(ArchiveKind.TAR, "storage", seekable_key, name)
    finally:
        access.close()
    if content is not Content.MANIFEST:
        return ArchiveRef(_KINDS[content], where, location, name)
    return ArchiveRef(ArchiveKind.MANIFEST, where, location, name, root or _manifest_root(where, location, name), path_column)


def _require_table(kind: ArchiveKind, name: str, path_column: str) -> None:
    if path_column and kind is not ArchiveKind.MANIFEST:
        what = {ArchiveKind.SINGLE: "an image", ArchiveKind.S3_PREFIX: "an S3 prefix"}.get(kind, f"a {kind}")
        raise ArchiveError(
            f"{name}: expected a table with a column {path_column!r}, got {what}: name the table itself as the "
            "source, or leave out --path-column (in the API: path_column)"
        )


def _locate(source: Mapping[str, Any]) -> tuple[Where, str, str, str]:
    """(where, location, name for people, explicit root of a manifest)."""
    kind, root = source.get("kind"), str(source.get("root") or "")
    if kind == "upload":
        key = str(source["key"])
        return "storage", key, str(source.get("filename") or key), _resolve_root(root)
    if kind == "path":
        path = _resolve(str(source["path"]))
        return "path", str(path), path.name or str(path), _resolve_root(root)
    if kind == "s3":
        bucket, key = _split(str(source["uri"]))
        return "s3", f"{bucket}/{key}" if key else bucket, key.rpartition("/")[2] or bucket.partition("://")[2], root
    raise ArchiveError(f"expected a source of kind upload, path or s3, got {kind!r}")


def _split(uri: str) -> tuple[str, str]:
    try:
        return split_bucket_uri(uri)
    except ValueError as error:
        raise ArchiveError(str(error)) from error


def _resolve_root(root: str) -> str:
    return str(_resolve(root)) if root and "://" not in root else root


def _resolve(path: str) -> Path:
    """Absolute and free of links, so that what was allowed is what is opened later."""
    try:
        return Path(path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ArchiveError(
            f"{path}: there is no such file or folder that can be read: {error}", code=JobErrorCode.ARCHIVE_GONE
        ) from error


def _is_object(uri: str, settings: StorageSettings) -> bool:
    bucket, key = split_bucket_uri(uri)
    return bool(key) and _asked(uri, lambda: open_bucket(bucket, "", settings).exists(key))


def _prefix(uri: str, name: str, settings: StorageSettings) -> ArchiveRef:
    if not _asked(uri, lambda: next(S3Objects(uri, settings).list(), None) is not None):
        raise ArchiveError(f"{uri}: there is no such object, and none below it", code=JobErrorCode.ARCHIVE_GONE)
    return ArchiveRef(ArchiveKind.S3_PREFIX, "s3", uri, name)


def _asked(uri: str, ask: Callable[[], bool]) -> bool:
    """Ask a foreign bucket. That it refuses us is an answer, not an outage that a job should wait for."""
    try:
        return ask()
    except StorageDeniedError as error:
        raise ArchiveError(f"{uri}: {error}", code=JobErrorCode.SOURCE_DENIED) from error
    except NotFoundError as error:
        raise ArchiveError(f"{uri}: {error}", code=JobErrorCode.ARCHIVE_GONE) from error
    except InvalidRequestError as error:
        raise ArchiveError(f"{uri}: {error}") from error


def _expand_7z(
    access: RandomAccess,
    writer: ObjectWriter,
    settings: Settings,
    limits: ExpandLimits,
    on_progress: Callable[[int], None] | None,
    *,
    notes: Notes | None,
) -> None:
    from core.archives.sevenzip import expand_7z  # noqa: PLC0415 - py7zr takes its time, and few archives are of that kind

    max_bytes = settings.image.max_bytes
    expand_7z(access, writer, limits, max_bytes, on_progress, notes=notes if notes is not None else Notes())


def _make_plain(
    access: RandomAccess,
    storage: ObjectStorage,
    key: str,
    limits: ExpandLimits,
    on_progress: Callable[[int], None] | None,
    *,
    notes: Notes | None,
) -> None:
    codec = sniff_codec(access.read_at(0, HEAD_BYTES))
    if codec is None:
        raise ArchiveError("the archive changed while it was read: submit it again")
    with storage.writer(key) as writer:
        expand_tar(access, codec, writer, limits, on_progress, notes=notes)
        writer.commit()


def _manifest_root(where: Where, location: str, name: str) -> str:
    if where == "storage":
        raise ArchiveError(
            f"{name}: a table that is sent does not say where its files lie: put it beside them, on the server or in S3, and "
            "name its path or its s3:// address as the source"
        )
    return location.rpartition("/")[0] or "/"
