"""A home that is missing or cannot be written: each verb says so in a sentence that names the data folder's setting."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cli.output.exit_codes import CliError
from cli.stack import valkey
from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses
from tests.support.servers import free_port
from tests.unit.cli.in_process import Run

ROOT = Path(__file__).resolve().parents[3]
JOB = "019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10"
# Every verb that looks into the data folder, where no server is named.
VERBS = (
    *(["demo", "--once"], ["screen", "lesions.zip"], ["submit", "lesions.zip"], ["compare", "lesions.zip"], ["up"], ["jobs"]),
    *([verb, JOB] for verb in ("status", "watch", "results", "errors", "cancel", "retry", "delete")),
    *(["models"], ["models", "verify", "starter", "1"], ["models", "add", "own", "exported"]),
    *(
        ["models", "unlabel", "starter", "canary"],
        ["promote", "starter", "1"],
        ["rollback", "starter"],
        ["retire", "starter", "1"],
    ),
)
each_verb = pytest.mark.parametrize("arguments", VERBS, ids=" ".join)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder holds an archive and an exported model; no variable but HOME says where data goes."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    work = tmp_path / "work"
    (work / "exported").mkdir(parents=True)
    (work / "exported" / "saved_model.pb").touch()
    with zipfile.ZipFile(work / "lesions.zip", "w") as archive:
        archive.writestr("a.jpg", b"not an image")
    monkeypatch.chdir(work)


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """`env -i`, as a user without an entry in the password database."""

    def find_nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", find_nobody)


@each_verb
def test_without_a_home_the_setting_is_named(run: Run, no_home: None, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "the data folder ~/.local/share/dermq cannot be found" in done.stderr
    assert "set DERMQ_DATA_DIR to a folder that can be written" in done.stderr


@each_verb
def test_a_home_below_a_file_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    done = run(*arguments)
    assert done.returncode == 2
    assert f"the data folder {tmp_path / 'file' / '.local' / 'share' / 'dermq'} cannot be" in done.stderr
    assert "Not a directory" in done.stderr
    assert "--data-dir or DERMQ_DATA_DIR" in " ".join(done.stderr.split())


def test_doctor_goes_on_to_say_it(run: Run, no_home: None) -> None:
    done = run("doctor")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "fail data folder the data folder ~/.local/share/dermq cannot be found" in told
    assert "DERMQ_DATA_DIR" in told


def test_doctor_looks_as_far_as_it_can(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    done = run("doctor")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "cannot be written: Not a directory Choose another with --data-dir or DERMQ_DATA_DIR" in told


def test_without_a_home_a_named_folder_will_do(
    run: Run, no_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path / "data"))
    done = run("jobs")
    assert done.returncode == 3
    assert f"no stack runs on {tmp_path / 'data'}" in " ".join(done.stderr.split())


def test_without_a_home_a_named_server_needs_no_folder(run: Run, no_home: None) -> None:
    done = run("jobs", "--server", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "DERMQ_DATA_DIR" not in done.stderr


def obeying_permissions() -> list[str]:
    """A prefix that runs a command as one whom permissions bind: as it is, or as root without root's right to ignore them."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root ignores permissions, and setpriv is not installed (Debian: apt-get install util-linux)")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search"]


@pytest.mark.parametrize("arguments", [["up"], ["demo", "--once"], ["screen", "lesions.zip"]], ids=" ".join)
def test_a_read_only_home_is_told(tmp_path: Path, arguments: list[str]) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    done = run_bound(arguments, HOME=str(home))
    assert done.returncode == 2, done.stderr
    assert f"the data folder {home / '.local' / 'share' / 'dermq'} cannot be written: Permission denied" in done.stderr
    assert "--data-dir or DERMQ_DATA_DIR" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "name", "what"),
    [(["jobs"], "lock", "read"), (["promote", "starter", "1"], "lock", "read"), (["up"], "models.config", "written")],
    ids=["jobs", "promote", "up"],
)
def test_a_file_of_somebody_else_in_the_data_folder_is_told(tmp_path: Path, arguments: list[str], name: str, what: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / name).touch(mode=0o000)
    done = run_bound(arguments, DERMQ_DATA_DIR=str(data))
    assert done.returncode == 2, done.stderr
    told = " ".join(done.stderr.split())
    assert f"the data folder {data} cannot be {what}: Permission denied ({data / name})" in told
    assert "--data-dir or DERMQ_DATA_DIR" in told


@pytest.mark.parametrize("arguments", [["demo", "--once"], ["screen", "lesions.zip"]], ids=" ".join)
def test_results_that_cannot_be_written_are_told_before_anything_starts(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "work").chmod(0o500)
    done = run_bound(arguments, DERMQ_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 2, done.stderr
    assert f"the folder {tmp_path / 'work'} cannot be written, so results.csv cannot be made there" in done.stderr
    assert "--out FILE" in done.stderr
    assert not (tmp_path / "data").exists()


def run_bound(arguments: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "1000", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)} | env
    command = [*obeying_permissions(), sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


@each_verb
def test_a_folder_whose_name_is_no_utf8_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path / "odd\udcff"))
    done = run(*arguments)
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert r"odd\xff has bytes in its name that are no UTF-8; set DERMQ_DATA_DIR to another one" in told


def test_an_empty_folder_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    folder = DataFolder.at(tmp_path / "data")
    folder.root.mkdir(mode=0o755)
    folder.create()
    assert folder.root.stat().st_mode & 0o777 == 0o700
    folder.root.chmod(0o755)
    (folder.root / "dermq.db").touch()  # DermQ's own: made private again
    folder.create()
    assert folder.root.stat().st_mode & 0o777 == 0o700


def test_a_shared_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "thesis.tex").touch()
    with pytest.raises(CliError, match=r"can be read by others \(mode 755\) and is not DermQ's alone") as caught:
        DataFolder.at(shared).create()
    assert caught.value.code == 2
    assert "chmod 700" in caught.value.hint
    assert shared.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in shared.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["My%20Study", "what?x=1#2", "new\nline", 'quote"s \\ ü'])
def test_valkey_keeps_its_file_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    addresses = Addresses(free_port(), 0, 0, "secret")
    command = [str(valkey.find_binary()), str(valkey.write_config(folder, addresses))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path) as server:
        try:
            assert valkey.await_ready(addresses, 20.0)
            assert (folder / "appendonlydir").is_dir()
        finally:
            server.terminate()
