"""Where the stack keeps what, inside its one data folder."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli.output.exit_codes import CliError, ExitCode

CHOOSE_ANOTHER = "Choose another with --data-dir or DERMQ_DATA_DIR, or change its permissions."
# What DermQ puts into a data folder.
_OWN_NAMES = {
    *("lock", "state.json", "valkey", "models", "models.config", "logs", "objects", "demo"),
    *(f"dermq.db{suffix}" for suffix in ("", "-journal", "-wal", "-shm")),
}
_ROOM_BYTES = 1_000_000  # with less no part can work
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths below one data folder. The ledger (dermq.db) and the objects/ are placed by core.settings."""

    root: Path

    @classmethod
    def at(cls, path: Path | None) -> DataFolder:
        """The folder that was asked for, or the default one; absolute, not necessarily there yet.

        Raises:
            ConfigurationError: it cannot be found, because the user has no home folder.
        """
        from core.datafolder import default_data_dir, resolve_data_dir

        return cls(resolve_data_dir(path or default_data_dir()))

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
        """Make the folders, readable by the owner only: images of patients lie below. An empty one that is there is made so.

        Raises:
            CliError: they cannot be made or written; or the data folder is there, and others can read it.
        """
        folders = (self.root, self.valkey, self.models, self.log("").parent)
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_private()
            for path in folders:
                path.mkdir(exist_ok=True, mode=0o700)
                if not os.access(path, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        except OSError as error:
            raise self._unusable("written", error) from error

    def _make_private(self) -> None:
        """Take others' permissions from a folder that is empty or DermQ's own; they may be meant where it holds other things.

        Raises:
            CliError: others can read it, and it holds other things or belongs to somebody else.
            OSError: it cannot be looked at.
        """
        status, name = self.root.stat(), shlex.quote(str(self.root))
        if not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return
        is_ours = status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX
        others = [path for path in self.root.iterdir() if path.name not in _OWN_NAMES and path.suffix != ".part"]
        if others or not is_ours:
            raise CliError(
                f"the data folder {self.root} can be read by others (mode {status.st_mode & 0o777:o}) and is not DermQ's alone",
                ExitCode.USAGE,
                f"Choose another with --data-dir or DERMQ_DATA_DIR, or make it private: chmod 700 {name}",
            )
        self.root.chmod(0o700)

    def is_full(self) -> bool:
        """Whether the disk below it has no room, for now."""
        try:
            return shutil.disk_usage(self.root).free < _ROOM_BYTES
        except OSError:
            return False

    @contextmanager
    def faults_named(self, what: Literal["read", "written"]) -> Iterator[None]:
        """Turns what the operating system refuses in this folder into a sentence that names the folder and its setting.

        Args:
            what: what the block does with the folder's files.

        Raises:
            CliError: permissions, a read-only disk, or a file in place of a folder prevent it.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _REFUSALS or not self._concerns(error.filename):
                raise
            raise self._unusable(what, error) from error

    def _unusable(self, what: str, error: OSError) -> CliError:
        place = f" ({error.filename})" if error.filename and Path(error.filename) != self.root else ""
        return CliError(
            f"the data folder {self.root} cannot be {what}: {error.strerror}{place}", ExitCode.USAGE, CHOOSE_ANOTHER
        )

    def _concerns(self, name: str | bytes | int | None) -> bool:
        """Whether a path is the folder, lies in it, or is one of its parents."""
        if not isinstance(name, str):
            return False
        path = Path(name)
        return path.is_relative_to(self.root) or self.root.is_relative_to(path)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only the owner may read it.

    Raises:
        OSError: it cannot be written, on a full disk for instance. What was there stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing or was cut off by a crash."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
