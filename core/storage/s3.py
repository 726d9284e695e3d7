"""Object storage on S3, or on a server that speaks its protocol, through obstore (Rust object_store).

Import this module only where S3 is used. The runtime below does not survive a fork: a process whose parent has made a request
already cannot make any, which is an error here instead of a hang. Keys that object_store cannot name (empty, '.' or '..' parts,
control characters) cannot be read, nor can a prefix that holds one be listed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from core.errors import InvalidRequestError, NotFoundError, StorageUnavailableError
from core.settings import StorageSettings
from core.storage.base import ObjectInfo, StoredObject
from core.storage.denied import StorageDeniedError
from core.storage.keys import check_key

if TYPE_CHECKING:
    from obstore import WritableFile

    Store = S3Store | GCSStore | AzureStore

_PART_BYTES = 16 * 1024 * 1024  # S3 takes 10,000 parts: objects up to 156 GiB
_PARTS_IN_FLIGHT = 2
_LIST_ITEMS = 1000  # one page of ListObjectsV2
_CONNECT_TIMEOUT_S = 5.0
_RETRIES = 3
_PROBE = ".dermq-check"
_REFUSED = re.compile(r"status code: 40[13]\b")
_runtime_pid: int | None = None  # the process that made the first request


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    """Translate obstore's errors: only what is missing or cannot be named is permanent."""
    _expect_no_fork()
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{what}: no such object") from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise _denied(what) from error
    except (exceptions.InvalidPathError, ValueError) as error:
        raise InvalidRequestError(f"{what}: {_first_line(error)}") from error
    except (exceptions.BaseError, OSError) as error:
        if "NoSuchBucket" in str(error):
            raise NotFoundError(f"{what}: no such bucket") from error
        if _REFUSED.search(str(error)):  # of a listing, object_store says no more than this
            raise _denied(what) from error
        raise StorageUnavailableError(f"{what}: {_first_line(error)}") from error


def _denied(what: str) -> StorageDeniedError:
    whose = "DERMQ_STORAGE_S3_*" if what.startswith("s3:") else "the credentials in the environment"
    return StorageDeniedError(f"{what}: access denied; check {whose} and the bucket's policy")


def _expect_no_fork() -> None:
    global _runtime_pid  # noqa: PLW0603 - obstore has one runtime per process, whose threads a fork leaves behind
    _runtime_pid = _runtime_pid or os.getpid()
    if _runtime_pid != os.getpid():
        raise RuntimeError(
            f"process {os.getpid()} was forked from {_runtime_pid} after that one had used S3: "
            "use S3 in the children only, or spawn them"
        )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


class S3Object:
    """One object read by range."""

    def __init__(self, store: Store, key: str, label: str) -> None:
        """Ask for the object's size.

        Raises:
            NotFoundError: no such object.
            StorageUnavailableError: the server does not answer.
        """
        self._store = store
        self._key = key
        self._label = label
        with _storage_errors(label):
            self._size = obstore.head(store, key)["size"]

    @property
    def size(self) -> int:
        """Bytes in the object."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end. One request."""
        length = min(length, self._size - offset)
        if offset < 0 or length <= 0:
            return b""
        with _storage_errors(self._label):
            return obstore.get_range(self._store, self._key, start=offset, length=length).to_bytes()

    def close(self) -> None:
        """Nothing is held."""


