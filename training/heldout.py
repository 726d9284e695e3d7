"""The end of a run: shares of classes given back, weights rounded for export, and the predictions of what was held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from training.datasets.base import Dataset, FloatArray, IntArray, UInt8Array
from training.experiments.base import Experiment
from training.metadata import MetadataEncoder
from training.runs import Predictions, RunFolder
from training.splits import Split, by_source, held_out_name

Predict = Callable[..., FloatArray]


def finish(fitting: Any, model: Any, experiment: Experiment, parts: Mapping[str, Any]) -> None:
    """Gives shares of classes back and rounds weights, as the experiment asks.

    Args:
        fitting: the module `training.fitting`.
        model: trained; changed in place.
        experiment: the recipe.
        parts: `fitting.Arrays` of at least `train` and `validation`.
    """
    if experiment.prior_correction:
        _correct_prior(fitting, model, experiment, parts)
    if experiment.half_precision:  # before anything is measured: the figures are then those of what is exported
        fitting.round_weights(model)


def _correct_prior(fitting: Any, model: Any, experiment: Experiment, parts: Mapping[str, Any]) -> None:
    """A set part of the shares, or as much as the validation pictures of the first source ask for."""
    train, held_out = (_of_every_class(parts[name]) for name in ("train", "validation"))
    if experiment.prior_correction == "fitted":
        answers = fitting.predict(model, held_out.pixels)
        exponent = fitting.fit_prior(train.labels, held_out.labels, answers)
        print(f"prior: exponent {exponent:.3f} of the classes' shares, fitted on validation", flush=True)
    else:
        exponent = experiment.balance * float(experiment.prior_correction)
    fitting.give_back_shares(model, train.labels, exponent)


def _of_every_class(part: Any) -> Any:
    """Those pictures of a part whose source labels every class: shares of classes exist only there."""
    if part.labelled is None:
        return part
    whole = part.labelled.all(axis=1)
    return replace(part, pixels=part.pixels[whole], labels=part.labels[whole], labelled=part.labelled[whole])


def save_held_out(
    predict: Predict,
    folder: RunFolder,
    dataset: Dataset,
    split: Split,
    pixels: UInt8Array,
    *,
    encoder: MetadataEncoder | None = None,
) -> None:
    """Predictions and samples of validation and test; of several sources each apart, the first under the plain names.

    Args:
        predict: of pixels, uint8 [n, h, w, 3], gives probabilities, float32 [n, classes].
        folder: the run's.
        dataset: all of it.
        split: of the data set.
        pixels: uint8 [n, h, w, 3], of all samples.
        encoder: of the metadata, for a net that takes them as a second argument.
    """
    ids = {
        held_out_name(part, source, dataset): chosen
        for part in ("validation", "test")
        for source, chosen in by_source(dataset, split.part(part)).items()
    }
    where = {name: dataset.positions(chosen) for name, chosen in ids.items()}
    labels = dataset.label_indices()

    def answers(positions: IntArray) -> FloatArray:
        if encoder is None:
            return predict(pixels[positions])
        return predict(pixels[positions], encoder.encode([dataset.samples[i] for i in positions]))

    folder.save_predictions({name: Predictions(labels[found], answers(found)) for name, found in where.items()})
    folder.save_samples({name: [dataset.samples[i] for i in found] for name, found in where.items()})
