"""tf.data as a contestant: one process, members from a generator, decode and resize in a parallel map, batches prefetched.

TensorFlow's own decoder takes the largest scale down that leaves twice the model's input, with its fast inverse DCT, and its
resize does not antialias: cheaper pixels than those of the other contestants, and not the same.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.inprocess import Row, StoredZip, load_frozen, rows_of, store
from benchmarks.peers.contestant import read_arguments, serve
from benchmarks.workloads import Workload

READ_AHEAD = 64  # members that the generator hands over at once


def main() -> None:
    """Load the model, then run the pipeline for each round."""
    workload, folder, _ = read_arguments(__doc__)
    cores = os.cpu_count() or 1
    predict = load_frozen(workload.version(folder), threads=cores)
    members = StoredZip(workload.archive(folder))
    for images in _pipeline(workload, members).take(2):
        predict(images)

    def take_round() -> float:
        rows: list[Row] = []
        began = time.perf_counter()
        for images in _pipeline(workload, members):
            names = members.names[len(rows) : len(rows) + len(images)]
            rows += rows_of(names, predict(images))
        with tempfile.TemporaryDirectory() as target:
            store(Path(target), rows)
        return time.perf_counter() - began

    serve(len(members), take_round)


def _pipeline(workload: Workload, members: StoredZip) -> Any:
    import tensorflow as tf  # noqa: PLC0415 - load_frozen has set its threads

    side = workload.side
    smaller = min(Image.open(io.BytesIO(members.read(0))).size)
    ratio = max(ratio for ratio in (1, 2, 4, 8) if ratio == 1 or smaller // ratio >= 2 * side)

    def read() -> Iterator[list[bytes]]:
        for first in range(0, len(members), READ_AHEAD):
            yield [members.read(number) for number in range(first, min(len(members), first + READ_AHEAD))]

    def decode(data: Any) -> Any:
        image = tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_FAST", fancy_upscaling=False)
        return tf.cast(tf.image.resize(image, (side, side), "bilinear"), tf.uint8)

    options = tf.data.Options()
    options.autotune.enabled = False  # with it, the iterator's end can wait for a timer
    files = tf.data.Dataset.from_generator(read, output_signature=tf.TensorSpec([None], tf.string)).unbatch()
    decoded = files.map(decode, num_parallel_calls=os.cpu_count() or 1)
    return decoded.batch(64 if side > 112 else 256).prefetch(2).with_options(options)


if __name__ == "__main__":
    main()
