"""The folder of one run: what was trained, on what, and what came of it.

run.json          experiment, seed, versions, git commit, history
split.json        which image is in which part
    leakage.json      what the parts share
model.keras       the trained model
predictions.npz   uncalibrated probabilities and labels of validation and test; of further sources as PART-SOURCE
    samples.json      id, label, group and attributes of the images of validation and test
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InvalidRequestError
from training.datasets.base import FloatArray, IntArray, Sample
from training.leakage import LeakageReport
from training.splits import Split

DEFAULT_ROOT = Path("data/runs")


@dataclass(slots=True)
class RunRecord:
    """`run.json`."""

    experiment: str
    architecture: str
    dataset: str
    licence: str
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    height: int
    width: int
    resize: str
    preprocessing_hash: str
    seed: int
    split: str
    epochs: int
    parameters: int
    git_commit: str
    versions: dict[str, str]
    data: str = ""  # where the images were, if not in the default place; stays on this machine, no export holds it
    weights: str = "none"  # what the network began with: a package of weights, "imagenet", or random numbers
    lineage: str = ""  # of weights that were mixed of several runs: which, and their shares
    train_seconds: float = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)

    @property
    def malignant_indices(self) -> tuple[int, ...]:
        """Positions of the malignant classes in `classes`."""
        return tuple(self.classes.index(name) for name in self.malignant)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Uncalibrated probabilities of one part: labels int64 [n], probabilities float32 [n, classes]."""

    labels: IntArray
    probabilities: FloatArray


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Reads and writes a run's files."""

    path: Path

    def save(self, record: RunRecord, split: Split) -> None:
        """Writes the record and the split."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "run.json").write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        split.save(self.path / "split.json")

    def save_leakage(self, report: LeakageReport) -> None:
        """Writes `leakage.json`."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "leakage.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")

    def leakage_lines(self) -> list[str]:
        """The leakage report for people; empty for a run without one."""
        path = self.path / "leakage.json"
        return LeakageReport.from_json(path.read_text(encoding="utf-8")).lines() if path.is_file() else []

    def record(self) -> RunRecord:
        """The record.

        Raises:
            InvalidRequestError: the folder holds no run.
        """
        path = self._existing("run.json", "the folder of a run", "train one first")
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        raw["classes"], raw["malignant"] = tuple(raw["classes"]), tuple(raw["malignant"])
        return RunRecord(**raw)

    def split(self) -> Split:
        """The split.

        Raises:
            InvalidRequestError: the folder holds no run.
        """
        return Split.load(self._existing("split.json", "the folder of a run", "train one first"))

    def save_predictions(self, parts: dict[str, Predictions]) -> None:
        """Writes `predictions.npz`."""
        arrays: dict[str, Any] = {}
        for part, found in parts.items():
            arrays |= {f"{part}_labels": found.labels, f"{part}_probabilities": found.probabilities}
        np.savez_compressed(self.path / "predictions.npz", **arrays)

    def predictions(self, part: str) -> Predictions:
        """What `save_predictions` wrote of one part.

        Raises:
            InvalidRequestError: the folder holds no run, or one that has not come to its end.
        """
        with np.load(self._existing("predictions.npz", "a run that came to its end", "go on with --resume")) as arrays:
            return Predictions(arrays[f"{part}_labels"], arrays[f"{part}_probabilities"])

    def save_samples(self, parts: dict[str, list[Sample]]) -> None:
        """Writes `samples.json`."""
        rows = {part: [asdict(sample) for sample in samples] for part, samples in parts.items()}
        (self.path / "samples.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n", encoding="utf-8")

    def parts(self) -> tuple[str, ...]:
        """The names under which predictions and samples were kept."""
        return tuple(json.loads((self.path / "samples.json").read_text(encoding="utf-8")))

    def samples(self, part: str) -> list[Sample]:
        """The samples of one part, in the order of its predictions."""
        rows = json.loads((self.path / "samples.json").read_text(encoding="utf-8"))[part]
        return [Sample(**row) for row in rows]

    def _existing(self, name: str, expected: str, remedy: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise InvalidRequestError(f"{self.path}: expected {expected}, found no {name}; {remedy}")
        return path

    @property
    def model_path(self) -> Path:
        """Where the trained model lies."""
        return self.path / "model.keras"

    @property
    def backup_path(self) -> Path:
        """Where an interrupted run's state lies."""
        return self.path / "backup"


def git_commit() -> str:
    """The commit of the working tree, "" outside a repository; a `+` marks changes not committed."""
    git = shutil.which("git")
    if git is None:
        return ""
    here = Path(__file__).parent
    head = subprocess.run([git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    changed = subprocess.run([git, "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Versions that can change a result. A machine with an accelerator may have JAX instead of TensorFlow."""
    found = {"python": platform.python_version()}
    for name in ("tensorflow", "jax", "keras", "numpy", "pillow"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
