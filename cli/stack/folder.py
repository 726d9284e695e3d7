"""Where the stack keeps what, inside its one data folder."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.exits import CliError, ExitCode


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths below one data folder. The ledger (dermq.db) and the objects/ are placed by core.settings."""

    root: Path

    @classmethod
    def at(cls, path: Path | None) -> DataFolder:
        """The folder that was asked for, or the default one; absolute, not necessarily there yet."""
        from core.settings import default_data_dir

        return cls((path or default_data_dir()).expanduser().resolve())

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def models(self) -> Path:
        """The user's own models: <name>/<version>/saved_model.pb."""
        return self.root / "models"

    @property
    def models_config(self) -> Path:
        return self.root / "models.config"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.root / "logs" / f"{name}.log"

    def create(self) -> None:
        """Make the folders, readable by the owner only: images of patients lie below.

        Raises:
            CliError: they cannot be made or written.
        """
        try:
            for path in (self.root, self.valkey, self.models, self.log("").parent):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise _unwritable(self.root, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _unwritable(root: Path, error: OSError) -> CliError:
    advice = "Choose another with --data-dir or DERMQ_DATA_DIR, or change its permissions."
    return CliError(f"the data folder {root} cannot be written: {error.strerror}", ExitCode.USAGE, advice)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only the owner may read it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing or was cut off by a crash."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
