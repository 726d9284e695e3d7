"""Memory of the stack's processes while something runs. `python -m benchmarks.memory`: what importing the light client adds."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.stack.state import load_state


def proportional_mb(pid: int) -> float:
    """Proportional set size (proc(5), smaps_rollup): shared pages counted by their share. 0 if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


class MemorySampler:
    """Samples the processes that state.json names, children included, four times a second."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_mb: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            state = load_state(self._state)
            for name, identity in state.processes.items() if state else ():
                children = Path(f"/proc/{identity.pid}/task/{identity.pid}/children")
                pids = [identity.pid, *map(int, children.read_text().split())] if children.exists() else [identity.pid]
                for number, pid in enumerate(pids):
                    key = name if number == 0 else f"{name} child {number}"
                    self.peak_mb[key] = max(self.peak_mb.get(key, 0.0), proportional_mb(pid))


_CLIENT = """
import numpy, os

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
import serving.client
print((resident() - before) / 1e6)
"""


def client_mb() -> float:
    """Resident megabytes (10^6 bytes) that `import serving.client` adds to a process that has NumPy. Linux only."""
    done = subprocess.run([sys.executable, "-c", _CLIENT], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    print(f"import serving.client: {client_mb():.1f} MB")
