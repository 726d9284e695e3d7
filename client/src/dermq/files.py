"""Files of this machine, read block by block; what the system says of one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dermq.errors import UnreadableError

BLOCK_BYTES = 1 << 20


def file_stream(path: Path) -> Iterator[bytes]:
    """A file's bytes in blocks of a megabyte.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise unreadable(error, path) from error


def unreadable(error: OSError, path: Path | None = None) -> UnreadableError:
    """What the system says of a file, as an error of this package; `path` where the error may name none."""
    return UnreadableError(f"cannot read {error.filename or path}: {error.strerror}")
