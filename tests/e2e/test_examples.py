"""The programs in examples/ and the first tutorial run as they stand, against one running stack."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.sample import write_sample_archive
from docs.generate.settings import variables
from tests.support import composefiles
from tests.support.servers import ROOT, accepts, free_port, running, wait_until

EXAMPLES = ROOT / "examples"
IMAGES = 14  # and three members that fail
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Served:
    """A running stack, a folder to work in with an archive, and the environment of a user's shell."""

    url: str
    folder: Path
    env: dict[str, str]

    @property
    def archive(self) -> Path:
        return self.folder / "lesions.zip"

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("examples")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    write_sample_archive(folder / "lesions.zip", images=IMAGES)
    (folder / "bin").mkdir()
    (folder / "bin/dermq").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    (folder / "bin/dermq").chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DERMQ_")}
    env = clean | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DERMQ_DATA_DIR": str(folder / "data"),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "cli", "up", "--port", str(port)]
    with running(command, log=folder / "up.log", env=env, grace_s=60):
        wait_until(lambda: "DermQ is up" in (folder / "up.log").read_text(), timeout_s=170, what="the stack")
        assert accepts(port)
        yield Served(url, folder, env | {"DERMQ_SERVER": url, "ARCHIVE": str(folder / "lesions.zip")})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed (Debian: apt-get install curl)")
def test_the_script_with_curl(served: Served) -> None:
    first = served.run(EXAMPLES / "screen.sh", served.archive)
    assert "succeeded" in first.stderr
    assert {failure["code"] for failure in json.loads(first.stdout)["data"]} >= {"truncated", "too_many_pixels"}
    found = rows(served.folder / "results.csv")
    assert len(found) == IMAGES + 3
    risks = [float(row["risk"]) for row in found if row["risk"]]
    assert risks == sorted(risks, reverse=True)
    again = served.run(EXAMPLES / "screen.sh", served.archive)
    assert again.stderr.splitlines()[0] == first.stderr.splitlines()[0], "the same file gave another job"


def test_the_program_in_python(served: Served) -> None:
    done = served.run(sys.executable, EXAMPLES / "screen.py", served.archive)
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"job \S+ succeeded: {IMAGES} classified, 3 failed", lines[0])
    assert len(lines) == 1 + 5 + 3
    assert any(line.startswith("not_an_image: broken/notes.jpg: ") for line in lines)


def test_the_program_in_python_shows_a_problem(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "screen.py", served.archive, served.url + "/v1/nowhere"],
        env=served.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("not_found: ")


def test_the_notebook(served: Served) -> None:
    source = json.loads((EXAMPLES / "explore.ipynb").read_text())
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in source["cells"])
    code = (
        "import nbformat, nbclient, sys\n"
        "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "print(''.join(out.get('text', '') for cell in notebook.cells for out in cell.get('outputs', ())))\n"
    )
    done = served.run(sys.executable, "-c", code, EXAMPLES / "explore.ipynb")
    assert f"'succeeded': {IMAGES}" in done.stdout
    assert "not_an_image: broken/notes.jpg" in done.stdout
    assert done.stdout.count("risk 0.") == 10
    assert (served.folder / "results.parquet").stat().st_size > 0


def test_several_archives_with_asyncio(served: Served) -> None:
    write_sample_archive(served.folder / "second.zip", images=3)
    done = served.run(sys.executable, EXAMPLES / "screen_many.py", served.archive, served.folder / "second.zip")
    found = sorted(done.stdout.splitlines())
    assert re.fullmatch(rf".*lesions\.zip: {IMAGES} classified, 3 failed, \d+ flagged", found[0])
    assert re.fullmatch(r".*second\.zip: 3 classified, 3 failed, \d flagged", found[1])


def test_a_job_for_label_studio_and_for_fiftyone(served: Served) -> None:
    with zipfile.ZipFile(served.archive) as archive:
        archive.extractall(served.folder / "images")
    job = served.run("dermq", "submit", served.folder / "images").stdout.strip()
    served.run("dermq", "watch", job)
    tasks = json.loads(served.run(sys.executable, EXAMPLES / "label_studio.py", job).stdout)
    assert len(tasks) == IMAGES
    for task in tasks:
        assert task["data"]["image"] == f"{served.url}/v1/jobs/{job}/items/{task['data']['item']}/image"
        (prediction,) = task["predictions"]
        assert 0 < prediction["score"] <= 1
        assert prediction["model_version"].startswith("starter version ")
        (result,) = prediction["result"]
        assert (result["from_name"], result["to_name"], result["type"]) == ("class", "image", "choices")
    served.run(sys.executable, EXAMPLES / "fiftyone_dataset.py", job, served.folder / "images", served.folder / "fo")
    written = json.loads((served.folder / "fo/labels.json").read_text())
    by_name = {task["data"]["name"]: task for task in tasks}
    assert len(written["labels"]) == IMAGES
    for name, label in written["labels"].items():
        task = by_name[label["attributes"]["name"]]
        assert task["predictions"][0]["result"][0]["value"]["choices"] == [written["classes"][label["label"]]]
        (image,) = (served.folder / "fo/data").glob(f"{name}.*")
        assert image.read_bytes() == (served.folder / "images" / label["attributes"]["name"]).read_bytes()


def test_the_sketch_for_airflow_names_what_the_client_has() -> None:
    """Airflow is not installed here: its two functions are run with decorators that change nothing."""
    source = (
        (EXAMPLES / "airflow_dag.py")
        .read_text()
        .replace("from airflow.sdk import dag, task", "dag = task = lambda **_: lambda f: f")
    )
    calls: list[tuple[str, str]] = []
    found: dict[str, object] = {}
    exec(compile(source.replace("\nscreen_lesions()\n", "\n"), "airflow_dag.py", "exec"), found)  # noqa: S102 - our own file
    found["submit"] = lambda archive: f"job of {archive}"
    found["fetch"] = lambda job, table: calls.append((job, table))
    found["screen_lesions"]()  # type: ignore[operator]
    assert calls == [("job of /data/incoming/{{ ds }}.zip", "/data/flagged/{{ ds }}.csv")]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed (Debian: apt-get install curl)")
def test_the_first_tutorial(served: Served) -> None:
    text = (ROOT / "docs/tutorials/first-screening.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert sum(block.count("dermq ") for block in blocks) >= 6
    script = "".join(blocks).replace("dermq up &\n", "").replace("http://127.0.0.1:8080", served.url)
    served.run("bash", "-c", f"set -eu\n{script}")
    assert len(rows(served.folder / "first.csv")) == IMAGES + 3


def test_the_compose_override_changes_what_is_there() -> None:
    override = composefiles.services(EXAMPLES / "compose.override.yml")
    base = composefiles.services(composefiles.BASE)
    assert {"api", "worker"} == override.keys() <= base.keys()
    for name, service in override.items():
        assert service.keys() <= base[name].keys()
        assert service["environment"].keys() <= base[name]["environment"].keys() & variables().keys()


def test_the_experiment_of_ones_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for label, colour in {"melanoma": (90, 60, 60), "nevus": (190, 140, 120)}.items():
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(30):
            pixels = np.clip(generator.normal(colour, 25, (40, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{label}_{number}.png")
    command = [sys.executable, str(EXAMPLES / "own_experiment.py"), str(tmp_path / "pictures"), str(tmp_path / "run"), "2"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["experiment"], record["classes"], record["malignant"]) == ("own", ["melanoma", "nevus"], ["melanoma"])
    assert (tmp_path / "run/model.keras").stat().st_size > 10_000
