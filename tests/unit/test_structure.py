"""The shape of the project itself: light processes, small files, no folders for leftovers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "cli", "core", "serving", "training", "worker")


def sources() -> list[Path]:
    files = [path for package in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / package).rglob("*.py")]
    return [path for path in files if not path.name.endswith("_pb2.py")]


@pytest.mark.parametrize("module", ["api.app", "worker.app", "serving.client", "cli.main"])
def test_light_processes_do_not_import_tensorflow(module: str) -> None:
    code = (
        f"import sys, {module}; print([name for name in ('tensorflow', 'keras', 'tensorflow_serving') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_over_400_lines() -> None:
    found = sources()
    assert len(found) > 80
    assert {str(path): lines for path in found if (lines := len(path.read_text().splitlines())) > 400} == {}


def test_no_module_is_named_as_a_leftover() -> None:
    leftovers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [path for path in sources() if path.stem in leftovers or leftovers & set(path.relative_to(ROOT).parts)] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path for path in sources() if "protos" not in path.parts and not path.read_text().lstrip().startswith(('"""', "#!"))
    ]
    assert silent == []
