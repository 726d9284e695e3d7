"""What is wrong with the environment is a sentence that names the variable, in every process, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.environment import known_variables, read_settings, unknown_variables
from core.errors import ConfigurationError
from core.settings import ApiSettings

PROCESSES = {
    "api": ["-m", "api"],
    "worker": ["-m", "worker"],
    "beat": ["-m", "worker", "beat"],
    "migrate": ["-m", "core.db.schema.migrate"],
    "awaiting": ["-m", "core.db.schema.awaiting"],
    "ledger": ["-m", "cli.stack.ledger"],
    "dermq up": ["-m", "cli", "up"],
}


def run(process: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DERMQ_DATA_DIR": str(folder / "data"), **variables}
    return subprocess.run(
        [sys.executable, *PROCESSES[process]], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("process", PROCESSES)
def test_a_bad_value_ends_the_process_with_a_sentence(process: str, tmp_path: Path) -> None:
    done = run(process, tmp_path, DERMQ_API_PORT="eighty", DERMQ_API_MODELS='["a"')
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    told = " ".join(done.stderr.split())
    assert "DERMQ_API_PORT: Input should be a valid integer, unable to parse string as an integer, got 'eighty'" in told
    assert "DERMQ_API_MODELS: expected items between commas or a JSON list" in told


@pytest.mark.parametrize("process", [name for name in PROCESSES if name != "dermq up"])  # tests/unit/cli/test_data_folder.py
def test_a_data_folder_that_cannot_be_made_is_a_sentence(process: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(process, tmp_path, DERMQ_DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (
        f"the data folder {tmp_path}/file/data cannot be made: Not a directory; set DERMQ_DATA_DIR to a folder" in done.stderr
    )


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DERMQ_API_SOURCE_ROOTS", '["/data"', "DERMQ_API_SOURCE_ROOTS: expected items between commas or a JSON list"),
        (
            "DERMQ_API_ALLOW_S3_SOURCES",
            "clinic",
            "DERMQ_API_ALLOW_S3_SOURCES: expected s3://bucket/prefix (or gs://, az://), got 'clinic'",
        ),
        ("DERMQ_API_ALLOWED_HOSTS", "http://a", "DERMQ_API_ALLOWED_HOSTS: expected a host name"),
        ("DERMQ_API_MODELS", "[1]", "DERMQ_API_MODELS: Input should be a valid string, got 1"),
        ("DERMQ_API_CANARY_PERCENT", "101", "DERMQ_API_CANARY_PERCENT: Input should be less than or equal to 100, got '101'"),
        ("DERMQ_WORKER_HARD_LIMIT_S", "10", "DERMQ_WORKER: expected DERMQ_WORKER_SOFT_LIMIT_S < HARD_LIMIT_S"),
        ("DERMQ_LOG_LEVEL", "loud", "DERMQ_LOG_LEVEL: expected DEBUG, INFO, WARNING or ERROR, got 'loud'"),
        ("DERMQ_STORAGE_URL", "/data", "DERMQ_STORAGE_URL: expected an address that begins with file:/// or"),
        (
            "DERMQ_BROKER_URL",
            "sentinel://:hidden@a:x/0?master=m",
            "DERMQ_BROKER_URL: expected host:port of a sentinel, got 'a:x'",
        ),
        (
            "DERMQ_BROKER_URL",
            "sentinel://:hidden@a:1/0",
            "DERMQ_BROKER_URL: expected sentinel://host:26379,host:26379/0?master=",
        ),
        ("DERMQ_DATABASE_URL", "mysql://me:hidden@db/x", "DERMQ_DATABASE_URL: expected an address that begins with postgresql"),
        ("DERMQ_DATABASE_PASSWORD", "hidden", "DERMQ_DATABASE_PASSWORD is set, but DERMQ_DATABASE_URL names no host"),
        ("DERMQ_SECRETS_DIR", "/nowhere", "DERMQ_SECRETS_DIR is /nowhere: expected a folder"),
    ],
)
def test_the_sentence_names_the_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert told in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "errors.pydantic.dev" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/data", ("/data",)),
        ("/data,/mnt", ("/data", "/mnt")),
        (" /data , /mnt/a b,", ("/data", "/mnt/a b")),
        ('["/data", "/with,comma"]', ("/data", "/with,comma")),
        (" [ ] ", ()),
        ("", ()),
        (",", ()),
    ],
)
def test_a_list_may_be_given_plainly(monkeypatch: pytest.MonkeyPatch, given: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("DERMQ_API_SOURCE_ROOTS", given)
    monkeypatch.setenv("DERMQ_API_MODELS", given)
    assert ApiSettings().source_roots == tuple(map(Path, expected))
    assert ApiSettings().models == expected


def test_a_list_in_a_secret_file_is_read_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dermq_api_models").write_text("first,second\n")
    monkeypatch.setenv("DERMQ_SECRETS_DIR", str(tmp_path))
    assert ApiSettings().models == ("first", "second")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("DERMQ_API_SOURCE_ROOT", "DERMQ_API_SOURCE_ROOTS"),
        ("DERMQ_MAX_UPLOAD_BYTES", "DERMQ_API_MAX_UPLOAD_BYTES"),
        ("DERMQ_WORKERS_CONCURRENCY", "DERMQ_WORKER_CONCURRENCY"),
        ("DERMQ_SHADE_OF_BLUE", "docs/reference/settings.md"),
    ],
)
def test_an_unknown_variable_is_a_warning_with_the_nearest_name(name: str, nearest: str) -> None:
    [warning] = unknown_variables({name: "1", "DERMQ_API_PORT": "1", "OTHER": "1"})
    assert warning.startswith(f"{name} is no setting of DermQ")
    assert nearest in warning


def test_all_that_is_read_is_known() -> None:
    known = set(known_variables())
    assert {"DERMQ_DATA_DIR", "DERMQ_API_ALLOWED_HOSTS", "DERMQ_STORAGE_S3_ENDPOINT"} <= known
    others = {"DERMQ_SERVER", "DERMQ_API_KEY", "DERMQ_API_KEY_FILE", "DERMQ_SECRETS_DIR", "DERMQ_STACK_ID"}
    assert unknown_variables(dict.fromkeys(known | others, "")) == []


def test_a_process_warns_of_unknown_variables(tmp_path: Path) -> None:
    done = run("migrate", tmp_path, DERMQ_DATABASE_URL=f"sqlite:///{tmp_path / 'l.db'}", DERMQ_API_SOURCE_ROOT="/data")
    assert done.returncode == 0, done.stderr
    assert (
        "DERMQ_API_SOURCE_ROOT is no setting of DermQ and has no effect: the nearest is DERMQ_API_SOURCE_ROOTS" in done.stderr
    )
