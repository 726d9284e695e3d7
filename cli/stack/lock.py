"""One stack per data folder: an advisory lock (flock) that the kernel lets go of when its holder dies, whatever way it dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.output.exit_codes import CliError, ExitCode

_PATIENCE_S = 1.0  # a reader of the lock holds it for a moment


@dataclass(frozen=True, slots=True)
class Holder:
    """Who runs the stack of a data folder: the pid of `dermq up`, and its URL once it is ready."""

    pid: int
    url: str | None


class FolderLock:
    """The exclusive lock on a data folder. It is let go of by release() or by the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            CliError: another process holds it; the message says which, and where it listens.
        """
        file = self.path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + _PATIENCE_S
        while not _try_lock(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                file.close()
                raise _held(self.path.parent, read_holder(self.path))
            time.sleep(0.05)
        self._file = file
        self.publish(None)

    def publish(self, url: str | None) -> None:
        """Write down who holds the lock, and the URL once there is one."""
        if self._file is None:
            raise RuntimeError(f"{self.path} is not held by this process: call acquire() first")
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two different files of one name."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.close()
            self._file = None


def find_holder(path: Path) -> Holder | None:
    """Who holds the lock right now, None if nobody does."""
    try:
        file = path.open("r+", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        return None if _try_lock(file, fcntl.LOCK_SH) else read_holder(path)


def read_holder(path: Path) -> Holder:
    """What the holder wrote; a pid of 0 while it is about to write."""
    with suppress(ValueError, TypeError, KeyError):
        value = json.loads(path.read_text(encoding="utf-8"))
        return Holder(int(value["pid"]), value.get("url"))
    return Holder(0, None)


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(folder: Path, holder: Holder) -> CliError:
    where = f"at {holder.url}" if holder.url else "and is still starting"
    return CliError(
        f"the data folder {folder} is in use: `dermq up` runs as process {holder.pid} {where}",
        ExitCode.CONFLICT,
        f"Use that one, stop it with `kill {holder.pid}`, or name another folder with --data-dir.",
    )
