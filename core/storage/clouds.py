"""Buckets of Google Cloud Storage and containers of Azure, as sources of jobs: read by the code that reads S3.

Credentials are those of the environment (`GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and
`AZURE_STORAGE_ACCOUNT_KEY`, …) or of the machine's account, as obstore finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from obstore.store import AzureStore, GCSStore

from core.settings import StorageSettings
from core.storage.s3 import S3Storage, waiting

if TYPE_CHECKING:
    from core.storage.s3 import Store

_STORES: Final[dict[str, type[GCSStore] | type[AzureStore]]] = {"gs": GCSStore, "az": AzureStore}


class CloudStorage(S3Storage):
    """Objects below gs://bucket/prefix or az://container/prefix."""

    def __init__(self, scheme: str, bucket: str, prefix: str, settings: StorageSettings) -> None:
        """Connects with the first request.

        Args:
            scheme: gs or az.
            bucket: name of the bucket or container.
            prefix: folder in it that all keys are relative to; may be empty.
            settings: timeouts.
        """
        self._prefix = prefix.strip("/")
        self._url = f"{scheme}://{bucket}" + (f"/{self._prefix}" if self._prefix else "")
        options = waiting(settings)
        options["client_options"]["allow_http"] = True  # of an emulator; the clouds' own addresses are https
        self._store: Store = _STORES[scheme](bucket, prefix=self._prefix or None, **options)
