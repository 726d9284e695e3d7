"""Fixtures of the command line's tests."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import main
from tests.unit.cli.in_process import Done, Run
from tests.unit.cli.laid_out import LaidOutServer, laid_out_server


@pytest.fixture
def server() -> Iterator[LaidOutServer]:
    """A server whose answers the test lays out."""
    with laid_out_server() as running:
        yield running


@pytest.fixture
def job() -> dict[str, Any]:
    """A job that has succeeded, as the API sends it."""
    return {
        "id": "019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10",
        "object": "job",
        "name": "lesions.zip",
        "state": "succeeded",
        "revision": 7,
        "timestamps": {
            "queued": "2026-11-20T12:00:00Z",
            "preparing": "2026-11-20T12:00:00.2Z",
            "running": "2026-11-20T12:00:01Z",
            "cancelling": None,
            "succeeded": "2026-11-20T12:00:12.5Z",
            "failed": None,
            "cancelled": None,
        },
        "counts": {"total": 45, "succeeded": 42, "failed": 3, "skipped": 2, "remaining": 0},
        "labels": {"nv": 30, "mel": 12},
        "errors": {"truncated": 2, "not_an_image": 1},
        "item_notes": {"greyscale": 3, "low_resolution": 12},
        "notes": [{"code": "trailing_bytes", "count": 512, "text": "512 bytes follow the end."}],
        "images_per_s": 205.4,
        "eta_s": None,
        "model": "starter",
        "version": 1,
        "requested": {"label": "stable", "version": None},
        "classes": ["mel", "nv"],
        "threshold": 0.35,
        "waiting_for": None,
        "error": None,
        "disclaimer": "Research use only, not a diagnosis.",
        "links": {},
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs `dermq …` as its console script does, without the cost of a process."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run_command(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["dermq", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out.decode(), err.decode())

    return run_command
