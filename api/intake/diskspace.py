"""Whether the disk of the storage has room for an upload: asked before its bytes are taken in, and while they come."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from core.errors import TransientError
from core.settings import Settings
from core.storage.factory import local_folder
from core.storage.local import closest_there

_EVERY_BYTES = 16 * 1024 * 1024


class DiskFullError(TransientError):
    """The disk of the storage has too little room left."""

    waits_for = "storage"


def make_guard(settings: Settings) -> Callable[[int], None]:
    """A function that refuses so many bytes more, unless DERMQ_STORAGE_MIN_FREE_BYTES stay free. A bucket is never full.

    The function raises DiskFullError.
    """
    url, least = settings.storage_url, settings.storage.min_free_bytes
    folder = local_folder(url) if url.startswith("file:") else None

    def check(more: int) -> None:
        if folder is None or not least:
            return
        if shutil.disk_usage(closest_there(folder)).free - more < least:
            raise DiskFullError(f"the disk of the storage would have less than {least} bytes left")

    return check


class RepeatedGuard:
    """A guard of what grows: other uploads come meanwhile, so it looks again each 16 MiB."""

    def __init__(self, guard: Callable[[int], None]) -> None:
        self._guard = guard
        self._due_at = 0  # bytes

    def check(self, size: int, more: int) -> None:
        """As the guard with `more`, once `size` has grown so far."""
        if size >= self._due_at:
            self._due_at = size + _EVERY_BYTES
            self._guard(more)
