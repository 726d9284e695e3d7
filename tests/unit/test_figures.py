"""The two tables of figures: the code's size, and the share of it that the tests run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.structure import measure, table

ROOT = Path(__file__).resolve().parents[2]


def test_structure_counts_files_lines_and_short_functions() -> None:
    long = "def long():\n" + "    pass\n" * 25
    sources = [
        ("core/a.py", "import os\n\n\ndef short():\n    pass\n"),
        ("core/db/b.py", long),
        ("serving/protos/predict_pb2.py", long),
        ("tests/test_a.py", long),
    ]
    rows = table(measure(iter(sources))).splitlines()
    assert "| core | 2 | 31 | 16 / 26 | 50.0% of 2 |" in rows
    assert "| serving | 0 | 0 | | |" in rows
    assert rows[-1] == "| all | 2 | 31 | 16 / 26 | 50.0% of 2 |"


def test_coverage_is_summed_up_per_package_and_folder() -> None:
    def file(lines: int, of_lines: int, branches: int, of_branches: int) -> dict[str, dict[str, int]]:
        names = ("covered_lines", "num_statements", "covered_branches", "num_branches")
        return {"summary": dict(zip(names, (lines, of_lines, branches, of_branches), strict=True))}

    report = {
        "files": {"core/a.py": file(8, 10, 0, 0), "core/db/b.py": file(9, 10, 1, 2), "core/db/schema/c.py": file(1, 2, 0, 0)}
    }
    command = [sys.executable, str(ROOT / ".ci" / "coverage-by-package")]
    done = subprocess.run(command, input=json.dumps(report), capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["core", "18", "/", "22", "1", "/", "2", "79.2%"],
        ["core/*.py", "8", "/", "10", "0", "/", "0", "80.0%"],
        ["core/db", "10", "/", "12", "1", "/", "2", "78.6%"],
        ["all", "18", "/", "22", "1", "/", "2", "79.2%"],
    ]
