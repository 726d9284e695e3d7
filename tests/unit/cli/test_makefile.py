"""The Makefile's promises that can be kept without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

MAKE = shutil.which("make") or ""
pytestmark = pytest.mark.skipif(not MAKE, reason="make is not installed (Debian: apt-get install make)")


UV = pytest.mark.parametrize("uv_on_path", [True, False], ids=["with uv", "without uv"])


def make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [MAKE, "--no-print-directory", *arguments]
    env = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=60, env=env)


def path_of(folder: Path, *, uv: bool) -> str:
    """The usual programs, and a uv that does nothing, or none."""
    tools = folder / "tools"
    tools.mkdir()
    if uv:
        (tools / "uv").write_text("#!/bin/sh\n")
        (tools / "uv").chmod(0o755)
    usual = (place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place) / "uv").exists())
    return os.pathsep.join([str(tools), *usual])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the Makefile looks at, without a .venv."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_help_lists_what_there_is(clone: Path) -> None:
    told = make(clone, "help").stdout
    for target in ("help", "setup", "demo", "test", "lint", "lock"):
        assert f"  make {target} " in told
    assert make(clone).stdout == told


@UV
@pytest.mark.parametrize("version", ["Python 3.10.14", "Python 3.14.0"])
def test_a_python_that_does_not_fit_is_refused(clone: Path, version: str, uv_on_path: bool) -> None:
    python = clone / "python"
    python.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{version}'; exit; }}\nexit 1\n")
    python.chmod(0o755)
    done = make(clone, "setup", f"PYTHON={python}", path=path_of(clone, uv=uv_on_path))
    assert done.returncode != 0
    assert f"DermQ needs Python 3.11, 3.12 or 3.13, and {python} is {version}" in done.stderr
    assert not (clone / ".venv").exists()
    assert not (clone / ".venv-uv").exists()


@UV
def test_a_python_that_is_not_there_is_named(clone: Path, uv_on_path: bool) -> None:
    done = make(clone, "setup", "PYTHON=python9.9", path=path_of(clone, uv=uv_on_path))
    assert done.returncode != 0
    assert "no python9.9 on PATH" in done.stderr


def test_demo_is_set_up_from_the_lock_with_hashes_and_once_is_handed_on(clone: Path) -> None:
    planned = make(clone, "-n", "demo", "ONCE=1", f"PYTHON={sys.executable}").stdout
    assert "--require-hashes --requirement requirements/up.lock" in planned
    assert "dermq demo --once" in planned
    assert "dermq demo\n" in make(clone, "-n", "demo", f"PYTHON={sys.executable}").stdout.replace("demo \n", "demo\n")


@UV
def test_what_is_installed_is_not_installed_again(clone: Path, uv_on_path: bool) -> None:
    (clone / ".venv-uv" / "bin").mkdir(parents=True)
    (clone / ".venv-uv" / "bin" / "uv").touch()
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").touch()
    (clone / ".venv" / ".up").touch()
    assert "install" not in make(clone, "-n", "setup", path=path_of(clone, uv=uv_on_path)).stdout
