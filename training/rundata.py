"""The images of a finished run, found again where they were or where one says they are now."""

from __future__ import annotations

from pathlib import Path

from core.errors import InvalidRequestError
from training.cache import load_pixels
from training.datasets.base import Dataset, UInt8Array
from training.datasets.registry import load_dataset
from training.experiments.registry import find_experiment
from training.runs import RunFolder


def load_run_images(run: RunFolder, data: Path | None = None) -> tuple[Dataset, UInt8Array]:
    """The data set of a run and its pixels, uint8 [n, h, w, 3], at the run's size.

    Args:
        run: a finished run.
        data: where the data set is; by default where it was.

    Raises:
        InvalidRequestError: it is not there, or it is another one.
    """
    record = run.record()
    where = data or (Path(record.data) if record.data else None)
    dataset = load_dataset(find_experiment(record.experiment).dataset, where)
    missing = set(run.split().test) - {sample.id for sample in dataset.samples}
    if missing:
        raise InvalidRequestError(
            f"{where or dataset.title}: expected the images of {run.path}, {len(missing)} of its test part are not there "
            f"(first: {min(missing)}); pass the data set with --data"
        )
    return dataset, load_pixels(dataset, height=record.height, width=record.width)