class S3Writer:
    """A multipart upload of constant memory; an object smaller than one part is a single request at commit()."""

    def __init__(self, store: Store, key: str, label: str) -> None:
        self._key = key
        self._label = label
        self._size = 0
        self._hash = hashlib.sha256()
        with _storage_errors(label):
            self._file: WritableFile | None = obstore.open_writer(
                store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS_IN_FLIGHT
            )

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None:
            raise ValueError(f"{self._key!r}: this write was committed or aborted already")
        with _storage_errors(f"{self._label}: writing"):
            self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def commit(self) -> StoredObject:
        """Make the object visible, whole."""
        if self._file is None:
            raise ValueError(f"{self._key!r}: this write was committed or aborted already")
        file, self._file = self._file, None
        with _storage_errors(f"{self._label}: committing"):
            file.close()
        return StoredObject(self._key, self._size, self._hash.hexdigest())

    def abort(self) -> None:
        """Remove the parts sent so far. Does nothing after commit().

        What a killed process has sent stays hidden in the bucket until a lifecycle rule for incomplete uploads removes it.
        """
        file, self._file = self._file, None
        if file is not None:
            reason = RuntimeError("aborted")  # obstore aborts the upload where the block ends with an error
            with _storage_errors(f"{self._label}: aborting"):
                try:
                    file.flush()  # a part that arrives after the abort would stay
                finally:
                    file.__exit__(RuntimeError, reason, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.abort()
        except StorageUnavailableError:
            if error is None:
                raise  # else the error that ended the block says more


class S3Storage:
    """Objects below s3://bucket/prefix."""

    def __init__(self, bucket: str, prefix: str, settings: StorageSettings) -> None:
        """Connects with the first request.

        Args:
            bucket: name of the bucket.
            prefix: folder in it that all keys are relative to; may be empty.
            settings: endpoint, region, credentials (ambient AWS credentials if empty) and timeout.
        """
        self._prefix = prefix.strip("/")
        self._url = f"s3://{bucket}" + (f"/{self._prefix}" if self._prefix else "")
        self._store: Store = S3Store(bucket, prefix=self._prefix or None, **waiting(settings), **_address(settings))

    def writer(self, key: str) -> S3Writer:
        """Start a streaming write that replaces what is under the key."""
        return S3Writer(self._store, check_key(key), self._label(key))

    def open(self, key: str) -> S3Object:
        """Open for reading by range.

        Raises:
            NotFoundError: no such object.
        """
        return S3Object(self._store, check_key(key), self._label(key))

    def read_whole(self, key: str, max_bytes: int) -> bytes:
        """The first `max_bytes` bytes of an object (all of it, if it has no more), in one request.

        Raises:
            NotFoundError: no such object.
            StorageUnavailableError: the server does not answer.
        """
        with _storage_errors(self._label(key)):
            result = obstore.get(self._store, key)
            if result.meta["size"] <= max_bytes:
                return result.bytes().to_bytes()
            return obstore.get_range(self._store, key, start=0, length=max_bytes).to_bytes()

    def exists(self, key: str) -> bool:
        """Whether there is an object of this very key (and not only keys below it)."""
        try:
            with _storage_errors(self._label(key)):
                obstore.head(self._store, key)
        except NotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in key order (as bytes)."""
        folder = prefix.rpartition("/")[0]  # object_store lists whole path segments only
        for key, size in self._pages(folder):
            if key.startswith(prefix) and key != _PROBE:
                yield ObjectInfo(key, size)

    def _pages(self, folder: str) -> Iterator[tuple[str, int]]:
        start = len(self._prefix) + 1 if self._prefix else 0
        with _storage_errors(f"{self._label(folder)}: listing"):
            pages = obstore.list(self._store, folder or None, chunk_size=_LIST_ITEMS)
        while True:
            with _storage_errors(f"{self._label(folder)}: listing"):
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                path = meta["path"]
                yield (path[start:] if start and path.startswith(self._prefix + "/") else path), meta["size"]

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        self._delete([check_key(key)])

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below a prefix; returns how many. A thousand per request."""
        count = 0
        batch: list[str] = []
        for info in self.list(prefix):
            batch.append(info.key)
            if len(batch) == _LIST_ITEMS:
                self._delete(batch)
                count += len(batch)
                batch = []
        if batch:
            self._delete(batch)
        return count + len(batch)

    def _delete(self, keys: Sequence[str]) -> None:
        try:
            with _storage_errors(f"{self._url}: deleting {len(keys)} objects"):
                obstore.delete(self._store, keys)
        except NotFoundError:
            return  # gone before

    def remove_orphans(self) -> int:
        """Nothing to do from here: a bucket removes unfinished multipart uploads by a lifecycle rule."""
        return 0

    def check(self) -> None:
        """Raise StorageUnavailableError unless the bucket can be reached and written."""
        try:
            with _storage_errors(f"{self._url}: writing a probe"):
                obstore.put(self._store, _PROBE, b"dermq")
                obstore.delete(self._store, _PROBE)
        except NotFoundError as error:
            raise StorageUnavailableError(
                f"{self._url}: there is no such bucket: create it, or correct DERMQ_STORAGE_URL"
            ) from error

    def _label(self, key: str) -> str:
        return f"{self._url}/{key}" if key else self._url


def waiting(settings: StorageSettings) -> dict[str, Any]:
    """Options of a store: how long it waits, and how often it asks again."""
    limit = timedelta(seconds=settings.timeout_s)
    options = {"timeout": limit, "connect_timeout": timedelta(seconds=min(_CONNECT_TIMEOUT_S, settings.timeout_s))}
    return {
        "client_options": {**options, "allow_http": settings.s3_endpoint.startswith("http://")},
        "retry_config": {"max_retries": _RETRIES, "retry_timeout": limit},
    }


def _address(settings: StorageSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"region": settings.s3_region, "request_payer": settings.s3_requester_pays}
    if settings.s3_endpoint:  # servers other than AWS rarely have a host name per bucket
        options |= {"endpoint": settings.s3_endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key_id.get_secret_value():
        options["access_key_id"] = settings.s3_access_key_id.get_secret_value()
        options["secret_access_key"] = settings.s3_secret_access_key.get_secret_value()
    return options
