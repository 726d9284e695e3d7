"""A plain Celery service on a real broker as a contestant. `--images 1`: one image a task; else so many, in the best batches.

With one image a task a round takes a part of the archive only: as a rate it is the same, and the whole would take minutes.

The workers are prefork processes, one a core, with the frozen model. The client sends all tasks, takes the answers out of the
broker and keeps the rows in SQLite.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from celery.result import ResultSet

from benchmarks.inprocess import StoredZip, rows_of, store
from benchmarks.peers import celeryapp
from benchmarks.peers.contestant import read_arguments, serve
from tests.support.servers import running, running_broker

LOADING_S = 600  # in which a process must have loaded TensorFlow and the model, on a machine where all contestants do so
ALONE = 1_000  # images of a round with one image a task


def main() -> None:
    """Start broker and workers, then send a round's tasks for each line."""
    workload, folder, chosen = read_arguments(__doc__, "--images")
    members, step, cores = StoredZip(workload.archive(folder)), int(chosen.images or 1), os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="dermq-celery-") as name, running_broker("valkey", Path(name)) as url:
        place = Path(name)
        env = {celeryapp.BROKER: url, celeryapp.WORKLOAD: workload.name, celeryapp.FOLDER: str(folder)}
        celeryapp.app.conf.update(broker_url=url, result_backend=url)
        arguments = ("worker", "--concurrency", str(cores), "--loglevel", "WARNING", "--without-gossip", "--without-mingle")
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celeryapp", *arguments]
        with running(command, log=place / "celery.log", env=env):
            images = min(len(members), ALONE) if step == 1 else len(members)

            def take_round() -> float:
                return send_all(members, images, step, place)

            send_all_warm(cores, step)
            serve(images, take_round)


def send_all_warm(cores: int, step: int) -> None:
    """Some tasks for each process, so that all have answered once."""
    ResultSet([celeryapp.classify.delay(0, step) for _ in range(4 * cores)]).join_native(timeout=LOADING_S)


def send_all(members: StoredZip, images: int, step: int, place: Path) -> float:
    """Seconds from the first message to the commit of the last row."""
    began = time.perf_counter()
    ranges = [(first, min(images, first + step)) for first in range(0, images, step)]
    answers = ResultSet([celeryapp.classify.delay(*each) for each in ranges]).join_native(timeout=600)
    rows = []
    for (first, last), answer in zip(ranges, answers, strict=True):
        probabilities = np.stack([np.frombuffer(row, "<f4") for row in answer])
        rows += rows_of(members.names[first:last], probabilities)
    store(place, rows)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
