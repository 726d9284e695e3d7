"""DermQ as its users run it: `dermq up`, one job, all processes on this machine's cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.memory import MemorySampler
from cli.stack.state import load_state


@dataclass(frozen=True)
class Run:
    """One job's figures."""

    seconds: float  # from submission to the terminal state
    preparing_s: float
    images: int
    peak_mb: dict[str, float]  # proportional set size, by process


@contextmanager
def stack(data: Path, environment: dict[str, str]) -> Iterator[None]:
    """`dermq up` in a folder of its own, ready; stopped at the end."""
    log = (data.parent / "up.log").open("wb")
    env = {**os.environ, **environment}
    process = subprocess.Popen([sys.executable, "-m", "cli", "up", "--data-dir", str(data)], env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 300
        while not ((state := load_state(data / "state.json")) and state.url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the stack did not start: {Path(log.name).read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def screen(data: Path, archive: Path, model: str) -> Run:
    """Submit the archive as a path of the server and wait for its end."""
    sampler = MemorySampler(data / "state.json")
    command = [sys.executable, "-m", "cli", "screen", str(archive), "--json", "--data-dir", str(data), "--model", model]
    with sampler:
        done = subprocess.run(
            [*command, "--out", str(data.parent / "results.csv")], capture_output=True, text=True, check=True, timeout=1800
        )
    job: dict[str, Any] = json.loads(done.stdout)
    at = {name: datetime.fromisoformat(value) for name, value in job["timestamps"].items() if value}
    return Run(
        seconds=(at["succeeded"] - at["queued"]).total_seconds(),
        preparing_s=(at["running"] - at["queued"]).total_seconds(),
        images=job["counts"]["succeeded"],
        peak_mb=sampler.peak_mb,
    )
