"""How good a run is on its test part, as JSON and as an HTML report.

    python -m training.evaluate data/runs/starter-grouped [--tta] [--report]

Temperature and thresholds come from validation; where a published protocol validated on the test part, figures are uncalibrated
and no operating point is chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DermqError
from core.evaluation import metrics
from core.evaluation.bootstrap import intervals
from core.evaluation.figures import describe, to_json
from training.answers import add_json_option
from training.calibrate import UNCALIBRATED, Calibration, calibrate
from training.datasets.base import FloatArray, IntArray
from training.runs import Predictions, RunFolder
from training.scaling import apply_temperature
from training.screening import questions, scored, screening_figures
from training.served import TOLERANCE, compare_served
from training.sourcefigures import other_sources


def evaluate_run(run: RunFolder, predictions: dict[str, Predictions] | None = None, *, rounds: int = 1000) -> dict[str, Any]:
    """All figures of a run's test part, ready for JSON.

    Args:
        run: a finished run.
        predictions: of validation and test, uncalibrated; by default those of the run.
        rounds: bootstrap resamples; 0 leaves the intervals out.
    """
    found = predictions or {part: run.predictions(part) for part in ("validation", "test")}
    if run.split().validates_on_test:
        return evaluate(run, found["test"], UNCALIBRATED, rounds=rounds)
    calibration = calibrate(found["validation"], run.record().malignant_indices)
    return evaluate(run, found["test"], calibration, validation=found["validation"], rounds=rounds)


def evaluate(
    run: RunFolder, test: Predictions, calibration: Calibration, *, validation: Predictions | None = None, rounds: int
) -> dict[str, Any]:
    """All figures of these test predictions, uncalibrated as they come, under this calibration.

    Args:
        run: a finished run.
        test: predictions of the test part.
        calibration: the temperature and the thresholds of the risk.
        validation: predictions of the validation part, for the screening thresholds; None where it is the test part.
        rounds: bootstrap resamples; 0 leaves the intervals out.
    """
    record, samples = run.record(), run.samples("test")
    labels, malignant = test.labels, record.malignant_indices
    probabilities = apply_temperature(test.probabilities, calibration.temperature)
    attributes = [sample.attributes for sample in samples]
    figures: dict[str, Any] = {
        "experiment": record.experiment,
        "split": record.split,
        "part": "test",
        "images": len(labels),
        "temperature": calibration.temperature,
        "ece_uncalibrated": metrics.expected_calibration_error(labels, test.probabilities),
        **describe(labels, probabilities, record.classes, malignant, thresholds=calibration.thresholds, attributes=attributes),
    }
    figures["screening"] = _screening(run, test, calibration, validation, rounds)
    sources = other_sources(run, calibration, rounds=rounds)
    if sources:
        figures["sources"] = sources
    if rounds:
        figures["interval_95"] = _intervals(labels, probabilities, [sample.group for sample in samples], malignant, rounds)
    return figures


def _screening(
    run: RunFolder, test: Predictions, calibration: Calibration, validation: Predictions | None, rounds: int
) -> dict[str, Any]:
    """`screening_figures` of each question that the classes allow."""
    record, parts = run.record(), {"test": test} | ({"validation": validation} if validation else {})
    found = {}
    for question, positive in questions(record.classes, record.malignant_indices).items():
        under = {
            part: scored(
                held.labels,
                apply_temperature(held.probabilities, calibration.temperature),
                [sample.group for sample in run.samples(part)],
                positive,
            )
            for part, held in parts.items()
        }
        found[question] = screening_figures(under["test"], under.get("validation"), rounds=rounds)
    return {question: figures for question, figures in found.items() if figures}


def _intervals(
    labels: IntArray, probabilities: FloatArray, groups: list[str], malignant: tuple[int, ...], rounds: int
) -> dict[str, tuple[float, float]]:
    figures = {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_auc": metrics.macro_auc,
        "malignant_auc": lambda y, p: metrics.auc(np.isin(y, malignant), metrics.risk(p, malignant)),
        "ece": metrics.expected_calibration_error,
        "log_loss": metrics.negative_log_likelihood,
    }
    return intervals(labels, probabilities, groups, figures, rounds=rounds)


def main(arguments: list[str] | None = None, prog: str = "python -m training.evaluate") -> int:
    """`python -m training.evaluate RUN`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--data", type=Path, default=None, help="the data set, for --tta and for pictures in the report")
    parser.add_argument("--tta", action="store_true", help="average over mirror images and quarter turns")
    parser.add_argument("--report", action="store_true", help="write report.html too")
    parser.add_argument(
        "--results", type=Path, default=None, help="a job's exported rows to hold against the run's predictions"
    )
    add_json_option(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    run, name = RunFolder(chosen.run), "evaluation-tta" if chosen.tta else "evaluation"
    try:
        if chosen.results is not None:
            return _show_served(run, chosen.results)
        predictions = import_module("training.views").predict_run(run, chosen.data) if chosen.tta else None
        figures = evaluate_run(run, predictions)
        (run.path / f"{name}.json").write_text(to_json(figures), encoding="utf-8")
        if chosen.report:
            html = import_module("training.report").render_report(
                run, figures, test=(predictions or {}).get("test"), data=chosen.data
            )
            (run.path / "report.html").write_text(html, encoding="utf-8")
    except DermqError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(to_json({"headline": figures["headline"], "interval_95": figures["interval_95"]}))
    return 0


def _show_served(run: RunFolder, results: Path) -> int:
    served = compare_served(run, results)
    print(json.dumps(asdict(served) | {"tolerance": TOLERANCE, "agrees": served.agrees}, indent=1))
    return 0 if served.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
