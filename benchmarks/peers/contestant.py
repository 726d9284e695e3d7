"""A contestant: a process of its own that makes itself ready once and then takes a round for each line that it reads.

It writes one JSON object a line: `{"ready": true}`, and for each round its images and seconds. Its CPU time is that of
its tree of processes, read from outside: every contestant is measured in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import WORKLOADS, Workload

_ENDS_WITHIN_S = 60.0  # a stack stops its processes one after the other


@dataclass(frozen=True, slots=True)
class Round:
    """What one round took."""

    images: int
    seconds: float
    cpu_s: float  # user and system, of all its processes

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU time for one image."""
        return 1000 * self.cpu_s / self.images


def serve(images: int, take_round: Callable[[], float], *, only_watches: bool = False) -> None:
    """Take a round for each line of standard input, until it ends.

    Args:
        images: of a round.
        take_round: returns its seconds.
        only_watches: this process itself does nothing but ask and wait: its own CPU time is no part of the contestant's.
    """
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        answer = {"images": images, "seconds": take_round()}
        watching_s = time.process_time() - before if only_watches else 0.0
        print(json.dumps({**answer, "watching_s": watching_s}), flush=True)


def read_arguments(doc: str | None, *options: str) -> tuple[Workload, Path, argparse.Namespace]:
    """The workload and the folder of its inputs, as `Contestant` gives them; and further options, all of them text."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=[workload.name for workload in WORKLOADS])
    parser.add_argument("folder", type=Path, help="with the inputs (benchmarks.workloads.make_inputs)")
    for option in options:
        parser.add_argument(option)
    chosen = parser.parse_args()
    return next(each for each in WORKLOADS if each.name == chosen.workload), chosen.folder.resolve(), chosen


class Contestant:
    """One of them, running."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self._log = log
        self._process = process
        self._is_busy = True  # making itself ready

    @property
    def is_busy(self) -> bool:
        """Whether it has not answered yet."""
        return self._is_busy

    def wait_ready(self) -> None:
        """Until it has made itself ready."""
        self._answer()

    def take_round(self) -> Round:
        """Let it run once."""
        assert self._process.stdin is not None  # noqa: S101 - opened below
        before = self._cpu_s()
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        self._is_busy = True
        answer = self._answer()
        return Round(int(answer["images"]), float(answer["seconds"]), self._cpu_s() - before - float(answer["watching_s"]))

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101 - opened below
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}: {self._log.read_text()[-2000:]}")
        self._is_busy = False
        found: dict[str, float] = json.loads(line)
        return found

    def _cpu_s(self) -> float:
        """So far, of its tree of processes."""
        found = {int(path.name): read_stat(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        tree = {self._process.pid}
        while more := {pid for pid, (parent, _) in found.items() if parent in tree} - tree:
            tree |= more
        return sum(found[pid][1] for pid in tree if pid in found)


def read_stat(path: Path) -> tuple[int, float]:
    """Parent and CPU seconds of a process and of its children that have ended (proc(5), stat); zeros if it is gone."""
    try:
        fields = (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(name: str, module: str, arguments: tuple[str, ...], workload: Workload, folder: Path) -> Iterator[Contestant]:
    """A contestant that makes itself ready; ended with the block, also within a round, and killed if it does not end."""
    command = [sys.executable, "-m", module, workload.name, str(folder), *arguments]
    log = folder / f"{module}.{workload.name}.log"  # TensorFlow says much as it starts
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True)
    assert process.stdin is not None  # noqa: S101 - opened above
    assert process.stdout is not None  # noqa: S101 - as above
    contestant = Contestant(name, process, log)
    try:
        yield contestant
    finally:
        process.stdin.close()
        if contestant.is_busy:
            process.send_signal(signal.SIGINT)  # it ends what it has started
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
