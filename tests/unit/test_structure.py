"""The shape of the project itself: light processes, small files, no folders for leftovers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "cli", "client/src/dermq", "core", "serving", "training", "worker")


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


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_client_needs_httpx2_only() -> None:
    files = list((ROOT / "client/src/dermq").rglob("*.py"))
    assert len(files) > 10
    outside = {name for path in files for name in imported(path)} - {*sys.stdlib_module_names, "dermq"}
    assert outside == {"httpx2", "pandas", "pyarrow", "rich", "tqdm"}  # all but the first are optional


def test_of_the_application_the_command_line_alone_uses_the_client() -> None:
    users = {path.relative_to(ROOT).parts[0] for path in sources() if "dermq" in imported(path)}
    assert users == {"cli", "client", "tests"}
