"""Between a run and the one that it began with: weights that do well at home and do not forget other sources.

    python -m training.interpolate data/runs/starter-lite-128-grouped data/runs/starter-lite-grouped

A network that is trained further fits its first source more closely and loses on others. The weights on the line between the
two networks often keep both (WiSE-FT: Wortsman et al. 2022, arXiv 2109.01903). The share is chosen by the likelihood of the
validation parts of all sources; the test parts choose nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DermqError, InvalidRequestError
from core.evaluation.metrics import negative_log_likelihood
from training.datasets.base import Dataset, FloatArray, UInt8Array
from training.experiments.registry import find_experiment
from training.heldout import finish, save_held_out
from training.rundata import load_run_images
from training.runs import Predictions, RunFolder
from training.scaling import apply_temperature, fit_temperature
from training.splits import Split, by_source, held_out_name
from training.train import part_of

SHARES = (1.0, 0.75, 0.5, 0.25)  # of the later run's weights


def interpolate(run: RunFolder, earlier: RunFolder, out: RunFolder, *, data: Path | None = None) -> dict[float, float]:
    """Writes a run with the best weights on the line, and returns the likelihoods that chose them.

    Args:
        run: a finished run, of an experiment whose prior correction is fitted or none.
        earlier: the run that it began with; of the same network, at whatever size of pictures.
        out: where the new run goes.
        data: the data set; by default where it was.

    Returns:
        For each of SHARES the negative log-likelihood of all validation pictures, calibrated on those of the first source.

    Raises:
        InvalidRequestError: the folders hold no runs, or runs of different networks or splits.
    """
    split, experiment = run.split(), find_experiment(run.record().experiment)
    if earlier.split() != split:
        raise InvalidRequestError(f"{earlier.path}: expected the split of {run.path}, got another: it saw other pictures")
    dataset, pixels = load_run_images(run, data)
    fitting = import_module("training.fitting")
    model, later, first = _load(run, earlier)
    parts = {name: part_of(fitting, dataset, split.part(name), pixels) for name in ("train", "validation")}
    predict = partial(fitting.predict, model)

    def take(share: float) -> None:
        model.set_weights(mix(later, first, share))
        finish(fitting, model, experiment, parts)

    found = {}
    for share in SHARES:
        take(share)
        found[share] = likelihood(_answers(predict, dataset, split, pixels))
        print(f"{share:g} of the later weights: {found[share]:.4f}", flush=True)
    best = min(found, key=lambda share: found[share])
    take(best)
    lineage = f"{best:g} of the weights of {experiment.id} and {1 - best:g} of those of {earlier.record().experiment}"
    out.save(replace(run.record(), lineage=lineage), split)
    model.save(out.model_path)
    save_held_out(predict, out, dataset, split, pixels)
    return found


def _load(run: RunFolder, earlier: RunFolder) -> tuple[Any, list[FloatArray], list[FloatArray]]:
    """The later run's model, its weights, and those of the earlier run."""
    keras = import_module("keras")
    model, first = (keras.models.load_model(each.model_path, compile=False) for each in (run, earlier))
    ends = model.get_weights(), first.get_weights()
    if [each.shape for each in ends[0]] != [each.shape for each in ends[1]]:
        raise InvalidRequestError(f"{earlier.path}: expected the network of {run.path}, got one with other weights")
    return model, *ends


def _answers(predict: Callable[..., FloatArray], dataset: Dataset, split: Split, pixels: UInt8Array) -> dict[str, Predictions]:
    """Of the validation part, each source apart."""
    sources = by_source(dataset, split.validation).items()
    rows = {held_out_name("validation", source, dataset): dataset.positions(ids) for source, ids in sources}
    return {name: Predictions(dataset.label_indices()[found], predict(pixels[found])) for name, found in rows.items()}


def mix(later: Sequence[FloatArray], earlier: Sequence[FloatArray], share: float) -> list[FloatArray]:
    """`share` of the later weights and the rest of the earlier ones, array by array."""
    return [share * first + (1 - share) * second for first, second in zip(later, earlier, strict=True)]


def likelihood(answers: Mapping[str, Predictions]) -> float:
    """Negative log-likelihood of all parts together, under the temperature that the plain validation part asks for."""
    temperature = fit_temperature(answers["validation"].labels, answers["validation"].probabilities)
    labels = np.concatenate([part.labels for part in answers.values()])
    probabilities = np.concatenate([part.probabilities for part in answers.values()])
    return float(negative_log_likelihood(labels, apply_temperature(probabilities, temperature)))


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.interpolate RUN EARLIER`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m training.interpolate", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the later run")
    parser.add_argument("earlier", type=Path, help="folder of the run that it began with")
    parser.add_argument("--out", type=Path, default=None, help="folder of the new run; by default RUN-interpolated")
    parser.add_argument("--data", type=Path, default=None, help="the data set; by default where it was")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    out = RunFolder(chosen.out or chosen.run.with_name(f"{chosen.run.name}-interpolated"))
    try:
        interpolate(RunFolder(chosen.run), RunFolder(chosen.earlier), out, data=chosen.data)
    except DermqError as error:
        print(f"interpolate: {error}", file=sys.stderr)
        return 2
    print(f"run: {out.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
