"""The main job on real images: every member a row, memory flat, and predictions that equal the SavedModel's own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from cli.stack.state import StackState, load_state
from core.imaging import decode_image
from core.modelspec import ModelSpec
from core.settings import ImageLimits
from tests.support.servers import STARTER, free_port, wait_until

WARM_UP = (
    2048  # images: chunks for every worker process, which would else load libraries and its first buffers while we measure
)
DERMQ = [sys.executable, "-m", "cli"]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_DATA_HOME": str(tmp_path), "DERMQ_API_PORT": str(free_port()), "COLUMNS": "100"}


def screen(tmp_path: Path, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DERMQ, "screen", *arguments, "--data-dir", str(tmp_path / "data")],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def resident_mb(pid: int) -> float:
    """VmRSS of a process (proc(5)); 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def with_children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())] if children.exists() else []


def test_originals_get_a_row_each(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "ham10000" / "originals_600x450"
    done = screen(tmp_path, str(folder))
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    with (tmp_path / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["name"] for row in rows) == sorted(path.name for path in folder.iterdir())
    assert {(row["status"], row["width"], row["height"]) for row in rows} == {("succeeded", "600", "450")}


@dataclass(frozen=True)
class TenThousand:
    """One screening of 10,015 images: what the command printed and wrote, and the memory of the stack around it."""

    job: dict[str, Any]
    rows: list[dict[str, Any]]
    before: dict[int, float]  # resident megabytes by process, before
    most: dict[int, float]  # and at most, meanwhile


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> Path:
    return shared_data / "ham10000" / "ham10000_200x150.zip"


@pytest.fixture(scope="module")
def ten_thousand(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> TenThousand:
    """The archive after a first job of WARM_UP images and its export, which load what is loaded on first use."""
    folder = tmp_path_factory.mktemp("ten-thousand")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(folder / "first.zip", "w") as target:
        for name in source.namelist()[:WARM_UP]:
            target.writestr(name, source.read(name))
    up = subprocess.Popen([*DERMQ, "up", "--data-dir", str(folder / "data")], cwd=folder, env=environment(folder))
    try:
        wait_until(lambda: bool((state := state_of(folder)) and state.url), timeout_s=120, what="the stack")
        finish(screen(folder, str(folder / "first.zip"), "--out", "first.jsonl"))
        before = resident(folder)
        assert len(before) >= 4, "api, worker and its children"
        with (folder / "job.json").open("w") as output:  # a file: nobody reads a pipe meanwhile
            run = screen(folder, str(archive), "--json", "--out", "all.jsonl", stdout=output)
        most = dict(before)
        while run.poll() is None:
            for pid, size in resident(folder).items():
                most[pid] = max(most.get(pid, 0.0), size)
            time.sleep(0.25)
        finish(run)
    finally:
        up.terminate()
        up.wait(60)
    return TenThousand(json.loads((folder / "job.json").read_text()), rows_of(folder / "all.jsonl"), before, most)


@pytest.mark.timeout(400)
def test_ten_thousand_images_in_one_run(ten_thousand: TenThousand, archive: Path, shared_data: Path) -> None:
    rows = ten_thousand.rows
    assert ten_thousand.job["counts"] == {"total": 10015, "succeeded": 10015, "failed": 0, "skipped": 0, "remaining": 0}
    with zipfile.ZipFile(archive) as members:
        assert [row["name"] for row in rows] == members.namelist()
    assert [row["item"] for row in rows] == list(range(10015))
    assert {row["version"] for row in rows} == {int(STARTER.name)}
    assert confusion_of_the_test_part(rows, shared_data) == evaluation_of_the_starter()["confusion"]


def evaluation_of_the_starter() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STARTER / "assets.extra" / "evaluation.json").read_text(encoding="utf-8"))
    return found


def confusion_of_the_test_part(rows: list[dict[str, Any]], shared_data: Path) -> list[list[int]]:
    """Counts [true][predicted] over the images of the split that travels with the model, from the service's rows alone."""
    with (shared_data / "ham10000" / "HAM10000_metadata.csv").open(newline="") as stream:
        truth = {row["image_id"]: row["dx"] for row in csv.DictReader(stream)}
    test = set(json.loads((STARTER / "assets.extra" / "split.json").read_text(encoding="utf-8"))["test"])
    spec = ModelSpec.model_validate_json((STARTER / "assets.extra" / "spec.json").read_text(encoding="utf-8"))
    counts = [[0] * len(spec.classes) for _ in spec.classes]
    for row in rows:
        name = Path(row["name"]).stem
        if name in test:
            counts[spec.classes.index(truth[name])][spec.classes.index(row["label"])] += 1
    assert sum(map(sum, counts)) == len(test & truth.keys())  # the split of a version of several sources names theirs too
    return counts


@pytest.mark.timeout(400)
def test_memory_does_not_grow_with_the_archive(ten_thousand: TenThousand, archive: Path) -> None:
    """After a first job, of which each worker process had its share, 10,015 images add next to nothing."""
    grown = {pid: ten_thousand.most[pid] - size for pid, size in ten_thousand.before.items()}
    archive_mb = archive.stat().st_size / 1e6
    assert max(grown.values()) < 0.7 * archive_mb, f"resident MB gained over an archive of {archive_mb:.0f} MB: {grown}"


def state_of(tmp_path: Path) -> StackState | None:
    return load_state(tmp_path / "data" / "state.json")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def finish(run: subprocess.Popen[str]) -> None:
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors


def resident(tmp_path: Path) -> dict[int, float]:
    """Resident megabytes of api, worker and their children, by pid."""
    state = state_of(tmp_path)
    leaders = [state.processes[name].pid for name in ("api", "worker")] if state else []
    return {pid: resident_mb(pid) for leader in leaders for pid in with_children(leader)}


def test_predictions_equal_those_of_the_saved_model(tmp_path: Path, shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "ham10000" / "ham10000_200x150.zip") as source:
        files = [(name, source.read(name)) for name in source.namelist()[::20][:500]]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as target:
        for name, data in files:
            target.writestr(name, data)
    done = screen(tmp_path, str(tmp_path / "some.zip"), "--out", "results.jsonl")
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    rows = rows_of(tmp_path / "results.jsonl")

    import tensorflow as tf

    signatures = tf.saved_model.load(str(STARTER)).signatures
    described = signatures["describe"](query=tf.constant([""]))["spec"].numpy()[0]
    spec = ModelSpec.model_validate_json(described)
    arrays = [
        decode_image(data, height=spec.input_height, width=spec.input_width, resize=spec.resize, limits=ImageLimits()).pixels
        for _, data in files
    ]
    direct = signatures["serving_default"](images=tf.constant(np.stack(arrays)))["probabilities"].numpy()
    served = np.array([[row[f"p_{name}"] for name in spec.classes] for row in rows])
    assert served.shape == (500, len(spec.classes))
    np.testing.assert_allclose(served, direct, atol=1e-5)
    risks = direct[:, list(spec.malignant_indices)].sum(axis=1)
    np.testing.assert_allclose([row["risk"] for row in rows], risks, atol=1e-5)
    assert [row["label"] for row in rows] == [spec.classes[best] for best in direct.argmax(axis=1)]
