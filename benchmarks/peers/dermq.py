"""DermQ as a contestant: `dermq up` as it comes, jobs by path. `--settings "A=1 B=2"`: with these settings.

A round lasts from the request to the moment at which the ledger says that the job has succeeded. The ledger is asked every
20 ms, read-only, as to ask the API so often would cost more than to ask the ledger.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.request
import uuid
import zipfile
from pathlib import Path

from sqlalchemy import Engine, select

from benchmarks import service
from benchmarks.inprocess import StoredZip
from benchmarks.peers.contestant import read_arguments, serve
from benchmarks.workloads import Workload
from cli.stack.state import load_state
from core.db.engine import open_engine, reading
from core.db.models import TERMINAL_STATES, Job, JobState
from core.settings import DatabaseSettings

WARM_JOBS = 8  # small ones side by side, so that each worker process takes some


def main() -> None:
    """Start the stack, then screen the archive for each line."""
    workload, folder, chosen = read_arguments(__doc__, "--settings")
    settings = dict(each.split("=", 1) for each in (chosen.settings or "").split())
    settings |= {"CUDA_VISIBLE_DEVICES": "-1", "DERMQ_API_SOURCE_ROOTS": json.dumps([str(folder)])}
    with tempfile.TemporaryDirectory(prefix="dermq-bench-") as name:
        data = Path(name) / "data"
        shutil.copytree(workload.version(folder), data / "models" / workload.model / "1")
        with service.stack(data, settings):
            state = load_state(data / "state.json")
            assert state is not None  # noqa: S101 - the stack is up
            engine = open_engine(f"sqlite:///{data / 'dermq.db'}", DatabaseSettings())
            warm(engine, state.url, workload, folder)

            def take_round() -> float:
                return screen(engine, state.url, workload.model, [workload.archive(folder)])

            serve(len(StoredZip(workload.archive(folder))), take_round, only_watches=True)
            engine.dispose()


def warm(engine: Engine, url: str, workload: Workload, folder: Path) -> None:
    """Small jobs, until every process has opened what it opens."""
    members, few = StoredZip(workload.archive(folder)), folder / f"warm-{uuid.uuid4().hex[:8]}.zip"
    with zipfile.ZipFile(few, "w") as archive:
        for number in range(min(len(members), 16)):
            archive.writestr(members.names[number], members.read(number))
    screen(engine, url, workload.model, [few] * WARM_JOBS)
    few.unlink()


def screen(engine: Engine, url: str, model: str, archives: list[Path]) -> float:
    """Seconds until all these jobs have succeeded.

    Raises:
        RuntimeError: one of them did not.
    """
    began = time.perf_counter()
    jobs = {submit(url, model, archive) for archive in archives}
    while jobs:
        with reading(engine) as session:
            found = session.execute(select(Job.id, Job.state).where(Job.id.in_(jobs))).all()
        states = {row.id: row.state for row in found}
        if any(state in TERMINAL_STATES and state != JobState.SUCCEEDED for state in states.values()):
            raise RuntimeError(f"expected jobs that succeed, got {states}")
        jobs = {job for job, state in states.items() if state != JobState.SUCCEEDED}
        if jobs:
            time.sleep(0.02)
    return time.perf_counter() - began


def submit(url: str, model: str, archive: Path) -> uuid.UUID:
    """The new job's id."""
    body = json.dumps({"source": str(archive), "model": model}).encode()
    request = urllib.request.Request(f"{url}/v1/jobs", body, {"Content-Type": "application/json"})  # noqa: S310 - http, our own
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return uuid.UUID(json.load(answer)["id"])


if __name__ == "__main__":
    main()
