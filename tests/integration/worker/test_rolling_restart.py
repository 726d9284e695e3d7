"""Workers are replaced one after the other while jobs run: nothing is lost, and no chunk is done twice."""

from __future__ import annotations

from pathlib import Path

from core.db.models import JobState
from tests.support.rolling import Redone, count_redone, roll, stream_of
from tests.support.servers import running_broker
from tests.support.stack import worker_stack

ITEMS = 60


def test_no_chunk_is_run_twice(database_url: str, tmp_path: Path, serving_address: str) -> None:
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        workers = [stack.start_worker(ready=True)]
        stack.start_beat()
        with stream_of(stack, ITEMS, at_once=2) as stream:
            roll(stack, workers, restarts=2, seed=1)
        jobs = [stack.job(job_id) for job_id in stream.jobs]
        assert {(job.state, job.succeeded, job.failed) for job in jobs} == {(JobState.SUCCEEDED, ITEMS, 0)}
        items = ITEMS * len(jobs)
        found = count_redone(stack, stream)
        runs = found.waits  # on a machine that does other things, too, Serving may not answer in time
        assert found == Redone(rows=items, finished=items, unfinished_runs=runs, crashes=0, lost_leases=0, waits=runs)
