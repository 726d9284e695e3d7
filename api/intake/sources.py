"""Sources that a client names instead of sending bytes: a prefix of a bucket, an allowed path, another job's."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from core.archives.allowlist import allowed_root, check_bucket
from core.archives.fetching import check_https
from core.egress.addresses import check_target
from core.errors import ForbiddenSourceError, InvalidRequestError
from core.plainlists import BUCKET_SCHEMES
from core.settings import ApiSettings, Settings

_JOB = "job:"


def resolve_source(source: str, settings: ApiSettings) -> tuple[dict[str, Any], str]:
    """What the ledger keeps of a source, and a name to show for it.

    Raises:
        ForbiddenSourceError: the operator does not allow it; the message says how to.
        InvalidRequestError: it is no source at all, or not there.
    """
    if source.startswith(_JOB):
        return _resolve_job(source)
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme in BUCKET_SCHEMES:
        return _resolve_bucket(scheme, source, settings)
    if scheme == "file":
        return _resolve_path(unquote(urlsplit(source).path), settings)
    if scheme:
        raise ForbiddenSourceError(
            f"sources of scheme {scheme}:// are not fetched: expected s3://, gs:// or az://bucket/prefix or a path "
            "on the server; else send the bytes"
        )
    return _resolve_path(source, settings)


def resolve_https(url: str, tenant: str, settings: Settings) -> tuple[dict[str, Any], str]:
    """The same for an https:// address, which each tenant has its own list of.

    Raises:
        ForbiddenSourceError: the operator does not allow it, or it leads inside the network.
        InvalidRequestError: it is no address, or its host is unknown.
    """
    check_https(url, tenant, settings)
    check_target(url, settings.egress.allowed_networks)
    return {"kind": "https", "url": url}, unquote(urlsplit(url).path).rpartition("/")[2] or "archive"


def _resolve_job(source: str) -> tuple[dict[str, Any], str]:
    """The images of another job, with another model or version say; whose job it is is checked where its row is read."""
    try:
        job_id = UUID(source.removeprefix(_JOB))
    except ValueError as error:
        raise InvalidRequestError(f"expected job:ID as source, got {source!r}") from error
    return {"kind": "job", "id": str(job_id)}, ""


def _resolve_bucket(scheme: str, source: str, settings: ApiSettings) -> tuple[dict[str, Any], str]:
    bucket, _, key = source.partition("://")[2].partition("/")
    if not bucket or any(ord(character) < 32 for character in source):
        raise InvalidRequestError(f"expected {scheme}://bucket/prefix, got {source!r}")
    uri = f"{scheme}://{bucket}/{key}"
    check_bucket(uri, settings)
    return {"kind": "s3", "uri": uri}, key.rstrip("/").rpartition("/")[2] or bucket


def _resolve_path(source: str, settings: ApiSettings) -> tuple[dict[str, Any], str]:
    given = Path(source)
    if not given.is_absolute():
        raise InvalidRequestError(f"expected an absolute path or s3://bucket/prefix as source, got {source!r}")
    try:
        path = given.resolve()  # symbolic links are followed first, so that none leads out of a root
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidRequestError(f"source {source!r} cannot be resolved: {error}") from error
    allowed_root(path, settings, shown=source)
    if not path.exists():
        raise InvalidRequestError(f"source {source!r}: no such file or folder on the server")
    return {"kind": "path", "path": str(path)}, path.name or str(path)
