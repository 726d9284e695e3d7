"""Heartbeat files: what a probe says of fresh, old, missing and unconnected ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.telemetry import health
from worker.telemetry.health import STALE_S, Heartbeat, find_fault


def test_a_turning_loop_is_alive_and_ready(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "beat")
    heartbeat.turn()
    assert find_fault(tmp_path / "beat", ready=True) == ""


def test_one_that_looks_for_its_broker_is_alive_and_not_ready(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "beat")
    heartbeat.turn()
    heartbeat.wait()
    assert find_fault(tmp_path / "beat", ready=False) == ""
    assert "not connected to the broker" in find_fault(tmp_path / "beat", ready=True)


def test_an_old_file_and_a_missing_one_are_faults(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "beat").turn()
    past = time.time() - STALE_S - 5
    os.utime(tmp_path / "beat", (past, past))
    assert "hangs or is gone" in find_fault(tmp_path / "beat", ready=False)
    assert "has not started yet" in find_fault(tmp_path / "nothing", ready=False)


def test_a_loop_that_no_longer_turns_is_found_out_and_one_that_waits_is_left_in_peace(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "beat", stalled_s=-1)
    heartbeat.turn()
    assert heartbeat.stalled
    heartbeat.wait()
    assert not heartbeat.stalled


def test_the_probe_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "beat").turn()
    program = [sys.executable, "-I", health.__file__, "--ready"]
    environment = {health.FILE_VARIABLE: str(tmp_path / "beat")}
    assert subprocess.run(program, env=environment, check=False).returncode == 0
    assert subprocess.run(program, env={}, check=False, capture_output=True).returncode == 2


def test_unknown_arguments_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(health.FILE_VARIABLE, "x")
    assert health.main(["--fast"]) == 2
    assert "--ready" in capsys.readouterr().err
