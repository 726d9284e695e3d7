"""`python -m benchmarks.scaling ARCHIVE.zip -f docker-compose.yml -f …`: images a second of a Compose stack, by workers.

The stack is up already. For each number of workers one job is screened through the API, and the CPU time of each service's
containers is read before and after: it says what the limit was. With --kill, one more job is screened while a worker's
container is killed in the middle of it; every row must be there, once.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.http.client import Client

DOCKER = shutil.which("docker") or "docker"
SERVICES = ("api", "worker", "serving", "postgres", "redis", "beat")


@dataclass(frozen=True)
class Compose:
    """The stack, by its files and its API."""

    files: tuple[str, ...]
    server: str

    def __call__(self, *arguments: str) -> str:
        """What a command of docker compose prints."""
        named = [part for file in self.files for part in ("-f", file)]
        return subprocess.run([DOCKER, "compose", *named, *arguments], check=True, capture_output=True, text=True).stdout

    def scale(self, workers: int) -> None:
        """Run so many workers, all ready."""
        self("up", "-d", "--no-build", "--no-recreate", "--wait", "--scale", f"worker={workers}")

    def containers(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self("ps", "--quiet", "--status=running", service).split()

    def cpu_s(self, service: str) -> float:
        """Seconds of CPU time of a service's containers so far, from their control groups."""
        return sum(map(_cpu_s, self.containers(service)))


def _cpu_s(container: str) -> float:
    script = "grep usage_usec /sys/fs/cgroup/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
    output = subprocess.run([DOCKER, "exec", container, "sh", "-c", script], check=True, capture_output=True, text=True).stdout
    return int(output.split()[1]) / 1e6 if "usage_usec" in output else int(output) / 1e9


@dataclass(frozen=True)
class Run:
    """One job's figures."""

    rows: int
    seconds: float  # from "queued" to "succeeded"
    cpu_s: dict[str, float]  # by service


def screen(stack: Compose, archive: Path, *, kill: bool) -> Run:
    """Screen an archive; with `kill`, kill one worker's container once a third is done."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.csv"
        before = {name: stack.cpu_s(name) for name in SERVICES}
        command = [sys.executable, "-m", "cli", "screen", str(archive), "--server", stack.server, "--json", "--out", str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            if kill:
                _kill_worker(stack)
            output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"dermq screen ended with {process.returncode}: {output}")
        job: dict[str, Any] = json.loads(output)
        cpu_s = {} if kill else {name: stack.cpu_s(name) - before[name] for name in SERVICES}
        rows = _check_rows(out, job)
    at = {name: datetime.fromisoformat(value) for name, value in job["timestamps"].items() if value}
    return Run(rows, (at["succeeded"] - at["queued"]).total_seconds(), cpu_s)


def _check_rows(out: Path, job: dict[str, Any]) -> int:
    with out.open(newline="") as file:
        items = Counter(row["item"] for row in csv.DictReader(file))
    if len(items) != job["counts"]["total"] or set(items.values()) != {1}:
        raise SystemExit(f"expected {job['counts']['total']} rows, each once; got {len(items)}, {max(items.values())} at most")
    return len(items)


def _kill_worker(stack: Compose) -> None:
    doomed = stack.containers("worker")[0]
    with Client(stack.server) as client:
        while True:
            job = client.get("/v1/jobs", {"limit": 1})["data"][0]
            counts = job["counts"]
            if job["state"] == "running" and counts["remaining"] < counts["total"] * 2 / 3:
                break
            time.sleep(0.05)
    subprocess.run([DOCKER, "kill", "--signal", "KILL", doomed], check=True, capture_output=True)
    print(f"  killed {doomed[:12]} with {counts['remaining']} of {counts['total']} images to go", flush=True)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("-f", "--file", action="append", required=True, help="a Compose file, as docker compose takes it")
    parser.add_argument("--server", default="http://127.0.0.1:8080")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=2, help="jobs for each number of workers; the fastest counts")
    parser.add_argument("--kill", action="store_true")
    chosen = parser.parse_args()
    stack = Compose(tuple(chosen.file), chosen.server)
    print(f"| workers | rows | s | images/s | CPU s: {', '.join(SERVICES)} |\n|---|---|---|---|---|")
    for workers in chosen.workers:
        stack.scale(workers)
        run = min((screen(stack, chosen.archive, kill=False) for _ in range(chosen.rounds)), key=lambda run: run.seconds)
        cpu_s = ", ".join(f"{run.cpu_s[name]:.1f}" for name in SERVICES)
        print(f"| {workers} | {run.rows} | {run.seconds:.1f} | {run.rows / run.seconds:.0f} | {cpu_s} |", flush=True)
    if chosen.kill:
        run = screen(stack, chosen.archive, kill=True)
        print(f"  one of {chosen.workers[-1]} workers killed: {run.rows} rows, each once, in {run.seconds:.1f} s")
        stack.scale(chosen.workers[-1])


if __name__ == "__main__":
    main()
