"""The log files of the parts."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

MAX_BYTES = 20_000_000
_TAIL_BYTES = 16_384


def open_run(path: Path) -> None:
    """Begin a run's part of the log: a line that says when, after the file was put aside if it had grown large."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    with path.open("a", encoding="utf-8") as file:
        file.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} ---\n")


def read_tail(path: Path, lines: int = 15) -> list[str]:
    """The last lines of this run; none where the file is missing."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    found = text.rstrip().splitlines()
    starts = [number for number, line in enumerate(found) if line.startswith("--- ")]
    return found[starts[-1] + 1 if starts else 0 :][-lines:]
