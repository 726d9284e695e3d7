"""The accounts, locales and terminals that containers and cron have: a real process of the command for each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import ROOT
from tests.unit.cli.laid_out import Answer, LaidOutServer

# What Python takes for a locale without UTF-8; LANG=C alone it makes UTF-8 by itself (PEP 538).
ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
NAME = "läsion → 😀 \ue000.zip"
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "empty": {},
    "LANG=C": {"LANG": "C"},
    "LC_ALL=POSIX": {"LC_ALL": "POSIX"},
    "ASCII": ASCII,
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "a locale that is not there": {"LANG": "xx_YY.UTF-9"},
    "dumb terminal": {"TERM": "dumb"},
    "narrow": {"COLUMNS": "20"},
    "unknown time zone": {"TZ": "Nowhere/Else"},
}


def dermq(*arguments: str, env: dict[str, str], before: str = "") -> subprocess.CompletedProcess[bytes]:
    """A process with this environment and nothing else of it; no terminal."""
    code = f"import sys\n{before}\nsys.argv[0] = 'dermq'\nfrom cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": f"{ROOT}:{ROOT}/client/src", **env},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def named(server: LaidOutServer, job: dict[str, Any]) -> LaidOutServer:
    """A server with one job, whose name has letters of all kinds."""
    server.lay("GET", "/v1/jobs", Answer({"data": [job | {"name": NAME}], "next": None}))
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer(job | {"name": NAME}))
    return server


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_json_is_json_and_says_the_name(named: LaidOutServer, job: dict[str, Any], env: dict[str, str]) -> None:
    done = dermq("status", job["id"], "--json", "--server", named.url, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    encoding = "latin-1" if "PYTHONIOENCODING" in env else "utf-8"
    assert json.loads(done.stdout.decode(encoding))["name"] == NAME


@pytest.mark.parametrize("env", [ASCII, ENVIRONMENTS["Latin-1"], ENVIRONMENTS["narrow"]], ids=["ASCII", "Latin-1", "narrow"])
def test_tables_are_printed(named: LaidOutServer, job: dict[str, Any], env: dict[str, str]) -> None:
    done = dermq("jobs", "--server", named.url, env=env)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


def test_dots_stay_dots_where_there_are_ascii_letters_only() -> None:
    code = "from cli.output.terminal import write_plainly, open_err\nwrite_plainly()\n"
    code += "open_err().print('stopping\\u2026 \\u2192 \\xe4')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **ASCII}, cwd=ROOT, capture_output=True, check=True)
    assert done.stderr == b"stopping... -> \\xe4\n"


def test_a_user_without_home_needs_none_to_ask_a_server(named: LaidOutServer, tmp_path: Path) -> None:
    """No HOME, and a number that /etc/passwd does not know: what a container's user is."""
    unknown = "import os, pwd\npwd.getpwuid = lambda number: (_ for _ in ()).throw(KeyError(number))"
    done = dermq("jobs", "--server", named.url, env={}, before=unknown)
    assert (done.returncode, done.stderr) == (0, b"")
    done = dermq("jobs", env={}, before=unknown)
    assert done.returncode == 2
    assert b"set DERMQ_DATA_DIR to a folder that can be written" in done.stderr
    done = dermq("jobs", env={"DERMQ_DATA_DIR": str(tmp_path)}, before=unknown)
    assert done.returncode == 3
    assert b"no stack runs on" in done.stderr


def test_a_part_that_is_not_installed_is_a_sentence(tmp_path: Path) -> None:
    """The wheel alone, without the extra `up`."""
    done = dermq("up", env={"DERMQ_DATA_DIR": str(tmp_path)}, before="sys.modules['google.protobuf'] = None")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    text = " ".join(done.stderr.decode().split())
    assert text.startswith("Error: this command needs the package google.protobuf, which is not installed here")
    assert 'uv tool install "dermq[up]"' in text
