"""A backup's manifest: what it is of, and the sums by which a restore knows that it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stacks import OperationError

FORMAT = 1
NAME = "manifest.json"


def describe(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file, which is on the disk when this returns."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def write(folder: Path, content: dict[str, Any]) -> None:
    """Write the manifest: a backup without one is not finished."""
    path = folder / NAME
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps({"format": FORMAT, **content}, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_checked(folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are all there and as they were written.

    Raises:
        OperationError: it is no backup, an unfinished one, of a format that this release does not know, or damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise OperationError(f"{folder} holds no {NAME}: expected a folder that `backup` has finished")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise OperationError(f"{path}: expected format {FORMAT}, got {content.get('format')}; use the release that wrote it")
    faults = [fault for name, wanted in content["files"].items() if (fault := _fault(folder / name, wanted))]
    if faults:
        raise OperationError(f"{folder} is damaged and nothing was restored: {'; '.join(faults)}. Take another copy of it")
    return content


def _fault(path: Path, wanted: dict[str, Any]) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    found = describe(path)
    if found["bytes"] != wanted["bytes"]:
        return f"{path.name} has {found['bytes']} bytes, expected {wanted['bytes']}"
    return None if found["sha256"] == wanted["sha256"] else f"{path.name} has another SHA-256 than when it was written"


def say(text: str) -> None:
    """A line for the operator, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def megabytes(files: Iterable[dict[str, Any]]) -> str:
    """Their sizes together."""
    return f"{sum(file['bytes'] for file in files) / 1e6:.1f} MB"
