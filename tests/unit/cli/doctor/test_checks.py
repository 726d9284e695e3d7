"""What `dermq doctor` says of the machine, of a server and of its models."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.doctor import checks
from cli.doctor.findings import Finding, Grade
from cli.service import Target
from tests.support.servers import free_port


def model(name: str, *versions: int, spec: bool = True, error: str | None = None) -> dict[str, Any]:
    listed = [{"version": version} for version in versions]
    return {"name": name, "versions": listed, "spec": {"classes": []} if spec else None, "error": error}


@pytest.mark.parametrize(
    ("models", "grade", "detail"),
    [
        ([], Grade.FAIL, "no model is served"),
        ([model("a")], Grade.FAIL, "no model is served"),
        ([model("a", 1, 2), model("b", 7)], Grade.OK, "a 1, 2; b 7"),
        ([model("a", 1), model("b", 7, spec=False)], Grade.WARN, "b: no description"),
        ([model("a", 1, spec=False, error="no signature")], Grade.WARN, "a: no signature"),
    ],
)
def test_models(models: list[dict[str, Any]], grade: Grade, detail: str) -> None:
    found = checks.check_models(models)
    assert (found.grade, found.detail) == (grade, detail)
    assert bool(found.advice) == (grade is not Grade.OK)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "grade"),
    [(2_000_000_000, Grade.OK), (1_999_999_999, Grade.WARN), (200_000_000, Grade.WARN), (199_999_999, Grade.FAIL)],
)
def test_space(free: int, grade: Grade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(free, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert checks.check_space(tmp_path / "not" / "yet").grade is grade
    assert asked == [tmp_path]  # the closest folder that is there


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks._STACK_PACKAGES, "no_such_module", "no-such-package")
    found = checks.check_packages()
    assert (found.grade, found.detail) == (Grade.WARN, "not installed: no-such-package")
    assert "dermq[up]" in found.advice


@pytest.mark.parametrize("taken", [True, False])
def test_the_port(taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("DERMQ_API_PORT", str(port))
    if not taken:
        assert checks.check_ports() == Finding("port", Grade.OK, f"{port} is free")
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        found = checks.check_ports()
    assert (found.grade, found.detail) == (Grade.WARN, f"{port} is taken by another program")


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (found,) = checks.check_server(Target(url, None, tmp_path))
    assert (found.name, found.grade, found.detail) == ("server", Grade.FAIL, f"{url} does not answer")


def test_no_stack_on_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_API_PORT", str(free_port()))
    server, port = checks.check_server(Target(None, None, tmp_path))
    assert (server.grade, server.detail) == (Grade.WARN, "no stack runs on this data folder")
    assert (port.name, port.grade) == ("port", Grade.OK)
