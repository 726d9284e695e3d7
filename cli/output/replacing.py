"""Where a command writes: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dermq.replacing import replacing

STDOUT = Path("-")


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """As `replacing`; `-` is stdout."""
    if path != STDOUT:
        with replacing(path) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
