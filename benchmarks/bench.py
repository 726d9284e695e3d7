"""`python -m benchmarks.bench` (`make bench`): DermQ beside the best in-process loop and its peers, in interleaved rounds.

For each workload all contestants are made ready, then take turns, in another order in each round. A ratio is that of two
rates of the same round, so that a busy minute of the machine hits both. The last line is one JSON object: the medians of the
ratios of DermQ to the loop with Pillow's decoder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.contestant import Contestant, Round, running
from benchmarks.workloads import WORKLOADS, Workload, make_inputs


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
COUNTS = {"short": {"A": 512, "B": 5_000}, "full": {"A": 1_024, "B": 10_015}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="all peers, and archives of the whole size")
    parser.add_argument("--workload", choices=[workload.name for workload in WORKLOADS], help="only this one")
    parser.add_argument("--settings", default="", help='settings for DermQ, as "DERMQ_WORKER_BATCH_ITEMS=8 …"')
    chosen = parser.parse_args()
    entries = [
        Entry(DERMQ.name, DERMQ.module, ("--settings", chosen.settings)) if entry is DERMQ and chosen.settings else entry
        for entry in (FULL if chosen.full else SHORT)
    ]
    ratios = {}
    with tempfile.TemporaryDirectory(prefix="dermq-inputs-") as name:
        print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
        print(make_inputs(Path(name), COUNTS["full" if chosen.full else "short"]), flush=True)
        for workload in WORKLOADS:
            if chosen.workload in (None, workload.name):
                rounds = take_rounds(workload, Path(name), entries, chosen.rounds)
                print(describe(workload, rounds), flush=True)
                ratios[workload.name] = round(statistics.median(ratios_of(rounds, DERMQ.name)), 3)
    print(json.dumps({"ratios": ratios}))


def take_rounds(workload: Workload, folder: Path, entries: list[Entry], rounds: int) -> dict[str, list[Round]]:
    """The rounds of each contestant, by its name."""
    found: dict[str, list[Round]] = {entry.name: [] for entry in entries}
    with ExitStack() as stack:
        contestants: list[Contestant] = [
            stack.enter_context(running(entry.name, entry.module, entry.arguments, workload, folder)) for entry in entries
        ]
        for contestant in contestants:
            contestant.wait_ready()
        for number in range(rounds):
            random.Random(number).shuffle(contestants)
            for contestant in contestants:
                taken = contestant.take_round()
                found[contestant.name].append(taken)
                text = (
                    f"{workload.name} {number + 1}/{rounds} {contestant.name}: {taken.rate:.0f}/s, {taken.cpu_ms:.3f} ms of CPU"
                )
                print(text, file=sys.stderr, flush=True)
    return found


def ratios_of(rounds: dict[str, list[Round]], name: str) -> list[float]:
    """Rate by rate of the loop in the same round."""
    return [taken.rate / limit.rate for taken, limit in zip(rounds[name], rounds[LIMIT.name], strict=True)]


def describe(workload: Workload, rounds: dict[str, list[Round]]) -> str:
    """A table: min, median and max over the rounds."""
    images = rounds[LIMIT.name][0].images
    lines = [
        f"\n{workload.name}: {images} images, {workload.model} at {workload.side} px",
        "| contestant | images/s | ratio to the loop | CPU ms an image | ratio of CPU | cores busy |",
        "|---|---|---|---|---|---|",
    ]
    limit = statistics.median(taken.cpu_ms for taken in rounds[LIMIT.name])
    for name, taken in rounds.items():
        cpu = statistics.median(each.cpu_ms for each in taken)
        busy = statistics.median(each.cpu_s / each.seconds for each in taken)
        rates, ratios = [each.rate for each in taken], ratios_of(rounds, name)
        lines.append(f"| {name} | {_spread(rates, 0)} | {_spread(ratios, 2)} | {cpu:.3f} | {limit / cpu:.2f} | {busy:.2f} |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    """Minimum, median, maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main()
