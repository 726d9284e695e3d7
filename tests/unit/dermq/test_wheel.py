"""The distribution `dermq-client`: built, installed into a bare environment with what it requires, and used there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.support.servers import ROOT
from tests.unit.cli.laid_out import Answer, LaidOutServer

PROJECT = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "client", folder / "client", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=folder / "client", check=True, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def required(name: str) -> set[str]:
    """The distributions that one needs in this environment, itself included."""
    found = {name}
    for line in distribution(name).requires or ():
        wanted, _, condition = line.partition(";")
        if "extra" not in condition and "emscripten'" not in condition.replace("!= 'emscripten'", ""):
            try:
                found |= required(re.split(r"[^\w.-]", wanted.strip())[0])
            except ModuleNotFoundError:  # of another Python
                continue
    return found


def test_it_requires_httpx2_and_has_the_applications_version_and_licence(wheel: Path) -> None:
    assert [re.split(r"[^\w]", each)[0] for each in PROJECT["dependencies"]] == ["httpx2"]
    assert PROJECT["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (ROOT / "client/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"dermq", f"dermq_client-{PROJECT['version']}.dist-info"}
    assert "dermq/py.typed" in names


def test_it_works_in_a_bare_environment(wheel: Path, tmp_path: Path, server: LaidOutServer) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in required("httpx2"):
        for file in distribution(name).files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), packages / file)
    server.lay("GET", "/v1/models", Answer({"data": [{"name": "starter"}]}))
    code = (
        "import sys, importlib.util as u, dermq\n"
        "assert not any(map(u.find_spec, ('cli', 'core', 'rich', 'pandas', 'tqdm'))), sys.path\n"
        "with dermq.Client(sys.argv[1]) as client:\n"
        "    print(client.models(), dermq.__file__)\n"
        "    try: client.job('1').results().to_pandas()\n"
        "    except dermq.ProblemError as error: print(type(error).__name__)\n"
        "    try: dermq.Results(client.transport, '1', {}).to_pandas()\n"
        "    except dermq.DermqError as error: print(error)\n"
    )
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-I", "-c", code, server.url], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"[{{'name': 'starter'}}] {packages}/dermq/__init__.py",
        "NotFoundError",
        "this needs pandas, which is not installed here: pip install 'dermq-client[pandas]'",
    ]
