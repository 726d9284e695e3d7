"""The result files of `training/results/`, read: the table of published figures, and how long each experiment took."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from training.experiments.base import Experiment
from training.experiments.registry import EXPERIMENTS

FOLDER = Path(__file__).parent / "results"
KINDS = ("published", "grouped")
_HEAD = (
    "experiment",
    "published",
    "here, published protocol",
    "log-loss: published",
    "here",
    "here, grouped: accuracy",
    "balanced accuracy",
    "macro AUC",
    "ECE",
    "log-loss",
)


def results(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The result files by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def table(folder: Path = FOLDER) -> str:
    """Markdown: for each experiment with a published figure what was published, and what both splits gave here."""
    found = results(folder)
    lines = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    for experiment in EXPERIMENTS.values():
        known = experiment.published
        random, grouped = (_seeds(found, experiment.id, kind) for kind in KINDS)
        if known and (random or grouped):
            figure = f"{100 * known.accuracy:.2f} %" if known.accuracy else known.note
            watched = _accuracy(random) + _best_of(experiment, random)
            cells = (
                f"`{experiment.id}`{_size(experiment, random + grouped)}",
                figure,
                watched,
                known.loss,
                _loss(random),
                _accuracy(grouped),
                *_rest(grouped),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measured_minutes(experiment: str, folder: Path = FOLDER) -> float | None:
    """The longest that a kept run of all epochs took on two CPU cores or fewer; None where none was kept."""
    took = [float(result["minutes"]) for result in results(folder).values() if result["experiment"] == experiment]
    return max(took, default=None)


def _seeds(found: dict[str, dict[str, Any]], experiment: str, kind: str) -> list[dict[str, Any]]:
    """The runs of one experiment and split, one a seed, in the order of their accuracy."""
    names = re.compile(re.escape(f"{experiment}-{kind}") + r"(-seed\d+)?")
    runs = [result for name, result in found.items() if names.fullmatch(name)]
    return sorted(runs, key=lambda result: float(result["test"]["headline"]["accuracy"]))


def _size(experiment: Experiment, runs: list[dict[str, Any]]) -> str:
    """Says so where a run was made on pictures of another size than the experiment's."""
    own = experiment.height, experiment.width
    sizes = {(run.get("height", own[0]), run.get("width", own[1])) for run in runs} - {own}
    return "".join(f", {height}x{width}" for height, width in sorted(sizes))


def _accuracy(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "not run"
    if len(runs) > 1:  # the spread of seeds is wider than that of the test images, so it is what is reported
        each = ", ".join(f"{100 * run['test']['headline']['accuracy']:.2f}" for run in runs)
        return f"{each} % ({len(runs)} seeds)"
    test = runs[0]["test"]
    low, high = (100 * bound for bound in test["interval_95"]["accuracy"])
    return f"{100 * test['headline']['accuracy']:.2f} % ({low:.1f} to {high:.1f})"


def _best_of(experiment: Experiment, runs: list[dict[str, Any]]) -> str:
    """Says so where the epoch was chosen on the very images that are counted, with the last epoch's figure beside it."""
    if not (experiment.best_by and len(runs) == 1 and runs[0].get("validates_on_test")):
        return ""
    last = 100 * runs[0]["validation_accuracy_last_epoch"]
    return f", the best of {runs[0]['epochs']} epochs on this watched part; the last epoch: {last:.2f} %"


def _loss(runs: list[dict[str, Any]]) -> str:
    """Of the run whose accuracy is in the middle; results kept before the log-loss was measured have none."""
    figure = _middle(runs)["test"]["headline"].get("log_loss") if runs else None
    return f"{figure:.4f}" if figure is not None else "not kept" if runs else ""


def _rest(runs: list[dict[str, Any]]) -> tuple[str, str, str, str]:
    """The other figures, of the run whose accuracy is in the middle."""
    if not runs:
        return "", "", "", ""
    head = _middle(runs)["test"]["headline"]
    return f"{100 * head['balanced_accuracy']:.1f} %", f"{head['macro_auc']:.3f}", f"{head['ece']:.3f}", _loss(runs)


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of two the lower."""
    return runs[(len(runs) - 1) // 2]
