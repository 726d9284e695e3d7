"""Every prediction of a run's validation and test part, as compressed CSV: enough to work out all of its figures again.

Columns: `part` (PART-SOURCE for a further source), `id`, `group` (lesion), `label`, `p_<class>` for each class, uncalibrated.
Probabilities are written so that the same float32 is read. The same run gives the same bytes: the gzip header holds neither
time nor name (RFC 1952).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import InvalidRequestError
from training.datasets.base import Sample
from training.runs import Predictions, RunFolder

COLUMNS = ("part", "id", "group", "label")


def write_predictions(run: RunFolder, path: Path) -> None:
    """Writes a run's predictions, of further sources too; of the test part alone where the run validated on it."""
    classes = run.record().classes
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*COLUMNS, *(f"p_{name}" for name in classes)])
    plain = ("test",) if run.split().validates_on_test else ("validation", "test")
    for part in (*plain, *(part for part in run.parts() if part not in {"validation", "test"})):
        found = run.predictions(part)
        for sample, label, values in zip(run.samples(part), found.labels, found.probabilities.astype(np.float32), strict=True):
            rows.writerow([part, sample.id, sample.group, classes[label], *map(str, values)])
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.getvalue().encode())


def read_predictions(path: Path, classes: Sequence[str]) -> dict[str, tuple[Predictions, list[Sample]]]:
    """What `write_predictions` wrote: part → predictions (float64 of the float32 written) and samples without attributes.

    Raises:
        InvalidRequestError: no such file, or other columns.
    """
    expected = [*COLUMNS, *(f"p_{name}" for name in classes)]
    if not path.is_file():
        raise InvalidRequestError(f"{path}: expected the predictions of a run, there are none; keep the run again")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if (columns := next(reader, [])) != expected:
            raise InvalidRequestError(f"{path}: expected the columns {expected}, got {columns}")
        rows = list(reader)
    found = {}
    for part in sorted({row[0] for row in rows}):
        own = [row for row in rows if row[0] == part]
        labels = np.array([list(classes).index(row[3]) for row in own], np.int64)
        probabilities = np.array([row[4:] for row in own], np.float32).astype(np.float64)
        samples = [Sample(id=row[1], label=row[3], group=row[2]) for row in own]
        found[part] = Predictions(labels, probabilities), samples
    return found
