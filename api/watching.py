"""Says on unfinished jobs, within seconds, that broker, Serving or all workers are silent.

A worker notes on a job what it meets itself. This is for what nobody meets in time: a broker that hangs with the messages, a
Serving that takes a call and does not answer, workers that are stopped. Several APIs may watch; each changes only what says
nothing yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

from sqlalchemy import Engine

from api.publisher import Publisher
from core.db.engine import read_time, reading, transaction
from core.db.processes import count_heard
from core.db.waiting import SILENT, any_unfinished, end_all_waiting, note_all_waiting
from core.errors import DatabaseUnavailableError, ServingUnavailableError, TransientError, WorkersSilentError
from core.settings import Settings
from core.telemetry.logs import get_logger
from serving.client import PredictClient

log = get_logger(__name__)

PROBE_S = 1.5  # limit of one look
MISSED = 2  # looks without an answer before a job says so
NO_WORKER = "worker: no worker process gives a sign of life; the job goes on when one runs"

Probe = Callable[[], None]


class Watch:
    """A thread for each dependency, so that one that hangs does not keep the others."""

    def __init__(
        self, engine: Engine, probes: Mapping[str, Probe], interval_s: float, *, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """Start nothing yet.

        Args:
            engine: the ledger.
            probes: by dependency; each returns within PROBE_S, or raises a TransientError.
            interval_s: between two looks, in seconds.
            on_end: called at the end of `close`; gives back what the probes use.
        """
        self._engine = engine
        self._probes = dict(probes)
        self._interval_s = interval_s
        self._on_end = on_end
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to look."""
        for name, probe in self._probes.items():
            thread = threading.Thread(target=self._run, args=(name, probe), name=f"watch-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End, within one look."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._interval_s + 2 * PROBE_S)
        self._on_end()

    def _run(self, name: str, probe: Probe) -> None:
        text = NO_WORKER if name == "worker" else SILENT.format(name)
        missed, may_be_noted = 0, True  # an API before this one may have left a note
        while not self._stop.wait(self._interval_s):
            silent = _is_silent(name, probe)
            missed = missed + 1 if silent else 0
            try:
                if missed >= MISSED:
                    self._note(text)
                    may_be_noted = True
                elif may_be_noted and not silent:
                    self._end(text)
                    may_be_noted = False
            except DatabaseUnavailableError as error:
                log.warning("waiting_not_noted", awaited=name, error=str(error))

    def _note(self, text: str) -> None:
        with reading(self._engine) as session:
            if not any_unfinished(session, text=None):
                return
        now = read_time(self._engine)
        with transaction(self._engine) as session:
            note_all_waiting(session, text, now)

    def _end(self, text: str) -> None:
        with reading(self._engine) as session:
            if not any_unfinished(session, text=text):
                return
        with transaction(self._engine) as session:
            end_all_waiting(session, text)


def _is_silent(name: str, probe: Probe) -> bool:
    try:
        probe()
    except DatabaseUnavailableError:
        return False  # that says nothing about what was asked for
    except TransientError as error:
        log.debug("silent", awaited=name, error=str(error))
        return True
    return False


def make_watch(settings: Settings, engine: Engine, publisher: Publisher) -> Watch:
    """The watch of one API process."""
    client = PredictClient(settings.serving.address, PROBE_S, security=settings.serving)

    def serving() -> None:
        if not client.ready():
            raise ServingUnavailableError(f"{client.address} does not answer")

    def worker() -> None:
        check_workers(engine, settings.worker.lease_s)

    probes: dict[str, Probe] = {"broker": lambda: publisher.check(PROBE_S), "serving": serving, "worker": worker}
    return Watch(engine, probes, settings.api.watch_interval_s, on_end=client.close)


def check_workers(engine: Engine, lease_s: float) -> None:
    """Look for a sign of life of any worker process, if there is something to do.

    Args:
        engine: the ledger.
        lease_s: how long a process may be silent: it renews its record three times in this time.

    Raises:
        WorkersSilentError: none came, and jobs are not finished.
        DatabaseUnavailableError: the ledger does not answer.
    """
    now = read_time(engine)
    with reading(engine) as session:
        heard, waiting = count_heard(session, now - timedelta(seconds=lease_s))
    if waiting and not heard:
        raise WorkersSilentError(
            f"no worker process has given a sign of life for {lease_s:g} s, and {waiting} jobs are not finished: "
            "see whether workers run and reach the database"
        )
