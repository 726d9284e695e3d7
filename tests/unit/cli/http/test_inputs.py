"""Several inputs, patterns and standard input: what is sent for them, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cli.http.inputs import reading_sources
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with images in it and below it."""
    for name in ("a.jpg", "b.jpg", "ward/c.jpg", "ward/deep/d.jpg", "odd[1].jpg", "x.zip", "y.tar.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_sent(body: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.namelist()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["a.jpg", "ward"], ["a.jpg", "ward/c.jpg", "ward/deep/d.jpg"]),
        (["[ab].jpg"], ["a.jpg", "b.jpg"]),
        (["ward/**/*.jpg"], ["c.jpg", "d.jpg"]),
        (["a.jpg", "a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
    ],
    ids=["a file and a folder", "a pattern", "a pattern for folders", "a file twice"],
)
def test_several_inputs_are_one_archive(
    run: Run, server: LaidOutServer, job: dict[str, Any], named: list[str], expected: list[str]
) -> None:
    server.lay("POST", "/v1/jobs", Answer(job, 202))
    done = run("submit", *named, "--server", server.url)
    assert (done.returncode, done.stdout) == (0, f"{job['id']}\n")
    assert names_sent(server.seen[0].body) == expected
    again = run("submit", *named, "--server", server.url)
    assert again.returncode == 0
    first, second = (seen.headers["Idempotency-Key"] for seen in server.seen)
    assert first == second
    assert first.startswith("content-")


@pytest.mark.usefixtures("here")
def test_a_name_with_brackets_is_that_file(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("POST", "/v1/jobs", Answer(job, 202))
    assert run("submit", "odd[1].jpg", "--server", server.url).returncode == 0
    assert (server.seen[0].body, server.seen[0].query) == (b"odd[1].jpg", {"name": "odd[1].jpg"})


def test_standard_input_is_sent_again_after_a_lost_connection(
    run: Run, server: LaidOutServer, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.lay("POST", "/v1/jobs", Answer(drop=True), Answer(job, 202))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"PK an archive")))
    done = run("submit", "-", "--name", "from a pipe", "--server", server.url)
    assert (done.returncode, done.stdout) == (0, f"{job['id']}\n")
    assert [seen.body for seen in server.seen] == [b"PK an archive"] * 2
    assert server.seen[0].query == {"name": "from a pipe"}


def test_standard_input_is_removed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"PK an archive")))
    with reading_sources(["-"]) as source:
        assert source.path
        assert source.path.read_bytes() == b"PK an archive"
        assert source.needed.roots == ()  # nothing of this machine is opened to a server for it
    assert not source.path.parent.exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("named", "words"),
    [
        (["a.jpg", "-"], "among them standard input"),
        (["a.jpg", "s3://clinic/a"], "among them the address s3://clinic/a"),
        (["a.jpg", "x.zip"], "among them x.zip"),
        (["ward", "y.tar.gz"], "among them y.tar.gz"),
        (["*.png"], "no file fits the pattern *.png"),
        (["a.jpg", "gone.jpg"], "gone.jpg does not exist"),
        (["-"], "standard input is empty"),
    ],
    ids=["stdin", "address", "archive", "tar", "no match", "gone", "empty"],
)
def test_what_does_not_go_together_is_a_sentence(
    run: Run, server: LaidOutServer, monkeypatch: pytest.MonkeyPatch, named: list[str], words: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    done = run("submit", *named, "--server", server.url)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert server.seen == []
