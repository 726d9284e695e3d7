"""A folder's entries in the order of their bytes, in constant memory however many there are.

Names are sorted in runs. Full runs go to an unnamed temporary file each, and all are merged while they are read.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import IO

_RUN_ENTRIES = 20_000  # about 3 MB of names


class EntryKind(StrEnum):
    """What a directory entry is, links not followed."""

    FILE = "f"
    FOLDER = "d"
    LINK = "l"
    OTHER = "o"  # pipe, socket, device


def scan_sorted(folder: Path | int) -> Iterator[tuple[str, EntryKind]]:
    """(name, kind) of each entry, in the order in which their paths sort as bytes (a folder `a` as `a/`, after `a-b`).

    Args:
        folder: its path, or a descriptor of it, which stays the caller's and must be open until the first entry comes.

    Raises:
        OSError: the folder cannot be read.
    """
    with ExitStack() as stack:
        runs: list[Iterator[tuple[bytes, EntryKind]]] = []
        run: list[tuple[bytes, EntryKind]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                run.append(_sort_key(entry))
                if len(run) >= _RUN_ENTRIES:
                    runs.append(_spill(sorted(run), stack.enter_context(tempfile.TemporaryFile())))
                    run = []
        for path, kind in heapq.merge(*runs, iter(sorted(run))):
            yield os.fsdecode(path.rstrip(b"/")), kind


def _sort_key(entry: os.DirEntry[str]) -> tuple[bytes, EntryKind]:
    name = os.fsencode(entry.name)
    if entry.is_symlink():
        return name, EntryKind.LINK
    if entry.is_dir(follow_symlinks=False):
        return name + b"/", EntryKind.FOLDER
    return name, EntryKind.FILE if entry.is_file(follow_symlinks=False) else EntryKind.OTHER


def _spill(run: list[tuple[bytes, EntryKind]], file: IO[bytes]) -> Iterator[tuple[bytes, EntryKind]]:
    # One line per name. A name may hold a newline but never NUL: newlines travel as NUL.
    file.writelines(kind.encode() + name.replace(b"\n", b"\0") + b"\n" for name, kind in run)
    file.seek(0)
    return ((line[1:-1].replace(b"\0", b"\n"), EntryKind(line[:1].decode())) for line in file)
