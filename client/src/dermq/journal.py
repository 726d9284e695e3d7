"""Uploads in parts that have not ended, noted in a small file of the user's: a later run goes on where they were."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermq.replacing import replacing

_KEPT_S = 2 * 86400.0  # a server forgets an upload a day after its last part


@dataclass(frozen=True, slots=True)
class Sent:
    """How far an upload has come.

    Attributes:
        path: of the upload at the server.
        offset: bytes that are there.
        sha256: of these bytes, in hex.
    """

    path: str
    offset: int
    sha256: str


class Journal:
    """The notes of all interrupted uploads of a user. Where they cannot be read or written, an upload begins anew.

    Args:
        path: of the file. Default: $XDG_DATA_HOME/dermq/uploads.json, or ~/.local/share/dermq/uploads.json. No file name and no
            address stands in it: an upload is named by a hash of both.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "dermq" / "uploads.json"

    def find(self, mark: str) -> Sent | None:
        """How far an earlier run has come; None where there was none, or its note cannot be read."""
        try:
            noted = self._read()[_key(mark)]
            return Sent(str(noted["path"]), int(noted["offset"]), str(noted["sha256"]))
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, mark: str, sent: Sent | None) -> None:
        """Note it, or with None forget it."""
        now = time.time()
        notes = {key: note for key, note in self._read().items() if key != _key(mark) and _is_fresh(note, now)}
        if sent is not None:
            notes[_key(mark)] = asdict(sent) | {"at": int(now)}
        try:
            path = self._path.expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, is_durable=False) as file:  # after a power cut, an upload may well begin anew
                file.write(json.dumps(notes).encode())
        except (OSError, RuntimeError):  # RuntimeError: there is no home folder
            return

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.expanduser().read_text())
        except (OSError, ValueError, RuntimeError):
            return {}
        return found if isinstance(found, dict) else {}


def _key(mark: str) -> str:
    return hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _is_fresh(note: Any, now: float) -> bool:
    try:
        return now - float(note["at"]) < _KEPT_S
    except (KeyError, TypeError, ValueError):
        return False
