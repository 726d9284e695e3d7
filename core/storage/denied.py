"""A refusal is not an outage: callers that ask a foreign bucket tell the two apart."""

from __future__ import annotations

from core.errors import StorageUnavailableError


class StorageDeniedError(StorageUnavailableError):
    """The object storage answers, but refuses these credentials."""
