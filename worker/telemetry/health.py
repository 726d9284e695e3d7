"""Signs of life of worker and beat, for container engines: a file whose age says "alive" and whose text says "ready".

Alive: the main loop turns, or the process is looking for its broker, which no restart would bring back. Ready: it is connected,
too. Neither asks anything of the broker: a probe costs a look at a file (celery's `inspect ping` goes through the broker to
every worker, and fails on busy ones). Standard library only, since probes run often.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

FILE_VARIABLE = "DERMQ_WORKER_HEARTBEAT_FILE"
INTERVAL_S = 5.0  # between two beats
STALLED_S = 60.0  # a main loop that has not turned for so long hangs
STALE_S = 30.0  # a file that is older was left by a process that is gone, or hangs

READY, WAITING = "ready", "waiting"


class Heartbeat:
    """Keeps the file fresh from a thread, as long as the main thread gives it reason to."""

    def __init__(self, path: Path, stalled_s: float = STALLED_S) -> None:
        self._path = path
        self._stalled_s = stalled_s
        self._state = WAITING
        self._turned = time.monotonic()

    def start(self) -> None:
        """Begin to beat. After the pool has forked: children have no use for the thread."""
        self.write()
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def turn(self) -> None:
        """The main loop turns, and is connected."""
        self._turned = time.monotonic()
        self._change(READY)

    def wait(self) -> None:
        """The main thread is looking for its broker, or ends: it may take as long as it likes."""
        self._change(WAITING)

    @property
    def stalled(self) -> bool:
        """Whether the main loop should have turned and has not."""
        return self._state == READY and time.monotonic() - self._turned > self._stalled_s

    def write(self) -> None:
        """One beat; whole or not at all."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        fresh.write_text(self._state)
        fresh.replace(self._path)

    def _change(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.write()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL_S)
            if not self.stalled:
                self.write()


def find_fault(path: Path, *, ready: bool) -> str:
    """Why a process is not alive, or not ready; empty if it is.

    Args:
        path: its heartbeat file.
        ready: ask for more than life: a connection to the broker.
    """
    try:
        age_s = time.time() - path.stat().st_mtime
        state = path.read_text()
    except FileNotFoundError:
        return f"{path} is not there: the process has not started yet, or runs without {FILE_VARIABLE}"
    if age_s > STALE_S:
        return f"the last heartbeat is {age_s:.0f} s old, expected one every {INTERVAL_S:g} s: the process hangs or is gone"
    if ready and state != READY:
        return "alive, and not connected to the broker"
    return ""


def main(arguments: list[str]) -> int:
    """`health` asks whether the process lives, `health --ready` whether it takes work. 0: yes, 1: no, 2: it cannot be known."""
    named = os.environ.get(FILE_VARIABLE)
    if not named or arguments not in ([], ["--ready"]):
        sys.stderr.write(f"expected {FILE_VARIABLE} to name the heartbeat file, and no argument but --ready\n")
        return 2
    fault = find_fault(Path(named), ready=bool(arguments))
    if fault:
        sys.stderr.write(f"{fault}\n")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
