"""The embedded server as a process of its own, for tests that kill it or keep TensorFlow out of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.client import PredictClient

START_TIMEOUT_S = 120.0  # TensorFlow's import takes half a minute on a busy machine


def start_embedded(*flags: str, port: int) -> subprocess.Popen[bytes]:
    """Start `python -m serving.embedded` with these flags; it is not ready yet."""
    command = [sys.executable, "-m", "serving.embedded", f"--port={port}", *flags]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})


def wait_for_serving(process: subprocess.Popen[bytes], address: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Block until the server answers; fail at once if it has died."""
    deadline = time.monotonic() + timeout_s
    with PredictClient(address, timeout_s=2.0) as client:
        while not client.ready():
            assert process.poll() is None, f"the embedded server ended with {process.returncode} before it was ready"
            assert time.monotonic() < deadline, f"the embedded server was not ready within {timeout_s} s"
            time.sleep(0.1)


@contextmanager
def embedded_server(*flags: str, port: int) -> Iterator[str]:
    """A server that answers, stopped in order at the end. Yields its address."""
    process = start_embedded(*flags, port=port)
    address = f"127.0.0.1:{port}"
    try:
        wait_for_serving(process, address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)
