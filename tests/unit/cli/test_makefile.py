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


# Answers as an interpreter of one version does: to --version, and to `-c` with a check or with a question for the version.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  --version) echo "Python {version}.1" ;;
  *print*) echo "{version}" ;;
  *) exit {unfit} ;;
esac
"""
# Notes each call and the certificates that it trusts; `venv` makes .venv with the interpreter that it was given.
FAKE_UV = """#!/bin/sh
echo "$* UV_SYSTEM_CERTS=$UV_SYSTEM_CERTS" >> uv.log
[ "$1" = venv ] || exit 0
while [ "$1" != --python ]; do shift; done
mkdir -p .venv/bin && cp "$2" .venv/bin/python
"""


def make(folder: Path, *arguments: str, path: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [MAKE, "--no-print-directory", *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "UV_SYSTEM_CERTS")}
    env = {**inherited, **env, **({} if path is None else {"PATH": path})}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=60, env=env)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_python(path: Path, version: str) -> Path:
    """An interpreter that says that it is Python `version`."""
    fits = version in ("3.11", "3.12", "3.13")
    return script(path, FAKE_PYTHON.format(version=version, unfit=int(not fits)))


def path_of(folder: Path, *, uv: bool) -> str:
    """The usual programs, and a fake uv among them or in the clone's .venv-uv."""
    tools = folder / "tools"
    tools.mkdir()
    if uv:
        script(tools / "uv", FAKE_UV)
    usual = (place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place) / "uv").exists())
    return os.pathsep.join([str(tools), *usual])


def installed(clone: Path, version: str) -> Path:
    """A .venv of one Python version in which all is installed; a uv of our own. Returns the .venv's interpreter."""
    script(clone / ".venv-uv" / "bin" / "uv", FAKE_UV)
    python = fake_python(clone / ".venv" / "bin" / "python", version)
    (clone / ".venv" / ".up").touch()
    return python


def version_of(python: Path) -> str:
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the Makefile looks at, without a .venv."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_help_lists_what_there_is(clone: Path) -> None:
    output = make(clone, "help").stdout
    for target in ("help", "setup", "demo", "test", "lint", "lock"):
        assert f"  make {target} " in output
    assert make(clone).stdout == output


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
    installed(clone, "3.12")
    assert "install" not in make(clone, "-n", "setup", path=path_of(clone, uv=uv_on_path)).stdout


@UV
@pytest.mark.parametrize("given_by", ["argument", "environment"])
def test_an_older_venv_makes_way_for_the_python_that_is_asked_for(clone: Path, given_by: str, uv_on_path: bool) -> None:
    inside, asked = installed(clone, "3.12"), fake_python(clone / "python3.13", "3.13")
    path = path_of(clone, uv=uv_on_path)
    arguments, env = ([f"PYTHON={asked}"], {}) if given_by == "argument" else ([], {"PYTHON": str(asked)})
    done = make(clone, "setup", *arguments, path=path, **env)
    assert done.returncode == 0, done.stderr
    assert f".venv is made anew: it has Python 3.12 and {asked} is Python 3.13\n" in done.stdout
    assert version_of(inside) == "Python 3.13.1"
    assert "--require-hashes --requirement requirements/up.lock" in (clone / "uv.log").read_text()
    again = make(clone, "setup", *arguments, path=path, **env)
    assert "Nothing to be done" in again.stdout


def test_a_venv_of_the_version_that_is_asked_for_stays(clone: Path) -> None:
    installed(clone, "3.13")
    asked = fake_python(clone / "python3.13", "3.13")
    assert "Nothing to be done" in make(clone, "setup", f"PYTHON={asked}", path=path_of(clone, uv=True)).stdout


def test_a_venv_of_another_version_than_the_default_stays_where_no_python_is_asked_for(clone: Path) -> None:
    other = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"
    installed(clone, other)
    assert "Nothing to be done" in make(clone, "setup", path=path_of(clone, uv=True)).stdout


@pytest.mark.parametrize("python", ["python9.9", "python3.10"])
def test_a_good_venv_is_kept_where_the_python_that_is_asked_for_does_not_fit(clone: Path, python: str) -> None:
    inside = installed(clone, "3.12")
    path = path_of(clone, uv=True)
    fake_python(clone / "tools" / "python3.10", "3.10")
    done = make(clone, "setup", f"PYTHON={python}", path=path)
    assert done.returncode != 0
    assert python in done.stderr
    assert version_of(inside) == "Python 3.12.1"


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [("gone", "its Python does not run"), ("broken", "its Python does not run"), ("3.10", "it has Python 3.10")],
)
def test_a_venv_whose_python_is_of_no_use_is_made_anew(clone: Path, interpreter: str, reason: str) -> None:
    inside = installed(clone, "3.10")
    inside.unlink()
    if interpreter == "gone":
        inside.symlink_to(clone / "uninstalled" / "python3")
    else:
        script(inside, "#!/bin/sh\nexit 127\n") if interpreter == "broken" else fake_python(inside, interpreter)
    path = path_of(clone, uv=True)
    fake_python(clone / "tools" / "python3", "3.12")
    done = make(clone, "setup", path=path)
    assert done.returncode == 0, done.stderr
    assert f".venv is made anew: {reason}\n" in done.stdout
    assert version_of(inside) == "Python 3.12.1"


@UV
def test_uv_trusts_what_the_system_trusts_unless_the_user_says_otherwise(clone: Path, uv_on_path: bool) -> None:
    installed(clone, "3.12")
    path = path_of(clone, uv=uv_on_path)
    for given, expected in (({}, "1"), ({"UV_SYSTEM_CERTS": "0"}, "0")):
        (clone / "uv.log").unlink(missing_ok=True)
        (clone / ".venv" / ".up").unlink()
        assert make(clone, "setup", path=path, **given).returncode == 0
        calls = [call for call in (clone / "uv.log").read_text().splitlines() if call.startswith("pip install ")]
        assert len(calls) == 2
        assert all(call.endswith(f" UV_SYSTEM_CERTS={expected}") for call in calls)


def test_what_make_starts_keeps_its_bytecode(clone: Path) -> None:
    rule = "--eval=bytecode: ; @echo [$$PYTHONDONTWRITEBYTECODE]"
    assert make(clone, rule, "bytecode", PYTHONDONTWRITEBYTECODE="1").stdout == "[]\n"
