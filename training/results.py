"""The committed record of what each experiment gave: two files a run in `training/results/`, the table of all, and their plots.

python -m training.results keep data/runs/lstm-published     # evaluate; write lstm-published.json and lstm-published.csv.gz
python -m training.results check lstm-published              # work the figures out again from the predictions kept
python -m training.results table                             # Markdown, for docs/models/published.md
python -m training.results plots                             # docs/models/plots.md and its SVG files
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import DermqError, InvalidRequestError
from core.evaluation.figures import to_json
from training.evaluate import evaluate_run
from training.experiments.registry import find_experiment
from training.predictions import read_predictions, write_predictions
from training.resulttable import FOLDER, table
from training.runs import RunFolder, RunRecord
from training.splits import Split

_DECIMALS = 4
_KEPT = ("images", "headline", "interval_95", "macro", "top", "operating_points")


def keep(run: RunFolder, folder: Path = FOLDER) -> Path:
    """Writes a run's result file and its predictions, named as the run's folder, and returns the result file's path.

    Raises:
        InvalidRequestError: the folder holds no run.
    """
    record, figures, split = run.record(), evaluate_run(run), run.split()
    experiment = find_experiment(record.experiment)
    history = record.history
    watched = history.get("val_accuracy", [])
    result = {
        "experiment": record.experiment,
        "split": split.kind,
        "protocol": record.split,
        "dataset": record.dataset,
        "licence": record.licence,
        "classes": record.classes,
        "malignant": record.malignant,
        "height": record.height,
        "width": record.width,
        "parameters": record.parameters,
        "epochs": len(history.get("loss", [])),
        "weights_of": f"the best epoch by {experiment.best_by}" if experiment.best_by else "the last epoch",
        "seed": record.seed,
        "git_commit": record.git_commit,
        "versions": record.versions,
        "minutes": round(record.train_seconds / 60, 1),
        "published_accuracy": _published_accuracy(record, split),
        "train_accuracy_last_epoch": _last(history.get("accuracy", [])),
        "validation_accuracy_last_epoch": _last(watched),
        "validation_accuracy_best_epoch": max(watched, default=None),
        "validates_on_test": split.validates_on_test,
        "test": _kept(figures),
        "recall": {name: found["recall"] for name, found in figures["classes"].items()},
        "leakage": run.leakage_lines(),
        "history": history,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.path.name}.json"
    path.write_text(_on_one_line(to_json(_rounded(result))), encoding="utf-8")
    write_predictions(run, predictions_path(path))
    return path


def predictions_path(result: Path) -> Path:
    """Where the predictions of a result file lie."""
    return result.with_suffix(".csv.gz")


def check(name: str, folder: Path = FOLDER) -> list[str]:
    """Works a result's figures out again from the predictions beside it, and names those that differ.

    Raises:
        InvalidRequestError: no such result, or one that was kept without its predictions.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise InvalidRequestError(f"{path}: expected a result file, there is none; `table` shows those there are")
    result = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        run = restore(result, predictions_path(path), Path(temporary))
        again = json.loads(to_json(_rounded(_kept(evaluate_run(run)))))
    return _differing(result["test"], again)


def restore(result: dict[str, Any], predictions: Path, folder: Path) -> RunFolder:
    """A run's folder as far as an evaluation needs it, from what was kept: without age, sex and site."""
    experiment, classes = find_experiment(result["experiment"]), tuple(result.get("classes", ()))
    parts = read_predictions(predictions, classes)
    test = parts["test"]
    run, held_out = RunFolder(folder), parts.get("validation", test)
    names = {part: tuple(sample.id for sample in found[1]) for part, found in (("test", test), ("validation", held_out))}
    record = RunRecord(
        experiment=experiment.id,
        architecture=experiment.architecture,
        dataset=result["dataset"],
        licence=result["licence"],
        classes=classes,
        malignant=tuple(result["malignant"]),
        height=result.get("height", experiment.height),
        width=result.get("width", experiment.width),
        resize="stretch",
        preprocessing_hash="",
        seed=result["seed"],
        split=result["protocol"],
        epochs=result["epochs"],
        parameters=result["parameters"],
        git_commit=result["git_commit"],
        versions=result["versions"],
        history=result["history"],
    )
    run.save(record, Split(result["split"], 0, result["dataset"], (), names["validation"], names["test"]))
    every = parts | {"validation": held_out}
    run.save_predictions({part: found[0] for part, found in every.items()})
    run.save_samples({part: found[1] for part, found in every.items()})
    return run


def _kept(figures: dict[str, Any]) -> dict[str, Any]:
    screening = {
        question: {name: value for name, value in found.items() if name != "decision_curve"}
        for question, found in figures["screening"].items()
    }
    sources = {"sources": figures["sources"]} if "sources" in figures else {}
    return {name: figures[name] for name in _KEPT} | {"screening": screening} | sources


def _published_accuracy(record: RunRecord, split: Split) -> float | None:
    published = find_experiment(record.experiment).published
    return published.accuracy if published and split.kind.startswith("published") else None


def _differing(kept: Any, again: Any, where: str = "test") -> list[str]:
    """The names of the figures that are not equal; every figure of both sides is looked at."""
    if isinstance(kept, dict) and isinstance(again, dict):
        names = dict.fromkeys([*kept, *again])
        return [each for name in names for each in _differing(kept.get(name), again.get(name), f"{where}.{name}")]
    return [] if kept == again else [f"{where}: kept {kept}, again {again}"]


def _last(values: list[float]) -> float | None:
    return values[-1] if values else None


def _on_one_line(text: str) -> str:
    """JSON with each list of numbers on a line of its own."""
    return re.sub(r"\[([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.results keep RUN | check NAME | table | plots`.

    Returns:
        0, 1 where a figure of `check` differs, or 2 for a request that cannot be carried out.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("table", help="print the table of all results")
    verbs.add_parser("plots", help="draw the plots of all results")
    verbs.add_parser("keep", help="write the result files of a run").add_argument("run", type=Path)
    verbs.add_parser("check", help="work a result's figures out again").add_argument("name", help="of the result file")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verb == "check":
            differing = check(chosen.name)
            print("\n".join(differing) or f"{chosen.name}: all figures as kept")
            return 1 if differing else 0
        if chosen.verb == "plots":
            import_module("training.resultplots").write_plots()
        print(f"kept: {keep(RunFolder(chosen.run)).name}" if chosen.verb == "keep" else table())
    except DermqError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
