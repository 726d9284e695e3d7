"""The committed record of what each experiment gave: a small JSON file a run in `training/results/`, and the table of all.

python -m training.results keep data/runs/lstm-published     # evaluate and write training/results/lstm-published.json
python -m training.results table                             # Markdown, for docs/models/published.md
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from core.errors import DermqError
from training.evaluate import evaluate_run, to_json
from training.experiments.registry import EXPERIMENTS, find_experiment
from training.runs import RunFolder

FOLDER = Path(__file__).parent / "results"
KINDS = ("published", "grouped")
_DECIMALS = 4
_KEPT = ("images", "headline", "interval_95", "macro", "top", "operating_points")


def keep(run: RunFolder, folder: Path = FOLDER) -> Path:
    """Writes a run's result file, named as the run's folder, and returns its path.

    Raises:
        InvalidRequestError: the folder holds no run.
    """
    record, figures, split = run.record(), evaluate_run(run), run.split()
    published = find_experiment(record.experiment).published
    best = record.history.get("val_accuracy", [])
    result = {
        "experiment": record.experiment,
        "split": split.kind,
        "protocol": record.split,
        "dataset": record.dataset,
        "parameters": record.parameters,
        "epochs": len(record.history.get("loss", [])),
        "seed": record.seed,
        "git_commit": record.git_commit,
        "versions": record.versions,
        "minutes": round(record.train_seconds / 60, 1),
        "published_accuracy": published.accuracy if published and split.kind.startswith("published") else None,
        "train_accuracy_last_epoch": _last(record.history.get("accuracy", [])),
        "validation_accuracy_last_epoch": _last(best),
        "validation_accuracy_best_epoch": max(best, default=None),
        "validates_on_test": split.validates_on_test,
        "test": {name: figures[name] for name in _KEPT},
        "recall": {name: found["recall"] for name, found in figures["classes"].items()},
        "leakage": run.leakage_lines(),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.path.name}.json"
    path.write_text(to_json(_rounded(result)), encoding="utf-8")
    return path


def table(folder: Path = FOLDER) -> str:
    """Markdown: for each experiment with a published figure what was published, and what both splits gave here."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    lines = [
        "| experiment | published | here, published protocol | here, grouped: accuracy | balanced accuracy | macro AUC | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for experiment in EXPERIMENTS.values():
        known = experiment.published
        random, grouped = (_seeds(found, experiment.id, kind) for kind in KINDS)
        if known and (random or grouped):
            figure = f"{100 * known.accuracy:.2f} %" if known.accuracy else known.note
            cells = (f"`{experiment.id}`", figure, _accuracy(random), _accuracy(grouped), _rest(grouped))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _seeds(found: dict[str, dict[str, Any]], experiment: str, kind: str) -> list[dict[str, Any]]:
    """The runs of one experiment and split, one a seed, in the order of their accuracy."""
    names = re.compile(re.escape(f"{experiment}-{kind}") + r"(-seed\d+)?")
    runs = [result for name, result in found.items() if names.fullmatch(name)]
    return sorted(runs, key=lambda result: float(result["test"]["headline"]["accuracy"]))


def _accuracy(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "not run"
    if len(runs) > 1:  # the spread of seeds is wider than that of the test images, so it is what is reported
        each = ", ".join(f"{100 * run['test']['headline']['accuracy']:.2f}" for run in runs)
        return f"{each} % ({len(runs)} seeds)"
    test = runs[0]["test"]
    low, high = (100 * bound for bound in test["interval_95"]["accuracy"])
    return f"{100 * test['headline']['accuracy']:.2f} % ({low:.1f} to {high:.1f})"


def _rest(runs: list[dict[str, Any]]) -> str:
    """The other figures, of the run whose accuracy is in the middle (of two the lower)."""
    if not runs:
        return " | | "
    head = runs[(len(runs) - 1) // 2]["test"]["headline"]
    return f"{100 * head['balanced_accuracy']:.1f} % | {head['macro_auc']:.3f} | {head['ece']:.3f}"


def _last(values: list[float]) -> float | None:
    return values[-1] if values else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.results keep RUN | table`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m training.results", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("table", help="print the table of all results")
    verbs.add_parser("keep", help="write the result file of a run").add_argument("run", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        print(table() if chosen.verb == "table" else f"kept: {keep(RunFolder(chosen.run)).name}")
    except DermqError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
