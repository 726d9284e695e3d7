"""A version that measures novelty, through a real worker: the value and the note in the ledger, or neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.db.engine import reading
from core.db.jobs import read_tallies
from core.db.models import JobState
from tests.support.servers import running_serving
from tests.support.stack import all_up, png, write_zip
from tests.support.tiny_model import export_tiny_model

SHADES = (128, 160, 192, 200, 20)  # how far from 128, in units of 64: 0, 0.5, 1, 1.125, 1.6875


def test_novelty_and_its_note_reach_the_ledger(tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "tiny", 1, novel=True)
    archive = write_zip(tmp_path / "a.zip", [(f"{shade}.png", png(shade)) for shade in SHADES])
    with (
        running_serving(tmp_path / "tiny", "tiny", tmp_path / "serving.log") as address,
        all_up(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}", "valkey", address) as stack,
    ):
        job_id = stack.submit(archive)
        job = stack.wait(job_id)
        rows = stack.results(job_id)
        with reading(stack.engine) as session:
            notes = read_tallies(session, job_id).notes
    assert (job.state, job.succeeded) == (JobState.SUCCEEDED, len(SHADES))
    assert [row.novelty for row in rows] == pytest.approx(np.abs(np.array(SHADES) - 128) / 64, rel=1e-6)
    assert ["unlike_training" in (row.notes or "").split(",") for row in rows] == [False, False, False, True, True]
    assert notes["unlike_training"] == 2
