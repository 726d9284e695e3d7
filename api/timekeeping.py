"""Keeps the API's clock by the database's: its times in the ledger are compared with those of workers on other hosts."""

from __future__ import annotations

import threading

from core.clock import SharedClock
from core.errors import DatabaseUnavailableError

INTERVAL_S = 5.0
FIRST_INTERVAL_S = 0.5  # until the database has answered once


class Timekeeper:
    """A thread that asks the database for the time: at once, then again and again."""

    def __init__(self, clock: SharedClock) -> None:
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

    def start(self) -> None:
        """Begin to ask. The first answer is not waited for: the API starts with the database away, too."""
        self._thread.start()

    def close(self) -> None:
        """End, after the question that is under way."""
        self._stop.set()
        self._thread.join(INTERVAL_S)

    def _run(self) -> None:
        pause_s = FIRST_INTERVAL_S
        while True:
            try:
                self._clock.sync()
                pause_s = INTERVAL_S
            except DatabaseUnavailableError:  # requests and the watch say so
                pass
            if self._stop.wait(pause_s):
                return
