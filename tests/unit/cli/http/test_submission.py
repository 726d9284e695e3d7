"""What a stack that runs for one command must be allowed to read for it, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.http.submission import Source
from cli.stack.environment import Sources, make_environment
from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses
from core.settings import ApiSettings, EgressSettings


def test_a_path_needs_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    assert Source(str(tmp_path)).needed == Sources(roots=(tmp_path,))
    assert Source(str(tmp_path / "a.zip")).needed == Sources(roots=(tmp_path,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://clinic/2026", ("s3://clinic/2026/",)), ("s3://clinic/a,b.zip", ("s3://clinic/a,b.zip/",)), ("s3://a/../b", ())],
)
def test_an_s3_address_needs_itself(text: str, expected: tuple[str, ...]) -> None:
    assert Source(text).needed == Sources(s3=expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://clinic/2026/Liste.CSV", ("s3://clinic/2026/Liste.CSV/", "s3://clinic/2026/")),
        ("s3://clinic/list.txt", ("s3://clinic/list.txt/", "s3://clinic/")),
        ("s3://list.csv", ("s3://list.csv/",)),
    ],
)
def test_a_table_on_s3_needs_the_images_beside_it(text: str, expected: tuple[str, ...]) -> None:
    assert Source(text).needed == Sources(s3=expected)


def test_the_parts_are_given_it_together_with_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = ApiSettings(source_roots=(tmp_path / "data",), allow_s3_sources=("s3://other",))
    egress = EgressSettings(https_sources=("north=https://archive.example/",))
    needed = Sources((tmp_path,), ("s3://clinic/a,b/",), ("*=https://open.example/a.zip/",)).with_settings(settings, egress)
    environment = make_environment(DataFolder.at(tmp_path), Addresses(1, 2, 3, "p"), stack_id="s", sources=needed, models=())
    assert json.loads(environment["DERMQ_API_ALLOW_S3_SOURCES"]) == ["s3://clinic/a,b/", "s3://other/"]
    for name in ("DERMQ_API_ALLOW_S3_SOURCES", "DERMQ_API_SOURCE_ROOTS", "DERMQ_EGRESS_HTTPS_SOURCES"):
        monkeypatch.setenv(name, environment[name])
    assert ApiSettings().allow_s3_sources == ("s3://clinic/a,b/", "s3://other/")
    assert ApiSettings().source_roots == (tmp_path, tmp_path / "data")
    assert EgressSettings().https_sources == ("*=https://open.example/a.zip/", "north=https://archive.example/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://open.example/a.zip", ("*=https://open.example/a.zip/",)),
        ("HTTPS://Open.example/data/a.zip?key=1", ("*=https://open.example/data/a.zip/",)),
        ("https:///a.zip", ()),
    ],
)
def test_an_https_address_needs_itself(text: str, expected: tuple[str, ...]) -> None:
    assert Source(text).path is None
    assert Source(text).needed == Sources(https=expected)
