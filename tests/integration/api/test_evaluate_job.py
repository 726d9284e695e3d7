"""`dermq evaluate-job` against a real API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.api.conftest import Api, scored

ROOT = Path(__file__).parents[3]
MEL, NV = (0.0, 0.1, 0.7, 0.2), (0.0, 0.1, 0.1, 0.8)


def dermq(api: Api, *arguments: str) -> Any:
    command = [sys.executable, "-m", "cli", "evaluate-job", *arguments, "--server", api.url]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


def test_a_job_is_measured_by_a_table(api: Api, tmp_path: Path) -> None:
    job = str(api.run(4, lambda number: scored(number, MEL if number in (0, 2) else NV)))
    truth, out = tmp_path / "truth.csv", tmp_path / "report.html"
    truth.write_text("image,dx\n000000,mel\n000001,mel\n000002,nv\n000003,nv\n77,nv\n000003,nv\n")
    done = dermq(api, job, "--truth", str(truth), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "1 names match no image: 77" in done.stdout
    assert "1 images are named more than once with the same class: 000003" in done.stdout
    assert ["balanced", "accuracy", "0.500"] in [line.split()[:3] for line in done.stdout.splitlines()]
    assert "sensitivity at 0.500" in done.stdout
    assert out.read_text().startswith("<!doctype html>")
    again = dermq(api, job, "--json")  # the truth that the job has
    assert json.loads(again.stdout)["confusion"] == [[0] * 4, [0] * 4, [0, 0, 1, 1], [0, 0, 1, 1]]


def test_without_a_truth_the_archive_is_asked(api: Api, tmp_path: Path) -> None:
    folders = str(api.run(2, lambda number: scored(number, NV, f"{('mel', 'nv')[number]}/{number}.jpg")))
    report = tmp_path / "report.json"
    assert dermq(api, folders, "--out", str(report)).returncode == 0
    assert json.loads(report.read_text())["truth"]["source"] == "the folders of the archive"
    nothing = str(api.run(1, lambda number: scored(number, NV)))
    refused = dermq(api, nothing)
    assert refused.returncode == 2
    assert "classes that the model does not have: images (1)" in refused.stderr.replace("\n", " ")
    assert dermq(api, folders, "--out", str(tmp_path / "report.pdf")).returncode == 2
