"""Fixtures of the client's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cli.laid_out import LaidOutServer, laid_out_server

JOB_ID = "019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the shell that runs the tests: no server, no key, no proxy."""
    for name in ("DERMQ_SERVER", "DERMQ_API_KEY", "DERMQ_API_KEY_FILE", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[LaidOutServer]:
    """A server whose answers the test lays out."""
    with laid_out_server() as running:
        yield running


def job_in(state: str, **fields: Any) -> dict[str, Any]:
    """A job in a state, as the API sends it."""
    counts = {"total": 2, "succeeded": 2, "failed": 0, "skipped": 0, "remaining": 0}
    stamps = {"queued": "2026-11-20T12:00:00Z", state: "2026-11-20T12:00:12Z"}
    return {"id": JOB_ID, "name": "l.zip", "state": state, "counts": counts, "timestamps": stamps, "error": None} | fields
