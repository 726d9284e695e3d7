"""`python -m benchmarks.commands`: how long `dermq up` takes until it is ready, and `dermq status` and `dermq jobs` to answer.

Each start is in a folder of its own. Seconds by the clock, and CPU seconds of the command: least, median, most.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import service
from benchmarks.fairness import draw

COMMANDS = (("status", "last"), ("jobs",))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--calls", type=int, default=10, help="of each command")
    chosen = parser.parse_args()
    starts = []
    for number in range(chosen.starts):
        with tempfile.TemporaryDirectory(prefix="dermq-bench-") as name:
            began = time.perf_counter()
            with service.stack(Path(name) / "data", {}):
                starts.append(time.perf_counter() - began)
                if number == chosen.starts - 1:
                    (Path(name) / "picture.jpg").write_bytes(draw(1))
                    call("submit", str(Path(name) / "picture.jpg"), data=Path(name) / "data")
                    for command in COMMANDS:
                        report_calls(command, Path(name) / "data", chosen.calls)
    print(f"dermq up to ready: {spread(starts)} s")


def report_calls(command: Sequence[str], data: Path, calls: int) -> None:
    """One command, again and again."""
    seconds, cpu_s = [], []
    for _ in range(calls):
        began, before = time.perf_counter(), children_s()
        call(*command, data=data)
        seconds.append(time.perf_counter() - began)
        cpu_s.append(children_s() - before)
    print(f"dermq {' '.join(command)}: {spread(seconds)} s, CPU {spread(cpu_s)} s", flush=True)


def call(*command: str, data: Path) -> None:
    """Run a command on the stack of a data folder.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    subprocess.run(
        [sys.executable, "-m", "cli", *command, "--data-dir", str(data)], check=True, capture_output=True, timeout=60
    )


def children_s() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spread(values: Sequence[float]) -> str:
    """Minimum, median, maximum."""
    return " / ".join(f"{value:.2f}" for value in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main()
