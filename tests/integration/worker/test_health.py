"""Probes of real processes: liveness outlives the broker, readiness does not (worker and beat alike)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import free_port, running, running_broker, wait_until
from tests.support.stack import RHYTHM


def probe(environment: dict[str, str], *arguments: str) -> int:
    command = [sys.executable, "-m", "worker", "health", *arguments]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


@pytest.mark.parametrize("verb", ["worker", "beat"])
def test_liveness_passes_with_the_broker_away_and_readiness_does_not(verb: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        **RHYTHM,
        "DERMQ_DATA_DIR": str(tmp_path),
        "DERMQ_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "DERMQ_WORKER_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
    }
    assert probe(environment) == 1, "alive before it was started"
    (tmp_path / "broker").mkdir()
    with running([sys.executable, "-m", "worker", verb], log=tmp_path / f"{verb}.log", env=environment):
        wait_until(lambda: probe(environment) == 0, timeout_s=30, what="a heartbeat without a broker", poll_s=0.2)
        assert probe(environment, "--ready") == 1
        with running_broker("valkey", tmp_path / "broker", port=port):
            wait_until(lambda: probe(environment, "--ready") == 0, timeout_s=30, what="readiness", poll_s=0.2)
        wait_until(lambda: probe(environment, "--ready") == 1, timeout_s=30, what="readiness to end", poll_s=0.2)
        assert probe(environment) == 0
