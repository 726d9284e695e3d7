"""`python -m benchmarks.serving`: the embedded server against the same SavedModel called in process, alternating rounds.

Batches of 64 uint8 images of 224 x 224 into a MobileNetV2 (random weights) whose variables became constants when it was loaded.
In process: one thread for each run, as many runs at once as there are cores; the server: the same, behind gRPC in a process of
its own. Printed are images per second of each round, and the ratio of the best rounds. The goal is 0.9.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.client import PredictClient
from serving.embedded.servable import load_servable
from serving.embedded.tensorflow_runtime import tf

SIDE = 224
Images = npt.NDArray[np.uint8]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=8, help="in each round")
    parser.add_argument("--batch", type=int, default=64, help="images in each batch")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "bench"
        export(base / "1")
        measure(base, chosen)


def export(path: Path) -> None:
    """MobileNetV2 with `images` uint8 → `probabilities`."""
    network = tf.keras.applications.MobileNetV2(weights=None, input_shape=(SIDE, SIDE, 3), classes=7)
    archive = tf.keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda images: {"probabilities": network(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False)},
        input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8, name="images")],
    )
    archive.write_out(str(path), verbose=False)


def measure(base: Path, chosen: argparse.Namespace) -> None:
    """Alternate rounds, so that a busy minute of the machine hits both."""
    cores = cpu_count() or 1
    images = np.random.default_rng(1).integers(0, 256, (chosen.batch, SIDE, SIDE, 3), dtype=np.uint8)
    servable = load_servable(base / "1")
    signature = servable.signatures["serving_default"]
    feed, fetch = signature.inputs["images"].name, signature.outputs["probabilities"].name

    def in_process(batch: Images) -> Any:
        return servable.run({feed: batch}, [fetch])

    with served(base) as client:

        def over_grpc(batch: Images) -> Any:
            return client.predict("bench", 1, batch)

        np.testing.assert_allclose(over_grpc(images[:2]), in_process(images[:2])[0], atol=1e-5)
        rates: dict[str, list[float]] = {"in process": [], "embedded": []}
        for number in range(chosen.rounds):
            rates["in process"].append(rate(in_process, images, chosen.batches, cores))
            # One more request in flight than cores, as a worker sends them: one travels while the others compute.
            rates["embedded"].append(rate(over_grpc, images, chosen.batches, cores + 1))
            said = "   ".join(f"{name} {each[-1]:7.1f} images/s" for name, each in rates.items())
            print(f"round {number + 1}: {said}")
    print(f"\nembedded / in process, best rounds: {max(rates['embedded']) / max(rates['in process']):.2f}")


def rate(call: Callable[[Images], Any], images: Images, batches: int, in_flight: int) -> float:
    """Images per second, after one warm-up call per thread."""
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(call, [images[:2]] * in_flight))
        began = time.perf_counter()
        list(pool.map(call, [images] * batches))
        return batches * len(images) / (time.perf_counter() - began)


@contextmanager
def served(base: Path) -> Iterator[PredictClient]:
    """The embedded server in a process of its own, with one model."""
    with embedded("--model_name=bench", f"--model_base_path={base}") as (client, _):
        client.wait_ready(120, "bench")
        yield client


@contextmanager
def embedded(*flags: str) -> Iterator[tuple[PredictClient, subprocess.Popen[bytes]]]:
    """The embedded server in a process of its own: it listens, its models may still be loading."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "serving.embedded", f"--port={port}", *flags, "--log_level=ERROR"])
    try:
        with PredictClient(f"127.0.0.1:{port}", timeout_s=300) as client:
            yield client, process
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
