"""A power cut on SQLite: what was acknowledged is there, though the disk forgets every write that was not synced.

tests/support/powercut.c is the disk. The writer is killed at a seeded moment, and its ledger is put back to what was synced.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select, text

from core.db.engine import open_engine, reading
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from tests.support.acknowledging import CHUNK_ITEMS
from tests.support.ledger import Ledger
from tests.support.preloaded import build
from tests.support.servers import ROOT


@dataclass
class Acknowledged:
    """What the writer said before its death."""

    jobs: list[uuid.UUID] = field(default_factory=list)
    chunks: list[tuple[uuid.UUID, int]] = field(default_factory=list)


def write_until_killed(folder: Path, journal: str, synchronous: str, commits: int) -> Acknowledged:
    """Run the writer below `folder`/live; after so many acknowledged commits it is killed, in the middle of the next ones."""
    live, kept = folder / "live", folder / "kept"
    for each in (live, kept):
        each.mkdir()
    engine = open_engine(f"sqlite:///{live / 'ledger.db'}", DatabaseSettings())
    upgrade(engine)
    engine.dispose()  # which leaves all in the one file
    shutil.copy(live / "ledger.db", kept)
    preload = {"LD_PRELOAD": str(build("powercut", folder)), "POWERCUT_OF": str(live), "POWERCUT_KEPT": str(kept)}
    command = [sys.executable, "-m", "tests.support.acknowledging", str(live / "ledger.db"), journal, synchronous]
    said = Acknowledged()
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | preload, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(commits):
            note(said, writer.stdout.readline())
        writer.kill()
        for line in writer.stdout:
            note(said, line)
    return said


def note(said: Acknowledged, line: str) -> None:
    kind, job_id, *number = line.split()
    if kind == "job":
        said.jobs.append(uuid.UUID(job_id))
    else:
        said.chunks.append((uuid.UUID(job_id), int(number[0])))


def read_back(folder: Path) -> Ledger:
    """The ledger as it is after the power is back."""
    (folder / "kept" / "ledger.db-shm").unlink(missing_ok=True)
    return Ledger(open_engine(f"sqlite:///{folder / 'kept' / 'ledger.db'}", DatabaseSettings()))


def lost_of(ledger: Ledger, said: Acknowledged) -> int:
    """Acknowledged jobs and chunks that are not there."""
    with reading(ledger.engine) as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        jobs = set(session.scalars(select(Job.id)))
        rows = session.execute(select(Chunk.job_id, Chunk.chunk_no).where(Chunk.state == ChunkState.DONE))
        done = {(row.job_id, row.chunk_no) for row in rows}
    return len(set(said.jobs) - jobs) + len(set(said.chunks) - done)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("journal", ["WAL", "PERSIST"])
def test_what_was_acknowledged_outlives_a_power_cut(journal: str, seed: int, tmp_path: Path) -> None:
    said = write_until_killed(tmp_path, journal, "FULL", commits=random.Random(seed).randint(30, 90))
    ledger = read_back(tmp_path)
    assert lost_of(ledger, said) == 0
    assert len(said.jobs) >= 3
    whole, last = said.jobs[0], said.jobs[-1]
    assert (ledger.job(whole).state, ledger.job(whole).succeeded) == (JobState.SUCCEEDED, ledger.rows(whole))
    finished = len([1 for job_id, _ in said.chunks if job_id == last])
    assert ledger.rows(last) >= finished * CHUNK_ITEMS
    assert ledger.rows(last) == ledger.job(last).succeeded, "rows and counts are of one transaction"
    ledger.engine.dispose()


def test_this_disk_does_forget_what_was_not_synced(tmp_path: Path) -> None:
    """The test's own measure: with synchronous=NORMAL a write-ahead log is not synced at a commit, and a cut loses commits."""
    said = write_until_killed(tmp_path, "WAL", "NORMAL", commits=60)
    ledger = read_back(tmp_path)
    assert lost_of(ledger, said) > 0
    ledger.engine.dispose()
