"""A refusal is not an outage: callers that ask a foreign bucket tell the two apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import StorageUnavailableError


class StorageDeniedError(StorageUnavailableError):
    """The object storage answers, but refuses these credentials."""


class SourceDeniedError(StorageDeniedError):
    """A bucket that a job names as its source refuses these credentials. Whoever met it so for some time gives the job up."""

    waits_for = "source"


@contextmanager
def as_source() -> Iterator[None]:
    """What is refused in this block is a job's source, and not DermQ's own storage."""
    try:
        yield
    except SourceDeniedError:
        raise
    except StorageDeniedError as error:
        raise SourceDeniedError(str(error)) from error
