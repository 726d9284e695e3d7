"""From a URL to the storage behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from core.settings import StorageSettings
from core.storage.base import ObjectStorage
from core.storage.local import LocalStorage

if TYPE_CHECKING:
    from core.storage.s3 import S3Storage


def open_storage(url: str, settings: StorageSettings) -> ObjectStorage:
    """The object storage at `url`; nothing is contacted yet.

    Args:
        url: file:///absolute/folder or s3://bucket/prefix.
        settings: endpoint, credentials and timeouts of S3.

    Raises:
        ValueError: neither of the two.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return LocalStorage(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        bucket, prefix = split_s3_uri(url)
        return open_s3(bucket, prefix, settings)
    raise ValueError(f"expected file:///folder or s3://bucket/prefix as DERMQ_STORAGE_URL, got {url!r}")


def open_s3(bucket: str, prefix: str, settings: StorageSettings) -> S3Storage:
    """The objects below s3://bucket/prefix."""
    from core.storage.s3 import S3Storage  # noqa: PLC0415 - obstore costs memory that a process without S3 should not pay

    return S3Storage(bucket, prefix, settings)


def split_s3_uri(uri: str) -> tuple[str, str]:
    """(bucket, key or prefix without outer slashes) of s3://bucket/key. Keys are taken literally, never percent-decoded.

    Raises:
        ValueError: not such a URI.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise ValueError(f"expected s3://bucket/prefix, got {uri!r}")
    return bucket, key.strip("/")
