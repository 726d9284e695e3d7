"""FileSystemSource: looks into the models' folders, and tells the manager which versions are aspired to.

As TensorFlow Serving's file_system_storage_path_source.cc: a version is a folder whose name is an integer (`00000123` is 123);
a base path that cannot be read changes nothing; one without versions unloads all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from core.telemetry.logs import get_logger
from serving.embedded.modelconfig import ModelEntry

_log = get_logger(__name__)

Aspire = Callable[[str, Mapping[int, Path]], None]


def find_versions(base_path: Path) -> dict[int, Path]:
    """The version folders under a base path.

    Raises:
        OSError: the base path cannot be listed.
    """
    folders = sorted(path for path in base_path.iterdir() if _is_version(path.name) and path.is_dir())
    return {int(path.name): path for path in folders}


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) < 1 << 63


class FileSystemSource:
    """Polls for versions on its own thread; `update` and `poll` also work without it."""

    def __init__(self, aspire: Aspire, poll_wait_s: float) -> None:
        """Nothing runs before `start`.

        Args:
            aspire: called with the wanted versions of each model, again and again.
            poll_wait_s: seconds between looks; 0: `start` does nothing.
        """
        self._aspire = aspire
        self._poll_wait_s = poll_wait_s
        self._entries: tuple[ModelEntry, ...] = ()
        self._complaints: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="file-system-source", daemon=True)

    def start(self) -> None:
        """Look again and again from now on."""
        if self._poll_wait_s > 0:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def update(self, entries: Sequence[ModelEntry]) -> None:
        """Serve these models and no others from now on."""
        with self._lock:
            gone = {entry.name for entry in self._entries} - {entry.name for entry in entries}
            self._entries = tuple(entries)
        for name in gone:
            self._aspire(name, {})
        self.poll()

    def poll(self) -> None:
        """Look once."""
        with self._lock:
            for entry in self._entries:
                self._poll_entry(entry)

    def _poll_entry(self, entry: ModelEntry) -> None:
        try:
            found = find_versions(entry.base_path)
        except OSError as error:
            self._complain(
                entry.name, f"Could not find base path {entry.base_path} for servable {entry.name} with error {error}"
            )
            return
        missing = entry.policy.missing(found)
        if not found:
            self._complain(entry.name, f"No versions of servable {entry.name} found under base path {entry.base_path}")
        elif missing:
            self._complain(
                entry.name, f"Versions {missing} of servable {entry.name} were asked for, but are not under {entry.base_path}"
            )
        else:
            self._complaints.pop(entry.name, None)
        self._aspire(entry.name, entry.policy.select(found))

    def _complain(self, name: str, text: str) -> None:
        if self._complaints.get(name) != text:  # once, not every second
            self._complaints[name] = text
            _log.warning(text)

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_wait_s):
            self.poll()
