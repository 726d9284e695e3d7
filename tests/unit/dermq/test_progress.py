"""The bars: tqdm's, rich's, none, and a caller's own."""

from __future__ import annotations

from typing import Any

import pytest

from dermq import progress
from dermq.jobinfo import JobInfo
from tests.unit.dermq.conftest import job_in

STATES = [
    job_in("queued", counts={"total": None}, waiting_for="serving"),
    job_in("running", counts={"total": 4, "succeeded": 1, "failed": 1}),
    job_in("succeeded", counts={"total": 4, "succeeded": 4, "failed": 0}),
]


def drive(shown: progress.Progress) -> None:
    shown.sent(30, 20)  # a ZIP is a little longer than its files
    for raw in STATES:
        shown.seen(JobInfo(raw))


@pytest.mark.parametrize("absent", [(), ("tqdm",), ("tqdm", "rich")], ids=["tqdm", "rich", "neither"])
def test_a_bar_of_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], absent: tuple[str, ...]
) -> None:
    found = progress.find_spec
    monkeypatch.setattr(progress, "find_spec", lambda name: None if name in absent else found(name))
    with progress.open_progress(True) as shown:
        drive(shown)
    assert type(shown).__name__ == {0: "_TqdmBar", 1: "_RichBar", 2: "Silence"}[len(absent)]
    said = "".join(capsys.readouterr())
    assert ("waiting for serving" in said) == (not absent)  # rich draws on terminals only, and this is none


def test_none_and_ones_own() -> None:
    with progress.open_progress(False) as shown:
        drive(shown)
    seen: list[Any] = []

    class Own:
        def sent(self, count: int, size: int) -> None:
            seen.append((count, size))

        def seen(self, job: JobInfo) -> None:
            seen.append(job.state)

    with progress.open_progress(Own()) as shown:
        drive(shown)
    assert seen == [(30, 20), "queued", "running", "succeeded"]
