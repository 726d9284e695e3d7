"""ServableManager: which versions are loaded, who uses them, and what state each is in.

A source says which versions are aspired to; one thread makes it so, one load at a time, as TensorFlow Serving's
AspiredVersionsManager under its AvailabilityPreservingPolicy: a version goes only when an aspired one is available or none is
aspired to any more, and it is closed when the last request that uses it has finished. A load that fails leaves the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from core.telemetry.logs import get_logger
from serving.embedded.foldermark import mark_folder
from serving.embedded.status import StatusError

_log = get_logger(__name__)


class State(IntEnum):
    """ModelVersionStatus.State: the numbers travel."""

    START = 10  # known, not begun
    LOADING = 20  # being loaded, or waiting to be tried again
    AVAILABLE = 30
    UNLOADING = 40  # takes no new request; some may still run
    END = 50  # gone, or never there: then the error says why


class Closable(Protocol):
    """What the manager needs of a servable."""

    def close(self) -> None:
        """Free it; nobody uses it any more."""
        ...


Servable = TypeVar("Servable", bound=Closable)


@dataclass
class _Version(Generic[Servable]):
    """One version of one model, and what has become of it. Changed only with the manager's lock held."""

    model: str
    number: int
    path: Path
    state: State = State.START
    aspired: bool = True
    error: StatusError | None = None
    servable: Servable | None = None
    users: int = 0  # requests that run on it
    failures: int = 0
    mark: Hashable = None  # of its files, when the last load began
    retry_at: float = 0.0  # of the manager's clock

    def restart(self, path: Path) -> None:
        """Begin anew, as if never seen."""
        self.path, self.state, self.error, self.failures, self.retry_at = path, State.START, None, 0, 0.0

    def wants_loading(self, now: float) -> bool:
        """Whether it is time for the first or the next attempt."""
        return self.aspired and (self.state is State.START or (self.state is State.LOADING and now >= self.retry_at))


@dataclass(frozen=True)
class VersionReport:
    """A version's state at one moment."""

    number: int
    state: State
    error: StatusError | None


