"""`dermq` as a user runs it: the real one-machine stack with the shipped model, killed and stopped in every way.

The tests build on one another (one stack serves most of them), so they run in the order of the file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from pyarrow import parquet

from cli.sample import write_sample_archive
from cli.stack.folder import DataFolder
from cli.stack.processes import is_alive
from cli.stack.state import StackState, load_state
from tests.support.servers import ROOT, STARTER, wait_until

IMAGES = 2000
# Small chunks and short leases, so that a kill hits a job in the middle and its work is taken up soon.
RHYTHM = {
    "DERMQ_WORKER_CHUNK_ITEMS": "32",
    "DERMQ_WORKER_SOFT_LIMIT_S": "10",
    "DERMQ_WORKER_HARD_LIMIT_S": "12",
    "DERMQ_WORKER_LEASE_S": "15",
    "DERMQ_WORKER_VISIBILITY_TIMEOUT_S": "30",
    "DERMQ_WORKER_SWEEP_INTERVAL_S": "1",
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments]


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DERMQ_")}
    return {**clean, **RHYTHM, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120"}


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=cwd, env=environment(), timeout=170
    )


@dataclass
class Up:
    """A running `dermq up`, and the files of this module."""

    process: subprocess.Popen[bytes]
    log: Path
    work: Path
    folder: DataFolder

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def state(self) -> StackState:
        found = load_state(self.folder.state)
        assert found
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.work, *arguments, "--data-dir", str(self.folder.root))

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = json.loads(self.run("status", job_id, "--json").stdout)
        return job


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    work = tmp_path_factory.mktemp("cli")
    folder = DataFolder(work / "data")
    log = work / "up.log"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background: inherited
    arguments = command("up", "--data-dir", str(folder.root), "--root", str(work))
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=work, env=environment(), start_new_session=True)
    running = Up(process, log, work, folder)
    try:
        wait_until(lambda: "DermQ is up" in running.output or process.poll() is not None, timeout_s=170, what="the stack")
        assert process.poll() is None, running.output
        yield running
    finally:
        process.terminate()
        process.wait(60)


def test_no_name_of_a_file_and_no_text_of_one_comes_into_logs_or_metrics(up: Up) -> None:
    """Names and texts of a whole run, of which some members and one archive fail, by upload, by address and by path."""
    secret = "Zoltan-Quixby"
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (120, 80, 70)).save(picture, "JPEG")
    members = {
        f"{secret}/1.jpg": picture.getvalue(),
        f"{secret}/2.jpg": f"Patient {secret}, follow up".encode(),
        f"../{secret}.jpg": picture.getvalue(),
        f"{secret}.csv": f"image,note\n{secret}/1.jpg,{secret}\n".encode(),
    }
    folder = up.work / secret
    folder.mkdir()
    archive = folder / f"{secret}.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, data in members.items():
            out.writestr(name, data)
    broken = folder / f"{secret}-broken.zip"
    broken.write_bytes(archive.read_bytes()[:-40])
    assert secret in up.run("screen", str(archive), "--json", "--out", str(up.work / "secret.csv")).stdout
    assert secret in (up.work / "secret.csv").read_text()
    called = {"Content-Disposition": f'attachment; filename="{secret}.jpg"'}
    with httpx2.Client(base_url=up.state.url, timeout=60) as client:
        jobs = [
            client.put(f"/v1/jobs/{secret}.zip", content=broken.read_bytes()).json()["id"],
            client.post("/v1/jobs", json={"source": str(folder)}).json()["id"],
        ]
        client.post("/v1/jobs", json={"source": str(folder / "nothing-there.zip")})
        client.post("/v1/classify", content=members[f"{secret}/2.jpg"], headers=called)
        for path in (f"jobs/{jobs[1]}/items/0/image", secret, f"jobs/{secret}/results", f"jobs?state={secret}"):
            client.get(f"/v1/{path}")
        for job_id in jobs:
            wait_until(
                lambda job_id=job_id: client.get(f"/v1/jobs/{job_id}").json()["state"] in ("succeeded", "failed"),
                timeout_s=100,
                what="the end of a job",
                poll_s=0.3,
            )
        metrics = client.get("/metrics").text
    logs = {path: path.read_text(errors="replace") for path in [up.log, *up.folder.root.glob("logs/**/*")] if path.is_file()}
    assert any("request" in text for text in logs.values())
    leaks = [line for text in [*logs.values(), metrics] for line in text.splitlines() if secret in line]
    assert leaks == []


@pytest.fixture(scope="module")
def sample(up: Up) -> Path:
    path = up.work / "sample.zip"
    write_sample_archive(path, images=14, seed=1)
    return path


@pytest.fixture(scope="module")
def many(up: Up) -> Path:
    """Enough small images that a job is still running when it is disturbed."""
    path = up.work / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(IMAGES):
            out = io.BytesIO()
            Image.new("RGB", (64, 64), (number % 256, number // 256, 90)).save(out, "JPEG")
            archive.writestr(f"{number:05d}.jpg", out.getvalue())
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(240)
def test_screen_uses_the_running_stack_and_writes_every_format_alike(up: Up, sample: Path) -> None:
    done = up.run("screen", str(sample), "--json", "--strict")
    assert done.returncode == 6, done.stderr
    job = json.loads(done.stdout)
    assert job["counts"] == {"total": 17, "succeeded": 14, "failed": 3, "skipped": 2, "remaining": 0}
    assert job["errors"] == {"truncated": 1, "not_an_image": 1, "too_many_pixels": 1}
    assert f"Research use only, not a diagnosis. Model: starter version {STARTER.name}." in done.stderr
    rows = read_csv(up.work / "results.csv")
    assert list(rows[0]) == [
        *("item", "name", "status", "label", "score", "risk"),
        *(f"p_{name}" for name in job["classes"]),
        *("flag", "error_code", "error", "width", "height", "model", "version", "novelty", "uncertainty", "notes"),
        "duplicate_group",
    ]
    for suffix in ("jsonl", "parquet"):
        assert up.run("results", job["id"], "--out", f"r.{suffix}").returncode == 0
    lines = [json.loads(line) for line in (up.work / "r.jsonl").read_text().splitlines()]
    table = parquet.read_table(up.work / "r.parquet")
    assert table.column_names == list(rows[0]) == list(lines[0])
    assert [line["name"] for line in lines] == table.column("name").to_pylist() == [row["name"] for row in rows]
    assert [line["risk"] for line in lines] == pytest.approx(table.column("risk").to_pylist())
    with zipfile.ZipFile(sample) as archive:
        assert {row["name"] for row in rows} < set(archive.namelist())


@pytest.mark.timeout(240)
def test_a_version_is_added_put_on_trial_and_compared(up: Up, sample: Path) -> None:
    added = up.run("models", "add", "starter", str(STARTER), "--json")
    stable = int(STARTER.name)
    new = json.loads(added.stdout)["version"]
    assert new == stable + 1, added.stderr
    promoted = up.run("promote", "starter", str(new), "--label", "canary")
    assert f"starter canary is version {new}" in promoted.stdout, promoted.stderr
    done = up.run("compare", str(sample), "--a", "stable", "--b", "canary", "--json")
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert (output["a"]["version"], output["b"]["version"]) == (stable, new)
    assert (output["items"], output["compared"], output["disagreements"], output["largest_risk_difference"]) == (17, 14, 0, 0.0)
    assert len(read_csv(up.work / "comparison.csv")) == 17
    (model,) = json.loads(up.run("models", "--json").stdout)
    assert model["labels"] == {"stable": stable, "canary": new}


def test_a_folder_is_sent_where_the_server_may_not_read_it(up: Up, sample: Path) -> None:
    with zipfile.ZipFile(sample) as archive:
        archive.extractall(up.work / "folder")
    sent = up.run("screen", "folder", "--out", "sent.csv", "--server", up.state.url)
    assert sent.returncode == 0, sent.stderr
    read = up.run("screen", "folder", "--out", "read.csv")
    assert read.returncode == 0, read.stderr
    assert (up.work / "sent.csv").read_text() == (up.work / "read.csv").read_text()
    names = {job["name"] for job in json.loads(up.run("jobs", "--json").stdout)}
    assert {"folder.zip", "folder"} <= names


def test_results_can_be_chosen_and_sorted(up: Up) -> None:
    job = json.loads(up.run("jobs", "--json", "--limit", "1").stdout)[0]
    done = up.run("results", job["id"], "--sort=-risk", "--min-risk", "0.2", "--json")
    risks = [json.loads(line)["risk"] for line in done.stdout.splitlines()]
    assert risks
    assert risks == sorted(risks, reverse=True)
    assert min(risks) >= 0.2
    assert len(json.loads(up.run("errors", job["id"], "--json").stdout)) == 3


def test_a_second_up_says_who_holds_the_folder(up: Up) -> None:
    done = up.run("up")
    assert done.returncode == 5
    assert f"`dermq up` runs as process {up.process.pid} at {up.state.url}" in done.stderr


def test_the_doctor_finds_all_in_order(up: Up) -> None:
    done = up.run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {finding["grade"] for finding in json.loads(done.stdout)} == {"ok"}


def test_the_demo_with_truth_has_something_of_each_kind_to_find(up: Up) -> None:
    done = up.run("demo", "--once", "--truth", "--images", "21", "--json", "--out", "truth.csv")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["counts"]["succeeded"], job["counts"]["failed"]) == (26, 1)  # 21, 3 copies, out of focus, too dark; cut short
    rows = {row["name"]: row for row in read_csv(up.work / "truth.csv")}
    assert rows["nv/nv_truncated.jpg"]["error_code"] == "truncated"
    assert "blurred" in rows["nv/nv_blurred.jpg"]["notes"]
    assert "under_exposed" in rows["nv/nv_dark.jpg"]["notes"]
    copy, original = rows["nv/nv_0001_copy.jpg"], rows["nv/nv_0001.jpg"]
    assert copy["duplicate_group"] == original["duplicate_group"] != ""
    report = json.loads(up.run("evaluate-job", job["id"], "--json").stdout)
    assert report["images"] == 26


@pytest.mark.timeout(240)
def test_a_job_survives_the_death_of_worker_and_model_server(up: Up, many: Path) -> None:
    job_id = up.run("submit", str(many)).stdout.strip()
    wait_until(lambda: up.job(job_id)["counts"]["succeeded"] > 0, timeout_s=60, what="first results")
    before = dict(up.state.processes)
    for name in ("worker", "serving"):
        os.kill(before[name].pid, signal.SIGKILL)
    done = up.run("watch", job_id, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["succeeded"] == IMAGES
    assert "worker died (SIGKILL); starting it again" in up.output
    assert "serving died (SIGKILL); starting it again" in up.output
    assert not any(is_alive(before[name]) for name in ("worker", "serving"))
    assert up.run("results", job_id, "--out", "many.csv").returncode == 0
    assert Counter(row["name"] for row in read_csv(up.work / "many.csv")) == {
        f"{number:05d}.jpg": 1 for number in range(IMAGES)
    }


def test_ctrl_c_stops_all_in_order(up: Up) -> None:
    processes = up.state.processes
    assert len(processes) == 5
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    stopped = [line.split()[0] for line in up.output.splitlines() if " stopped (" in line]
    assert stopped == ["api", "beat", "worker", "serving", "valkey"]
    assert up.output.rstrip().endswith("stopped; jobs and results are kept")
    assert not any(is_alive(identity) for identity in processes.values())
    assert up.run("jobs").returncode == 3


@pytest.mark.timeout(300)
def test_what_a_killed_run_leaves_behind_is_ended_and_the_demo_runs(up: Up) -> None:
    log = up.work / "killed.log"
    arguments = command("up", "--data-dir", str(up.folder.root))
    with log.open("wb") as output:
        killed = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=up.work, env=environment())
    wait_until(lambda: "DermQ is up" in log.read_text(), timeout_s=170, what="the stack")
    left = up.state.processes
    os.kill(left["worker"].pid, signal.SIGSTOP)  # it will not hear the SIGTERM that its parent's death sends
    killed.kill()
    killed.wait()
    demo = run(up.work, "demo", "--once", "--data-dir", str(up.folder.root), "--out", "demo.csv")
    assert demo.returncode == 0, demo.stderr
    assert "an earlier run was killed; ended what it left behind:" in demo.stderr
    assert "worker" in demo.stderr
    assert not any(is_alive(identity) for identity in left.values())
    rows = read_csv(up.work / "demo.csv")
    assert Counter(row["status"] for row in rows) == {"succeeded": 42, "failed": 3}
    assert Counter(row["error_code"] for row in rows if row["error_code"]) == Counter(
        ("truncated", "not_an_image", "too_many_pixels")
    )
    assert up.state.processes == {}
