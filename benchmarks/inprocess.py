"""The best loop one would write without a service: one process per core, Pillow, the SavedModel, nothing else.

It keeps no rows, survives nothing and answers nobody: the upper bound that DermQ's throughput is divided by.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import zipfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from PIL import Image

BATCH = 32


def _work(names: list[str], archive: Path, model: Path, size: tuple[int, int], start: Barrier) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf  # noqa: PLC0415 - in the child, after the fork

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    predict = tf.saved_model.load(str(model)).signatures["serving_default"]
    height, width = size
    predict(images=tf.zeros((BATCH, height, width, 3), tf.uint8))
    with zipfile.ZipFile(archive) as members:
        start.wait()
        for first in range(0, len(names), BATCH):
            batch = []
            for name in names[first : first + BATCH]:
                with members.open(name) as file:
                    image = Image.open(file)
                    image.draft("RGB", (2 * width, 2 * height))
                    batch.append(np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)))
            predict(images=tf.constant(np.stack(batch)))["probabilities"].numpy()


def run(archive: Path, model: Path, size: tuple[int, int]) -> float:
    """Seconds from the first image to the last, with models loaded and warm before the clock starts."""
    context = multiprocessing.get_context("spawn")
    shares = os.cpu_count() or 1
    start = context.Barrier(shares + 1)
    with zipfile.ZipFile(archive) as members:
        names = members.namelist()
    workers = [
        context.Process(target=_work, args=(names[share::shares], archive, model, size, start)) for share in range(shares)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"a process of the loop failed: exit codes {[worker.exitcode for worker in workers]}")
    return time.perf_counter() - began
