"""What tells one state of a folder from another, without reading its files."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path


def mark_folder(path: Path) -> Hashable:
    """Names, sizes and times (ns) of all files under a folder; None if they cannot be listed."""
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return tuple((str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()])
    except OSError:  # being removed, or moved away
        return None
