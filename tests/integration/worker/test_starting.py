"""How workers and beat start: what they log, and that a ledger that does not answer ends no process."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from core.db.models import JobState
from tests.chaos.proxy import Flow, Proxy
from tests.support.servers import running_broker, wait_until
from tests.support.stack import WorkerStack, jpeg, worker_stack, write_zip


def logged(stack: WorkerStack, pattern: str) -> list[dict[str, Any]]:
    """The lines of all logs of that name, without Celery's banner. A line that is being written comes later."""
    lines = [line for path in stack.folder.glob(pattern) for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def test_the_lines_that_the_runbook_reads_are_written(tmp_path: Path, serving_address: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", [(f"{number}.jpg", jpeg(40 + number)) for number in range(20)]))
        assert stack.wait(job_id).succeeded == 20
        wanted = {"job_started", "chunk_finished"}
        wait_until(lambda: wanted <= {line["event"] for line in logged(stack, "worker-*.log")}, timeout_s=20, what="the lines")
        lines = logged(stack, "worker-*.log")
        assert {(line["event"], line["level"]) for line in lines if line["event"] in wanted} == {
            (name, "info") for name in wanted
        }
        assert [line["items"] for line in lines if line["event"] == "chunk_finished"] in ([16, 4], [4, 16])
        assert not [line for line in lines if "Task dermq" in line["event"]], "Celery's own line for each task says no more"
        time.sleep(3)  # ticks come once a second
        assert not [line for line in logged(stack, "beat.log") if "Sending due task" in line["event"]]


def test_a_ledger_that_does_not_answer_at_the_start_ends_no_worker(
    tmp_path: Path, postgres_url: str, serving_address: str
) -> None:
    port = int(postgres_url.rpartition("/")[0].rpartition(":")[2])
    proxy = Proxy(port)
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=postgres_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.env |= {
            "DERMQ_DATABASE_URL": postgres_url.replace(str(port), str(proxy.port)),
            "DERMQ_DATABASE_CONNECT_TIMEOUT_S": "2",
        }
        proxy.set_flow(Flow.STALL)
        workers: list[subprocess.Popen[bytes]] = [stack.start_worker(), stack.start_worker()]
        wait_until(
            lambda: len([line for line in logged(stack, "worker-*.log") if line["event"] == "lease_not_renewed"]) >= 4,
            timeout_s=90,
            what="both workers to have tried again",
        )
        assert [worker.poll() for worker in workers] == [None, None]
        proxy.set_flow(Flow.PASS)
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", [(f"{number}.jpg", jpeg(40 + number)) for number in range(20)]))
        job = stack.wait(job_id)
        assert (job.state, job.succeeded) == (JobState.SUCCEEDED, 20)
        assert [worker.poll() for worker in workers] == [None, None]
    proxy.close()
