"""Pages of real processes during and after a real job: what they say is true, and every query that we ship finds it."""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import promql
from tests.support.faulty_worker import SEGFAULT
from tests.support.servers import ROOT, accepts, free_port, running, running_broker, wait_until
from tests.support.stack import WorkerStack, jpeg, worker_stack, write_zip

Samples = dict[tuple[str, ...], float]


class Watched:
    """A stack whose every process shows its page."""

    def __init__(self, stack: WorkerStack, serving_rest: int) -> None:
        self.stack = stack
        self.ports = {name: free_port() for name in ("worker", "beat", "api")}
        self._serving_rest = serving_rest

    def start(self) -> None:
        env, ports, folder = self.stack.env, self.ports, self.stack.folder
        commands = {"worker": ["tests.support.faulty_worker"], "beat": ["worker", "beat"], "api": ["api"]}
        for name, module in commands.items():
            variable = "DERMQ_API_PORT" if name == "api" else "DERMQ_METRICS_PORT"
            mine = {**env, variable: str(ports[name])}
            self.stack.exits.enter_context(
                running([sys.executable, "-m", *module], log=folder / f"{name}-process.log", env=mine)
            )
        for name, port in ports.items():
            wait_until(lambda port=port: accepts(port), timeout_s=60, what=f"the page of {name}")  # type: ignore[misc]

    def page(self, name: str) -> str:
        if name == "serving":
            return fetch(f"http://127.0.0.1:{self._serving_rest}/monitoring/prometheus/metrics")
        return fetch(f"http://127.0.0.1:{self.ports[name]}/metrics")

    def samples(self, name: str) -> Samples:
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.page(name))
            for sample in family.samples
        }


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - loopback
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "broker").mkdir()
    grpc, rest = free_port(), free_port()
    serving = [
        *(sys.executable, "-m", "serving.embedded", f"--port={grpc}", f"--rest_api_port={rest}"),
        *("--model_name=tiny", f"--model_base_path={tiny_models}"),
        f"--monitoring_config_file={ROOT / 'serving/config/monitoring.config'}",
    ]
    with (
        running(serving, log=folder / "serving.log"),
        running_broker("valkey", folder / "broker") as broker_url,
        worker_stack(
            folder,
            database_url=f"sqlite:///{folder / 'l.db'}",
            broker_url=broker_url,
            serving_address=f"127.0.0.1:{grpc}",
        ) as stack,
    ):
        stack.env["DERMQ_WORKER_CONCURRENCY"] = "2"
        stack.env["DERMQ_API_SOURCE_ROOTS"] = str(tmp_path_factory.getbasetemp())  # each test has its archive in its own folder
        here = Watched(stack, rest)
        here.start()
        wait_until(lambda: accepts(grpc), timeout_s=60, what="serving")
        yield here


