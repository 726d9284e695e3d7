"""The task of a plain Celery service: decode and predict a range of an archive, answer with rows. See celeryservice.

It is what one writes in a weekend: no ledger, no fencing, results in the broker. The environment says where the inputs lie.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from celery import Celery
from celery.signals import worker_process_init

from benchmarks.inprocess import StoredZip, decode_by_pillow, load_frozen
from benchmarks.workloads import WORKLOADS

BROKER, WORKLOAD, FOLDER = (f"DERMQ_BENCH_{name}" for name in ("BROKER", "WORKLOAD", "FOLDER"))

app = Celery("peers", broker=os.environ.get(BROKER), backend=os.environ.get(BROKER))
app.conf.update(worker_prefetch_multiplier=2, worker_proc_alive_timeout=600, broker_connection_retry_on_startup=True)
_held: dict[str, Any] = {}


@worker_process_init.connect  # type: ignore[untyped-decorator]
def open_process(**_: object) -> None:
    """Load the model and open the archive, after the fork."""
    workload = next(each for each in WORKLOADS if each.name == os.environ[WORKLOAD])
    folder = Path(os.environ[FOLDER])
    predict = load_frozen(workload.version(folder))
    for size in (workload.batch, 1):
        predict(np.zeros((size, workload.side, workload.side, 3), np.uint8))
    _held.update(workload=workload, predict=predict, members=StoredZip(workload.archive(folder)))


@app.task  # type: ignore[untyped-decorator]
def classify(first: int, last: int) -> list[bytes]:
    """The probabilities, float32 [classes], of the members from `first` up to, not including, `last`."""
    workload, members = _held["workload"], _held["members"]
    answers: list[bytes] = []
    for start in range(first, last, workload.batch):
        numbers = range(start, min(last, start + workload.batch))
        images = np.stack([np.asarray(decode_by_pillow(members.read(number), workload.side)) for number in numbers])
        answers += [row.tobytes() for row in _held["predict"](images)]
    return answers
