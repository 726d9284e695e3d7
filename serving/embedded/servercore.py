"""ServerCore: configuration, labels, and the way from a ModelSpec to a servable in use, with TensorFlow Serving's codes.

As `server_core.cc`: labels are checked before models load, a new configuration replaces the old one whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from core.telemetry.logs import get_logger
from serving.embedded.manager import ServableManager, State
from serving.embedded.modelconfig import ModelEntry, check_platforms
from serving.embedded.servable import SavedModelServable
from serving.embedded.source import FileSystemSource
from serving.embedded.status import StatusError, failed_precondition, invalid_argument, not_found

_log = get_logger(__name__)


@dataclass(frozen=True)
class Served:
    """A servable that a request holds."""

    name: str
    version: int
    servable: SavedModelServable


class ServerCore:
    """What the servicers stand on. Thread-safe."""

    def __init__(
        self,
        manager: ServableManager[SavedModelServable],
        source: FileSystemSource,
        *,
        allow_labels_for_unavailable: bool = False,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            manager: loads.
            source: polls.
            allow_labels_for_unavailable: a label not yet in use may name a version that is not AVAILABLE.
        """
        self.manager = manager
        self._source = source
        self._allow_labels = allow_labels_for_unavailable
        self._labels: dict[str, dict[str, int]] = {}
        self._configured: tuple[ModelEntry, ...] = ()
        self._configuring = threading.Lock()

    def start(self, entries: Sequence[ModelEntry]) -> None:
        """Load the first configuration and wait for it, then look for changes.

        A model that cannot be loaded is logged and listed in its state, as long as another one can: TensorFlow Serving itself
        would not start.

        Raises:
            StatusError: a label names a version that is not available, or no model could be loaded.
        """
        self.manager.start()
        self._source.start()
        try:
            self.configure(entries)
        except StatusError as error:
            if not any(self._is_available(entry.name) for entry in entries):
                raise
            _log.error("started without some models", error=str(error))

    def stop(self) -> None:
        """Unload all. Requests should have ended."""
        self._source.stop()
        self.manager.stop()

    def configure(self, entries: Sequence[ModelEntry], *, timeout_s: float | None = None) -> None:
        """Replace the configuration, and wait until the models that are new in it have settled.

        Args:
            entries: all models from now on.
            timeout_s: how long to wait for them; None: as long as it takes.

        Raises:
            StatusError: nothing has changed where it is INVALID_ARGUMENT (a platform that there is not, or another one than
                before) or FAILED_PRECONDITION (a label names a version that is not AVAILABLE). UNKNOWN, new models did not
                become available, or DEADLINE_EXCEEDED, not in time: they stay configured.
        """
        with self._configuring:
            check_platforms(self._configured, entries)
            self._labels = self._checked_labels(entries)
            new = {entry.name for entry in entries} - {entry.name for entry in self._configured}
            self._configured = tuple(entries)
            self._source.update(entries)
        if not self.manager.wait_until(lambda: all(self._settled(name) for name in new), timeout_s):
            names = ", ".join(name for name in sorted(new) if not self._settled(name))
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, f"Timed out waiting for {names} to become available")
        self._require_available(new)

    @contextmanager
    def use(self, model_spec: Any) -> Iterator[Served]:
        """Hold the servable that a ModelSpec means.

        Args:
            model_spec: a ModelSpec message, ours or the official one.

        Raises:
            StatusError: INVALID_ARGUMENT or NOT_FOUND, in TensorFlow Serving's words.
        """
        name, number = model_spec.name, self._number(model_spec)
        with self.manager.use(name, number) as held:
            if held is None:
                asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise not_found(f"Servable not found for request: {asked}")
            yield Served(name, *held)

    def _number(self, model_spec: Any) -> int | None:
        if not model_spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = model_spec.WhichOneof("version_choice")
        if choice == "version":
            return int(model_spec.version.value)
        if choice == "version_label":
            number = self._labels.get(model_spec.name, {}).get(model_spec.version_label)
            if number is None:
                raise invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
            return number
        return None

    def _checked_labels(self, entries: Sequence[ModelEntry]) -> dict[str, dict[str, int]]:
        for entry in entries:
            available = {report.number for report in self.manager.report(entry.name) if report.state is State.AVAILABLE}
            for label, number in sorted(entry.labels.items()):
                present = self._labels.get(entry.name, {}).get(label)
                may_wait = self._allow_labels and present in {None, number}
                if number not in available and not may_wait:
                    raise failed_precondition(
                        f"Request to assign label to version {number} of model {entry.name}, "
                        "which is not currently available for inference"
                    )
        return {entry.name: dict(entry.labels) for entry in entries}

    def _is_available(self, name: str) -> bool:
        return any(report.state is State.AVAILABLE for report in self.manager.report(name))

    def _settled(self, name: str) -> bool:
        """Whether a model has been loaded, or has failed in all its versions. One without any version is waited for."""
        reports = self.manager.report(name)
        if self._is_available(name):
            return not any(report.state in {State.START, State.LOADING} and report.error is None for report in reports)
        return bool(reports) and all(report.error is not None for report in reports)

    def _require_available(self, names: set[str]) -> None:
        failed = []
        for name in sorted(names):
            if not self._is_available(name):
                reports = self.manager.report(name)
                failed += [f"{{name: {name} version: {each.number}}} due to error: {each.error}" for each in reports]
        if failed:
            inner = ", ".join(f"{{{each}}}" for each in failed)
            raise StatusError(grpc.StatusCode.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{inner}, }}")
