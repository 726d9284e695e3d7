"""Holds what the service answered against what the evaluation measured: the rows of a job, exported, and a run's predictions.

dermq screen ../shared/data/ham10000/ham10000_200x150.zip --model starter --out results.jsonl
dermq evaluate data/runs/starter-grouped --results results.jsonl
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.errors import InvalidRequestError
from training.calibrate import calibrate_run
from training.runs import RunFolder
from training.scaling import apply_temperature

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Served:
    """How far a job's rows are from the run's calibrated predictions of its test part."""

    images: int  # of the test part
    missing: int  # of them without probabilities in the rows
    largest_difference: float  # of any probability

    @property
    def agrees(self) -> bool:
        """Whether every image of the test part has a row, and no probability is further off than 1e-5."""
        return self.missing == 0 and self.largest_difference <= TOLERANCE


def compare_served(run: RunFolder, results: Path) -> Served:
    """Compares a job's exported rows with a run, image by image.

    Args:
        run: a run that was calibrated on its validation part.
        results: an export in CSV or JSON lines; images that are not in the run's test part are passed over.

    Raises:
        InvalidRequestError: the folder holds no such run, or the file no rows with these classes' probabilities.
    """
    record, held_out = run.record(), run.predictions("test")
    expected = apply_temperature(held_out.probabilities, calibrate_run(run).temperature)
    columns = [f"p_{name}" for name in record.classes]
    answers: dict[str, list[float]] = {}
    for row in _rows(results):
        name = PurePosixPath(str(row.get("name")))
        probabilities = [float(row[column]) for column in columns if row.get(column) not in (None, "")]
        if len(probabilities) == len(columns):
            answers[str(name)] = answers[name.stem] = probabilities
    if not answers:
        raise InvalidRequestError(f"{results}: expected rows with the columns name and {', '.join(columns)}, found none")
    found = [answers.get(sample.id) for sample in run.samples("test")]
    differences = [
        np.abs(np.array(answer) - wanted).max() for answer, wanted in zip(found, expected, strict=True) if answer is not None
    ]
    return Served(len(found), len(found) - len(differences), float(max(differences, default=0.0)))


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        raise InvalidRequestError(f"{path}: expected an exported results file, there is none")
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            yield from csv.DictReader(stream)
            return
        try:
            yield from (json.loads(line) for line in stream)
        except json.JSONDecodeError as error:
            raise InvalidRequestError(f"{path}: expected CSV (*.csv) or one JSON object a line, got {error}") from error
