"""A private server for one version, so that it can be looked at without touching those that are served."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.childprocess import python_environment
from core.errors import ModelContractError, ServingUnavailableError
from core.hosts import find_loopback, free_port, join_host
from serving.client import PredictClient
from serving.repository import ModelVersion

START_LIMIT_S = 120.0  # a large model from a cold disk
_GRACE_S = 10.0


def can_prove() -> bool:
    """Whether the embedded server is installed here."""
    return all(importlib.util.find_spec(name) is not None for name in ("tensorflow", "tensorflow_serving"))


@contextmanager
def private_server(version: ModelVersion) -> Iterator[PredictClient]:
    """Run the embedded server on the CPU with this version alone; a client for as long as the context lasts.

    Raises:
        ModelContractError: the version cannot be loaded, in the server's words.
        ServingUnavailableError: the server did not get ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="dermq-proving-") as folder:
        base = Path(folder) / version.model
        base.mkdir()
        (base / str(version.number)).symlink_to(version.path.resolve(), target_is_directory=True)
        host, log = find_loopback(), Path(folder) / "log"
        port = free_port(host)
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(version.model, base, host, port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
            )
        try:
            with PredictClient(join_host(host, port), timeout_s=30.0) as client:
                _await(client, process, version, log)
                yield client
        finally:
            _end(process)


def _command(model: str, base: Path, host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "serving.embedded", f"--bind_address={host}", f"--port={port}"),
        *(f"--model_name={model}", f"--model_base_path={base}"),
        *("--max_num_load_retries=0", "--file_system_poll_wait_seconds=0", "--log_level=ERROR"),
    ]


def _environment() -> dict[str, str]:
    return {**python_environment(), "CUDA_VISIBLE_DEVICES": "-1"}  # the GPU belongs to the server that works


def _await(client: PredictClient, process: subprocess.Popen[bytes], version: ModelVersion, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not client.ready(version.model):
        if process.poll() is not None:
            output = log.read_text(encoding="utf-8", errors="replace").strip()[-1500:]
            raise ModelContractError(
                f"{version.model} version {version.number} cannot be loaded: {output or 'no reason given'}"
            )
        if time.monotonic() > deadline:
            raise ServingUnavailableError(
                f"{version.model} version {version.number}: the private server did not load it within {START_LIMIT_S:g} s"
            )
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
