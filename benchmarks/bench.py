"""`python -m benchmarks.bench` (`make bench`): DermQ beside the best in-process loop and its peers, in interleaved rounds.

For each workload all contestants are made ready, then take turns, in another order in each round. A ratio is that of two
rates of the same round, so that a busy minute of the machine hits both. The last line is one JSON object: the medians of the
ratios of DermQ to the loop with Pillow's decoder, those of rates and those of CPU time.

`--full` adds the peers, then the benchmarks of fairness, of one image while somebody waits, of pages and files, of commands,
of the ledger and of a large job. It ends within about `--minutes`: what is under way when its share of the time is over is
ended, and the rounds that are whole count. The last line comes in any case, with null for a workload that has no round. A
peer that fails is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.peers.contestant import Contestant, Round, running
from benchmarks.workloads import WORKLOADS, Workload, make_inputs

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant, by its module."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()


LIMIT = Entry("loop, Pillow", "benchmarks.peers.loop")
DERMQ = Entry("DermQ", "benchmarks.peers.dermq")
SHORT = (LIMIT, Entry("loop, simplejpeg", "benchmarks.peers.loop", ("--decoder", "simplejpeg")), DERMQ)
FULL = (
    *SHORT,
    Entry("tf.data", "benchmarks.peers.tfdata"),
    Entry("Celery, 1 image a task", "benchmarks.peers.celeryservice", ("--images", "1")),
    Entry("Celery, 64 images a task", "benchmarks.peers.celeryservice", ("--images", "64")),
)
FURTHER = (
    ("benchmarks.fairness", "--rounds", "3", "--giant-items", "40000", "--model", "{folder}/models/small-cnn/1"),
    ("benchmarks.classify", "{folder}/B.zip", "--rounds", "100"),
    ("benchmarks.files", "--rows", "300000"),
    ("benchmarks.commands",),
    ("benchmarks.ledger", "--rows", "40960"),
    ("benchmarks.large", "--items", "10000", "100000"),
)
FURTHER_SHARE = 0.45  # of the time, for these
ENDING_S = 60.0  # of the time, for what is ended before its own end
COUNTS = {"short": {"A": 512, "B": 5_000}, "full": {"A": 1_024, "B": 10_015}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="all peers, and archives of the whole size")
    parser.add_argument("--minutes", type=float, default=20.0, help="no round begins later")
    parser.add_argument("--workload", choices=[workload.name for workload in WORKLOADS], help="only this one")
    parser.add_argument("--settings", default="", help='settings for DermQ, as "DERMQ_WORKER_BATCH_ITEMS=8 …"')
    chosen = parser.parse_args()
    entries = [
        Entry(DERMQ.name, DERMQ.module, ("--settings", chosen.settings)) if entry is DERMQ and chosen.settings else entry
        for entry in (FULL if chosen.full else SHORT)
    ]
    ends = time.monotonic() + 60 * chosen.minutes
    workloads = [workload for workload in WORKLOADS if chosen.workload in (None, workload.name)]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for those started here, too: behind a shell's `&` it is ignored
    found = Found({workload.name: None for workload in workloads}, {workload.name: None for workload in workloads})
    try:
        with tempfile.TemporaryDirectory(prefix="dermq-inputs-") as name:
            print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
            print(make_inputs(Path(name), COUNTS["full" if chosen.full else "short"]), flush=True)
            further_s = 60 * chosen.minutes * FURTHER_SHARE if chosen.full else 0.0
            for number, workload in enumerate(reversed(workloads)):  # the quick ones first: what they leave goes to the others
                share_s = (ends - further_s - time.monotonic()) / (len(workloads) - number)
                compare(workload, partial(take_rounds, workload, Path(name), entries, chosen.rounds, share_s), found)
            for number, command in enumerate(FURTHER if chosen.full else ()):
                share_s = (ends - ENDING_S - time.monotonic()) / (len(FURTHER) - number)
                run_further([part.format(folder=name) for part in command], share_s)
    finally:
        print(json.dumps({"ratios": found.ratios, "cpu_ratios": found.cpu_ratios}), flush=True)


@dataclass(frozen=True, slots=True)
class Found:
    """DermQ to the loop with Pillow's decoder, by workload; None where there is no round."""

    ratios: dict[str, float | None]  # medians of those of rates
    cpu_ratios: dict[str, float | None]


