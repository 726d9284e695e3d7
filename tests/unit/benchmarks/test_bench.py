"""`make bench` ends in time, and its last line is there whatever its contestants do."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import bench
from benchmarks.bench import Entry

SLOW = "tests.support.slow_contestant"
NAMES = ("model_bound", "decode_bound", "small_images")


def run(monkeypatch: pytest.MonkeyPatch, entries: tuple[Entry, ...], *arguments: str) -> None:
    """The benchmark with made-up contestants and without inputs."""
    monkeypatch.setattr(bench, "SHORT", entries)
    monkeypatch.setattr(bench, "FULL", entries)
    monkeypatch.setattr(bench, "LIMIT", entries[0])
    monkeypatch.setattr(bench, "DERMQ", entries[1])
    monkeypatch.setattr(bench, "make_inputs", lambda _folder, _counts: "no inputs")
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    bench.main()


def last_line(text: str) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = json.loads(text.splitlines()[-1])
    return found


def test_rounds_that_are_whole_count_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = (Entry("limit", SLOW, ("2",)), Entry("DermQ", SLOW, ("1",)))
    began = time.monotonic()
    run(monkeypatch, entries, "--workload", "small_images", "--minutes", "0.1")
    assert time.monotonic() - began < 60, "the contestant that hangs for ten minutes was ended"
    out, err = capfd.readouterr()
    assert last_line(out)["ratios"] == {"small_images": 1.0}
    assert "small_images: 100 images" in out
    assert "its time, 6 s, is over" in err


def test_a_workload_without_a_round_has_null(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    entries = (Entry("limit", SLOW, ("9",)), Entry("DermQ", SLOW, ("0", "ends")))
    run(monkeypatch, entries, "--rounds", "1")
    out, _ = capfd.readouterr()
    assert last_line(out) == {"ratios": dict.fromkeys(NAMES), "cpu_ratios": dict.fromkeys(NAMES)}
    assert out.count("no figures: DermQ ended with 3") == len(NAMES)


def test_further_benchmarks_are_ended_and_the_last_line_comes_after_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hangs = tmp_path / "hangs.py"
    hangs.write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(bench.__file__).parents[1]}")
    monkeypatch.setattr(bench, "FURTHER", (("hangs",), ("this",)))
    monkeypatch.setattr(bench, "ENDING_S", 0.5)
    entries = (Entry("limit", SLOW, ("1",)), Entry("DermQ", SLOW, ("1",)))
    run(monkeypatch, entries, "--full", "--rounds", "1", "--workload", "small_images", "--minutes", "0.15")
    out, _ = capfd.readouterr()
    assert "begun" in out
    assert "hangs ended with" in out
    assert last_line(out)["ratios"] == {"small_images": 1.0}
