"""Small C libraries in front of a process's system calls (LD_PRELOAD): a wrong clock, a disk that forgets or is full."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SOURCES = Path(__file__).parent


def build(name: str, folder: Path) -> Path:
    """Compile tests/support/`name`.c; returns the library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed (Debian: apt-get install gcc libc6-dev)")
    library = folder / f"{name}.so"
    if not library.exists():
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            str(_SOURCES / f"{name}.c"),
            "-o",
            str(library),
            "-ldl",
        ]
        subprocess.run(command, check=True)
    return library


class WrongClock:
    """A host's wall clock. Each process that has `env` sees it, at once, whenever it is set."""

    def __init__(self, folder: Path, host: str, seconds: int) -> None:
        """Seconds that it is ahead of the right time; negative: behind."""
        self._file = folder / f"{host}.clock"
        self.set(seconds)
        self.env = {"LD_PRELOAD": str(build("wrongclock", folder)), "WRONG_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """In place: processes have the file mapped."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))


class FullDisk:
    """A disk that has room or not, as it is told. Each process that has `env` meets it, at once."""

    def __init__(self, folder: Path) -> None:
        self._flag = folder / "full-disk"
        self.env = {"LD_PRELOAD": str(build("fulldisk", folder)), "FULL_DISK": str(self._flag)}

    @contextmanager
    def full(self, folder: Path) -> Iterator[None]:
        """No file below the folder grows meanwhile."""
        written = self._flag.with_suffix(".new")
        written.write_text(str(folder))
        written.replace(self._flag)
        try:
            yield
        finally:
            self._flag.unlink()