def compare(workload: Workload, take: Callable[[], dict[str, list[Round]]], found: Found) -> None:
    """One workload: take its rounds, print its table, and put its ratios into `found`."""
    try:
        taken = take()
    except RuntimeError as error:
        print(f"\n{workload.name}: no figures: {error}", flush=True)
        return
    if not {LIMIT.name, DERMQ.name} <= taken.keys():
        print(f"\n{workload.name}: no round of both {LIMIT.name} and {DERMQ.name} is whole", flush=True)
        return
    print(describe(workload, taken), flush=True)
    found.ratios[workload.name] = round(statistics.median(ratios_of(taken, DERMQ.name)), 3)
    found.cpu_ratios[workload.name] = round(cpu_ms(taken[LIMIT.name]) / cpu_ms(taken[DERMQ.name]), 3)


def run_further(command: list[str], share_s: float) -> None:
    """Another benchmark, whose output is passed on; ended where it takes longer than this."""
    if share_s <= 0:
        print(f"\n{' '.join(command)}: no time is left for it", flush=True)
        return
    print(f"\n{' '.join(command)}", flush=True)
    process = subprocess.Popen([sys.executable, "-m", *command])
    try:
        code = process.wait(share_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it stops the stack that it has started
        try:
            code = process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code:
        print(f"{command[0]} ended with {code}, without all its figures", flush=True)


class TimeIsUpError(Exception):
    """A share of the time is over."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeIsUpError within the block once so many seconds are over. For the main thread."""

    def strike(*_: object) -> None:
        raise TimeIsUpError

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def take_rounds(workload: Workload, folder: Path, entries: list[Entry], rounds: int, share_s: float) -> dict[str, list[Round]]:
    """The rounds of each contestant that has any, by its name.

    Args:
        workload: what is measured.
        folder: with the inputs.
        entries: the contestants.
        rounds: of each, at most.
        share_s: seconds until what is under way is ended; those who come later in the last round have one less then.
    """
    if share_s <= 0:
        return {}
    found: dict[str, list[Round]] = {entry.name: [] for entry in entries}
    with ExitStack() as stack:
        contestants = [
            stack.enter_context(running(entry.name, entry.module, entry.arguments, workload, folder)) for entry in entries
        ]
        try:
            with time_limit(share_s):
                for contestant in tuple(contestants):
                    attempt(contestant, contestant.wait_ready, contestants, found)
                for number in range(rounds):
                    take_round(number, f"{workload.name} {number + 1}/{rounds}", contestants, found)
        except TimeIsUpError:
            print(f"{workload.name}: its time, {share_s:.0f} s, is over", file=sys.stderr, flush=True)
    return {name: taken for name, taken in found.items() if taken}


def take_round(number: int, title: str, contestants: list[Contestant], found: dict[str, list[Round]]) -> None:
    """One round of each contestant, in an order of its own."""
    random.Random(number).shuffle(contestants)
    for contestant in tuple(contestants):
        taken = attempt(contestant, contestant.take_round, contestants, found)
        if taken is not None:
            found[contestant.name].append(taken)
            print(f"{title} {contestant.name}: {taken.rate:.0f}/s, {taken.cpu_ms:.3f} ms of CPU", file=sys.stderr, flush=True)


def attempt(
    contestant: Contestant, what: Callable[[], Answer], contestants: list[Contestant], found: dict[str, list[Round]]
) -> Answer | None:
    """What it answers; None of a peer that fails, which takes no further part.

    Raises:
        RuntimeError: the loop or DermQ fails.
    """
    try:
        return what()
    except RuntimeError as error:
        if contestant.name in (LIMIT.name, DERMQ.name):
            raise
        print(f"left out: {error}", flush=True)
        contestants.remove(contestant)
        del found[contestant.name]
        return None


def ratios_of(rounds: dict[str, list[Round]], name: str) -> list[float]:
    """Rate by rate of the loop in the same round, where both have one."""
    return [taken.rate / limit.rate for taken, limit in zip(rounds[name], rounds[LIMIT.name], strict=False)]


def cpu_ms(rounds: list[Round]) -> float:
    """The median CPU time of an image, milliseconds."""
    return statistics.median(taken.cpu_ms for taken in rounds)


def describe(workload: Workload, rounds: dict[str, list[Round]]) -> str:
    """A table: min, median and max over the rounds."""
    images = rounds[LIMIT.name][0].images
    lines = [
        f"\n{workload.name}: {images} images, {workload.model} at {workload.side} px",
        "| contestant | images/s | ratio to the loop | CPU ms an image | ratio of CPU | cores busy |",
        "|---|---|---|---|---|---|",
    ]
    limit = cpu_ms(rounds[LIMIT.name])
    for name, taken in rounds.items():
        cpu = cpu_ms(taken)
        busy = statistics.median(each.cpu_s / each.seconds for each in taken)
        rates, ratios = [each.rate for each in taken], ratios_of(rounds, name)
        lines.append(f"| {name} | {_spread(rates, 0)} | {_spread(ratios, 2)} | {cpu:.3f} | {limit / cpu:.2f} | {busy:.2f} |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    """Minimum, median, maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main()