def test_a_job_is_seen_on_every_page(watched: Watched, tmp_path: Path) -> None:
    members = [*((f"{number:03}.jpg", jpeg(20 + number % 50)) for number in range(1200)), ("a.jpg", b"words"), ("b.jpg", b"")]
    job_id = watched.stack.submit(write_zip(tmp_path / "a.zip", members))
    wait_until(lambda: watched.samples("api")["dermq_jobs", "running"] == 1, timeout_s=60, what="the job on the API's page")
    job = watched.stack.wait(job_id)
    wait_until(lambda: not watched.samples("worker")["dermq_worker_processes_busy",], timeout_s=20, what="idle workers")
    worker = watched.samples("worker")
    assert worker["dermq_items_total", "", "succeeded"] == job.succeeded == 1200
    assert worker["dermq_items_total", "not_an_image", "failed"] == 1
    assert worker["dermq_items_total", "empty", "failed"] == 1
    assert worker["dermq_chunks_total", "finished"] == job.chunk_count == 76
    assert worker["dermq_jobs_started_total",] == 1
    assert worker["dermq_batch_images_sum",] == 1200
    assert worker["dermq_batch_images_count",] == worker["dermq_predict_duration_seconds_count",] == 150
    stages = {labels[0]: value for (name, *labels), value in worker.items() if name == "dermq_stage_seconds_total"}
    assert sum(stages.values()) == pytest.approx(worker["dermq_chunk_duration_seconds_sum",], rel=0.01)
    assert all(stages[stage] > 0 for stage in ("claim", "read", "decode", "send", "predict_wait", "commit"))
    assert worker["dermq_task_seconds_total", "classify"] >= worker["dermq_chunk_duration_seconds_sum",]
    assert worker["dermq_worker_processes",] == worker["dermq_worker_processes_configured",] == 2
    after = watched.samples("api")
    assert (after["dermq_jobs", "succeeded"], after["dermq_items_pending",], after["dermq_work_seconds_pending",]) == (1, 0, 0)
    assert after["dermq_item_seconds_measured",] == 1
    # What the ledger measured lies within what the workers spent: the task's time holds the chunks' time.
    assert 0 < after["dermq_item_seconds",] * (job.succeeded + job.failed) <= worker["dermq_task_seconds_total", "classify"]
    assert watched.samples("beat")["dermq_beat_ticks_total",] >= 1
    assert str(job_id) not in watched.page("worker")
    assert ".jpg" not in watched.page("worker")


def test_every_query_of_rules_and_dashboard_finds_its_metrics(watched: Watched) -> None:
    fetch(f"http://127.0.0.1:{watched.ports['api']}/healthz")
    pages = tuple(watched.page(name) for name in ("worker", "beat", "api", "serving"))
    assert promql.unknown(pages) == {}
    assert len(promql.expressions()) > 80


def test_every_metric_is_documented(watched: Watched) -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    pages = "".join(watched.page(name) for name in ("worker", "beat", "api"))
    names = set(re.findall(r"^# TYPE (dermq_\w+) ", pages, re.MULTILINE))
    assert len(names) > 40
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_a_query_of_a_metric_or_label_that_is_not_there_is_found(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = {"a": "rate(dermq_itemz_total[5m])", "b": 'dermq_items_total{result="failed"}', "c": "max(dermq_jobs)"}
    monkeypatch.setattr(promql, "expressions", lambda: queries)
    pages = tuple(watched.page(name) for name in ("worker", "beat", "api", "serving"))
    assert promql.unknown(pages) == {
        "a": "no such metric: dermq_itemz_total",
        "b": "dermq_items_total has no label ['result']",
    }


def test_counts_go_on_when_children_die_and_are_replaced(watched: Watched, tmp_path: Path) -> None:
    before = watched.samples("worker")
    job_id = watched.stack.submit(write_zip(tmp_path / "b.zip", [("bang.jpg", jpeg(1) + SEGFAULT), ("fine.jpg", jpeg(2))]))
    assert watched.stack.wait(job_id).failed == 1
    wait_until(lambda: watched.samples("worker")["dermq_worker_processes",] == 2, timeout_s=20, what="new children")
    after = watched.samples("worker")
    assert after["dermq_items_total", "decoder_crash", "failed"] == 1
    assert after["dermq_chunk_crashes_total",] >= 2
    assert after["dermq_chunk_splits_total",] >= 1
    fallen = {key for key in before if key[0].endswith(("_total", "_count", "_sum")) and after[key] < before[key]}
    assert fallen == set(), "a counter fell"


def test_the_port_is_free_again_though_children_outlive_their_parent(tmp_path: Path, watched: Watched) -> None:
    port = free_port()
    env = {**watched.stack.env, "DERMQ_METRICS_PORT": str(port)}
    with running([sys.executable, "-m", "worker"], log=tmp_path / "first.log", env=env) as first:
        wait_until(lambda: accepts(port), timeout_s=60, what="the first page")
        wait_until(
            lambda: "dermq_worker_processes 2.0" in fetch(f"http://127.0.0.1:{port}/metrics"), timeout_s=60, what="children"
        )
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        assert not accepts(port)
