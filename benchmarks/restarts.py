"""`python -m benchmarks.restarts --restarts 20 --seed 1`: what rolling restarts of workers cost the jobs that run meanwhile.

Two workers, a model that costs next to nothing, and PostgreSQL with Redis or SQLite with Valkey, under a stream of jobs. The
latency of a job, from its submission to its success, is measured in calm first, for as many jobs as are asked for. Then one
worker after the other is replaced: a new one is started, then the old one gets SIGTERM. Printed is one JSON object: median and
99th percentile of both, the ratio of the latter, and the work done twice; and how long a cancel takes, from the request
to the ended job.
Seconds depend on who else uses the machine; calm and restarts are measured one after the other.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from core.db.models import TERMINAL_STATES
from tests.support.rolling import count_redone, roll, stream_of
from tests.support.servers import broker_binary, running_broker, running_postgres, running_serving, wait_until
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip
from tests.support.tiny_model import export_tiny_model_apart

_ITEMS = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=100, help="in calm")
    parser.add_argument("--cancels", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=3, help="jobs that are unfinished at any time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", choices=("sqlite", "postgres"), default="postgres")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermq-restarts-") as name, ExitStack() as exits:
        folder = Path(name)
        (folder / "broker").mkdir()
        export_tiny_model_apart(folder / "models" / "tiny", 1)
        url = f"sqlite:///{folder / 'ledger.db'}"
        if chosen.db == "postgres":
            url = f"{exits.enter_context(running_postgres(fsync=True))}/postgres"
        serving = exits.enter_context(running_serving(folder / "models" / "tiny", "tiny", folder / "serving.log"))
        kind = "redis" if chosen.db == "postgres" and broker_binary("redis") else "valkey"
        broker = exits.enter_context(running_broker(kind, folder / "broker"))
        made = worker_stack(folder, database_url=url, broker_url=broker, serving_address=serving)
        print(json.dumps({"db": chosen.db, "seed": chosen.seed, **measure(exits.enter_context(made), chosen)}))


def measure(stack: WorkerStack, chosen: argparse.Namespace) -> dict[str, object]:
    """Calm, restarts, cancels."""
    workers = [stack.start_worker(ready=True) for _ in range(2)]
    stack.start_beat()
    with stream_of(stack, _ITEMS, at_once=chosen.at_once) as calm:
        wait_until(lambda: len(calm.jobs) >= chosen.jobs, timeout_s=1800, what=f"{chosen.jobs} jobs in calm", poll_s=0.5)
    with stream_of(stack, _ITEMS, at_once=chosen.at_once) as restarts:
        roll(stack, workers, chosen.restarts, chosen.seed)
    before, after = _quantiles(calm.latencies_s()), _quantiles(restarts.latencies_s())
    return {
        "restarts": chosen.restarts,
        "at_once": chosen.at_once,
        "calm": before,
        "under_restarts": after,
        "p99_ratio": round(after["p99_s"] / before["p99_s"], 2),
        "redone": asdict(count_redone(stack, restarts)),
        "cancel": _quantiles([cancel_s(stack) for _ in range(chosen.cancels)]),
    }


def cancel_s(stack: WorkerStack) -> float:
    """Seconds from the request to the ended job, for a job in the middle of its rows."""
    archive = stack.folder / "cancelled.zip"
    job_id: uuid.UUID = stack.submit(archive if archive.exists() else write_zip(archive, pictures(2000)))
    stack.wait_for_rows(job_id, 16)
    began = time.monotonic()
    stack.cancel(job_id)
    wait_until(lambda: stack.job(job_id).state in TERMINAL_STATES, timeout_s=60, what="the job's end", poll_s=0.01)
    return time.monotonic() - began


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "jobs": len(seconds),
        "median_s": round(cuts[49], 2),
        "p99_s": round(cuts[98], 2),
        "longest_s": round(max(seconds), 2),
    }


if __name__ == "__main__":
    main()
