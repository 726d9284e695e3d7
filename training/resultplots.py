"""The plots of the results: training curves where the history was kept, ROC and decision curves where the predictions were."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from training import plots
from training.evaluate import evaluate_run
from training.results import predictions_path, restore
from training.resulttable import FOLDER, results
from training.runs import RunFolder
from training.scaling import apply_temperature
from training.screening import questions, scored

PAGE = Path(__file__).parents[1] / "docs" / "models" / "plots.md"
STUDY = {"plain": "overfit-plain-grouped", "augmentation and dropout": "overfit-regularised-grouped"}
_STUDY = """\
## Over-fitting

One net twice, on the same images with the same rate: plain, and with augmentation and dropout. The plain net learns its
training images by heart, while its validation loss rises.

![Over-fitting: plain, and with augmentation and dropout](plots/over-fitting.svg)

| run | last epoch: training loss | validation loss | training accuracy | validation accuracy | lowest validation loss |
|---|---|---|---|---|---|
"""
_HEAD = """\
# Plots of the kept runs

Drawn from `training/results/` by `python -m training.results plots`: training curves where a run's history was kept, ROC and
decision curves of the test part where its predictions were. [How to read them](training.md#how-to-read-the-figures)."""


def write_plots(page: Path = PAGE, folder: Path = FOLDER) -> list[Path]:
    """Writes the page and, in the folder `plots` beside it, one SVG a plot; returns these."""
    beside, parts, written = page.parent / "plots", [_HEAD], []
    beside.mkdir(parents=True, exist_ok=True)
    kept = results(folder)
    if set(STUDY.values()) <= set(kept):
        histories = {title: kept[name]["history"] for title, name in STUDY.items()}
        written.append(beside / "over-fitting.svg")
        written[-1].write_text(plots.side_by_side(histories), encoding="utf-8")
        parts.append(_STUDY + "\n".join(_last_epoch(title, history) for title, history in histories.items()))
    for path in sorted(folder.glob("*.json")):
        drawn = _draw(json.loads(path.read_text(encoding="utf-8")), predictions_path(path))
        for kind, svg in drawn.items():
            written.append(beside / f"{path.stem}-{kind}.svg")
            written[-1].write_text(svg, encoding="utf-8")
        if drawn:
            pictures = [f"![{path.stem}: {kind}](plots/{path.stem}-{kind}.svg)" for kind in drawn]
            parts.append("\n\n".join([f"## {path.stem}", *pictures]))
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return written


def _last_epoch(title: str, history: dict[str, list[float]]) -> str:
    cells = [f"{history[name][-1]:.3f}" for name in ("loss", "val_loss", "accuracy", "val_accuracy")]
    losses = history["val_loss"]
    lowest = min(range(len(losses)), key=losses.__getitem__)
    return f"| {title} | {' | '.join(cells)} | {losses[lowest]:.3f} in epoch {lowest + 1} |"


def _draw(result: dict[str, Any], predictions: Path) -> dict[str, str]:
    drawn = {}
    if result.get("history"):
        drawn["training"] = plots.training_curves(result["history"])
    if predictions.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            svg = _screening(restore(result, predictions, Path(temporary)))
        drawn |= {"screening": svg} if svg else {}
    return drawn


def _screening(run: RunFolder) -> str:
    evaluation, record, test = evaluate_run(run, rounds=0), run.record(), run.predictions("test")
    asked = questions(record.classes, record.malignant_indices)
    probabilities = apply_temperature(test.probabilities, evaluation["temperature"])
    figures = evaluation["screening"]
    under = {question: scored(test.labels, probabilities, (), asked[question]) for question in figures}
    return plots.screening(under, figures) if figures else ""
