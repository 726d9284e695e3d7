"""Files that appear whole or not at all: what was there stays until the new one is complete."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, *, is_durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing under another name in the same folder; at the end of the block it takes the place of `path`.

    A link stays a link, and a file that is replaced keeps its permissions. A device or a pipe is written directly.

    Args:
        path: of the file.
        is_durable: it is on the disk when it takes the place. If not, a power cut may leave an empty file.

    Raises:
        OSError: the folder cannot be written, or the disk is full; then `path` is as it was.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f".dermq-{uuid.uuid4().hex[:12]}.part")
    try:
        with part.open("xb") as file:
            if target.exists():
                shutil.copymode(target, part)
            yield file
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