class ServableManager(Generic[Servable]):
    """Loads and unloads versions on its own thread; hands them out to requests on theirs."""

    def __init__(
        self,
        load: Callable[[str, int, Path], Servable],
        *,
        max_retries: int = 5,
        retry_interval_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            load: (model, version, folder) → servable; raises StatusError if it cannot be served.
            max_retries: attempts after the first.
            retry_interval_s: seconds between them.
            monotonic: the clock of those intervals.
        """
        self._load = load
        self._max_retries = max_retries
        self._retry_interval_s = retry_interval_s
        self._monotonic = monotonic
        self._models: dict[str, dict[int, _Version[Servable]]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="servable-manager", daemon=True)

    def start(self) -> None:
        """Begin to load what is aspired to."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a load that is under way, and free what no request uses."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        for version in [v for versions in self._models.values() for v in versions.values()]:
            if version.servable is not None and not version.users:
                self._close(version)

    def aspire(self, model: str, versions: Mapping[int, Path]) -> None:
        """Declare which versions of a model are wanted: exactly these, and no other any more.

        One that could not be loaded is tried again when its files have changed: it may have been looked at while it was copied.
        """
        changed = self._changed_since_failure(model, versions)
        with self._changed:
            known = self._models.setdefault(model, {})
            for number, path in versions.items():
                version = known.setdefault(number, _Version(model, number, path))
                if version.state is State.END and not version.aspired:
                    version.restart(path)  # it went away and came back
                elif number in changed and version.error is not None:
                    version.restart(path)
            for number, version in known.items():
                version.aspired = number in versions
            self._changed.notify_all()

    def _changed_since_failure(self, model: str, versions: Mapping[int, Path]) -> set[int]:
        """Versions that could not be loaded, and are other files now. The folders are read without the lock."""
        with self._changed:
            known = self._models.get(model, {})
            marks = {number: known[number].mark for number in versions if number in known and known[number].error is not None}
        return {number for number, mark in marks.items() if mark_folder(versions[number]) != mark}

    def report(self, model: str) -> list[VersionReport]:
        """All versions ever known of a model, newest first; empty for an unknown one."""
        with self._changed:
            known = self._models.get(model, {})
            return [VersionReport(number, known[number].state, known[number].error) for number in sorted(known, reverse=True)]

    @contextmanager
    def use(self, model: str, number: int | None) -> Iterator[tuple[int, Servable] | None]:
        """Hold a version while a request runs: it is not closed before.

        Args:
            model: served name.
            number: that version, or None for the newest available one.

        Yields:
            Its number and the servable, or None if it is not available.
        """
        version = self._take(model, number)
        if version is None or version.servable is None:
            yield None
            return
        try:
            yield version.number, version.servable
        finally:
            with self._changed:
                version.users -= 1
                self._changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Block until something is so; asked again after each change. False: time was over, or the manager stops, before."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or condition(), timeout_s)
            return condition()

    def _take(self, model: str, number: int | None) -> _Version[Servable] | None:
        with self._changed:
            known = self._models.get(model, {})
            available = [v for v in known.values() if v.state is State.AVAILABLE and number in {None, v.number}]
            newest = max(available, key=lambda version: version.number, default=None)
            if newest is not None:
                newest.users += 1
            return newest

    def _run(self) -> None:
        while True:
            with self._changed:
                step = self._next_step()
                while step is None and not self._stopping:
                    self._changed.wait(self._until_retry_s())
                    step = self._next_step()
            if self._stopping or step is None:
                return
            step()

    def _next_step(self) -> Callable[[], None] | None:
        """What to do next, unloading first so that memory is free for loading. Called with the lock held."""
        for versions in self._models.values():
            for version in versions.values():
                if version.state is State.UNLOADING and not version.users:
                    return partial(self._close, version)
                if not version.aspired and version.state in {State.START, State.LOADING}:
                    return partial(self._move, version, State.END)
                if not version.aspired and version.state is State.AVAILABLE and _may_go(versions.values()):
                    return partial(self._move, version, State.UNLOADING)
        now = self._monotonic()
        for versions in self._models.values():
            for number in sorted(versions, reverse=True):
                if versions[number].wants_loading(now):
                    return partial(self._try_load, versions[number])
        return None

    def _until_retry_s(self) -> float | None:
        waiting = [v.retry_at for versions in self._models.values() for v in versions.values() if v.state is State.LOADING]
        return max(0.0, min(waiting) - self._monotonic()) if waiting else None

    def _try_load(self, version: _Version[Servable]) -> None:
        version.mark = mark_folder(version.path)
        self._move(version, State.LOADING)
        begun = self._monotonic()
        try:
            servable = self._load(version.model, version.number, version.path)
        except StatusError as error:
            self._note_failure(version, error)
            return
        with self._changed:
            version.servable = servable
            version.error = None
        self._move(version, State.AVAILABLE)
        _log.info("loaded", model=version.model, version=version.number, seconds=round(self._monotonic() - begun, 2))

    def _note_failure(self, version: _Version[Servable], error: StatusError) -> None:
        _log.error(
            "cannot be loaded", model=version.model, version=version.number, error=str(error), failures=version.failures + 1
        )
        with self._changed:
            version.failures += 1
            version.error = error
            version.retry_at = self._monotonic() + self._retry_interval_s
        if version.failures > self._max_retries:
            self._move(version, State.END)

    def _close(self, version: _Version[Servable]) -> None:
        servable, version.servable = version.servable, None
        if servable is not None:
            servable.close()
        self._move(version, State.END)
        _log.info("unloaded", model=version.model, version=version.number)

    def _move(self, version: _Version[Servable], state: State) -> None:
        with self._changed:
            version.state = state
            if state is State.END and version.aspired and version.error is None and not self._stopping:
                version.restart(version.path)  # wanted again while it was being unloaded
            self._changed.notify_all()


def _may_go(versions: Iterable[_Version[Servable]]) -> bool:
    """Whether a version that nobody aspires to may be unloaded without leaving the model unserved."""
    aspired = [version for version in versions if version.aspired]
    return not aspired or any(version.state is State.AVAILABLE for version in aspired)
