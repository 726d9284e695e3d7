"""From a URL to the storage behind it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

from core.plainlists import BUCKET_SCHEMES, check_file_url
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
        ValueError: neither of the two, or a file:// URL with a query or a fragment.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return LocalStorage(local_folder(url))
    if parts.scheme == "s3" and parts.netloc:
        return open_bucket(*split_bucket_uri(url), settings)
    raise ValueError(f"expected file:///folder or s3://bucket/prefix as DERMQ_STORAGE_URL, got {url!r}")


def local_folder(url: str) -> Path:
    """The folder that a file:// URL names. Its bytes need not be UTF-8.

    Raises:
        ValueError: it has a query or a fragment: `?` and `#` in a folder's name are %3F and %23.
    """
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(check_file_url(url)).path)))


def open_bucket(address: str, prefix: str, settings: StorageSettings) -> S3Storage:
    """The objects below a prefix of a bucket that `split_bucket_uri` names."""
    scheme, _, bucket = address.partition("://")
    if scheme == "s3":
        from core.storage.s3 import S3Storage  # noqa: PLC0415 - obstore costs memory that a process without S3 should not pay

        return S3Storage(bucket, prefix, settings)
    from core.storage.clouds import CloudStorage  # noqa: PLC0415 - as above

    return CloudStorage(scheme, bucket, prefix, settings)


def split_bucket_uri(uri: str) -> tuple[str, str]:
    """(scheme://bucket, key or prefix without outer slashes) of s3://, gs:// or az://. Keys are never percent-decoded.

    Raises:
        ValueError: not such a URI.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in BUCKET_SCHEMES or not separator or not bucket:
        raise ValueError(f"expected s3://bucket/prefix (or gs://, az://), got {uri!r}")
    return f"{scheme}://{bucket}", key.strip("/")
