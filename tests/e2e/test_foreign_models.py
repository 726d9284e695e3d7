"""Six models of other teams on the real stack: wrapped, added, promoted, screened with; each row against the model itself.

python -m pytest -n0 -s tests/e2e/test_foreign_models.py     prints the table
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cli.sample import draw_samples
from cli.stack.folder import DataFolder
from cli.stack.state import load_state
from core.imaging import decode_image
from core.settings import ImageLimits
from tests.support.foreign_models import SIX, ForeignModel
from tests.support.servers import ROOT, wait_until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras saves with numpy 1's protocol
]
IMAGES = 14


@dataclass
class Stack:
    """A running `dermq up`, the archive, and what has been found so far."""

    work: Path
    data_dir: Path
    samples: list[tuple[str, bytes]]
    table: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.work,
            env=environment() | {"DERMQ_DATA_DIR": str(self.data_dir)},
            timeout=600,
        )

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DERMQ_")}
    return {**clean, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "160"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    work = tmp_path_factory.mktemp("foreign")
    folder, log = DataFolder(work / "data"), work / "up.log"
    samples = draw_samples(IMAGES, seed=11)
    with zipfile.ZipFile(work / "lesions.zip", "w") as archive:
        for name, data in samples:
            archive.writestr(name, data)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--data-dir", str(folder.root), "--root", str(work)],
            stdout=output,
            stderr=output,
            cwd=work,
            env=environment(),
            start_new_session=True,
        )
    try:
        wait_until(lambda: "DermQ is up" in log.read_text() or process.poll() is not None, timeout_s=170, what="the stack")
        assert process.poll() is None, log.read_text()
        assert load_state(folder.state)
        yield Stack(work, folder.root, samples)
    finally:
        process.terminate()
        process.wait(60)


def decoded(foreign: ForeignModel, samples: list[tuple[str, bytes]]) -> npt.NDArray[np.uint8]:
    images = np.empty((len(samples), *foreign.size, 3), np.uint8)
    for row, (_, data) in enumerate(samples):
        decode_image(
            data, height=foreign.size[0], width=foreign.size[1], resize="stretch", limits=ImageLimits(), out=images[row]
        )
    return images


def check_rows(foreign: ForeignModel, rows: list[dict[str, str]], samples: list[tuple[str, bytes]]) -> float:
    """The largest difference of a probability in the results from what the model itself answers."""
    expected = foreign.answers(decoded(foreign, samples))
    assert [row["name"] for row in rows] == [name for name, _ in samples]
    if len(foreign.classes) <= 30:
        found = np.array([[float(row[f"p_{name}"]) for name in foreign.classes] for row in rows])
        reference = expected
    else:
        found = np.array([[float(row[f"score{place}"]) for place in ("", "_2", "_3", "_4", "_5")] for row in rows])
        reference = -np.sort(-expected, axis=1)[:, :5]
    places = [foreign.classes.index(row["label"]) for row in rows]
    np.testing.assert_allclose(expected[np.arange(len(rows)), places], expected.max(axis=1), atol=2e-5)
    for row in rows:
        assert bool(row["risk"]) == bool(row["flag"]) == bool(foreign.malignant) == (not row["uncertainty"])
    largest = float(np.abs(found - reference).max())
    assert largest < 2e-4
    return largest


@pytest.mark.parametrize("kind", SIX)
def test_wrapped_added_promoted_and_screened(stack: Stack, kind: str, tmp_path: Path) -> None:
    foreign, name = SIX[kind](tmp_path), kind
    (tmp_path / "classes.txt").write_text("\n".join(foreign.classes))
    refused = stack.run("models", "add", name, str(foreign.path))
    assert refused.returncode != 0
    if foreign.path.is_dir():
        assert "dermq models wrap PATH --name NAME" in refused.stderr
    report: dict[str, Any] = json.loads(
        stack.succeed(
            *("models", "wrap", str(foreign.path), "--name", name, "--classes", f"@{tmp_path / 'classes.txt'}", "--json"),
            *foreign.options,
        )
    )
    assert f"{name} version 1 is published. To serve it: dermq promote {name} 1" in stack.succeed(
        "models", "add", name, report["path"]
    )
    unknown = stack.run("screen", "lesions.zip", "--model", name, "--out", "none.csv")
    assert (unknown.returncode, "`dermq models` lists what is served" in unknown.stderr) == (4, True), unknown
    promoted = stack.succeed("promote", name, "1")
    assert "it carries no evaluation: nobody has measured here how good it is" in promoted
    assert name in stack.succeed("models")
    job = json.loads(stack.succeed("screen", "lesions.zip", "--model", name, "--out", f"{name}.csv", "--json"))
    assert (job["state"], job["counts"]["succeeded"], job["threshold"] is not None) == (
        "succeeded",
        IMAGES,
        bool(foreign.malignant),
    )
    with (stack.work / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    largest = check_rows(foreign, rows, stack.samples)
    size = f"{foreign.size[0]}x{foreign.size[1]}"
    risk = "yes" if foreign.malignant else "none"
    stack.table.append(
        (kind, report["kind"], size, str(len(foreign.classes)), risk, report["output"], str(len(rows)), f"{largest:.1e}")
    )


def test_the_table_of_all_six(stack: Stack) -> None:
    head = ("model", "file", "size", "classes", "risk", "answers", "rows", "largest difference")
    widths = [max(map(len, column)) for column in zip(head, *stack.table, strict=True)]
    for line in (head, *stack.table):
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    assert [line[0] for line in stack.table] == list(SIX)
