"""The experiments by id."""

from __future__ import annotations

from core.errors import InvalidRequestError
from training.experiments import (
    cnn28_norm,
    cnn28_oversampled,
    cnn75,
    cnn75_lstm,
    fused,
    isic9_cnn,
    isic9_transfer,
    lstm,
    overfitting,
    starter,
    starter_distilled,
    starter_lite,
    starter_lite_128,
    starter_lite_mixed,
    starter_teacher,
    transfer,
)
from training.experiments.base import Experiment

_SINGLE = (
    starter,
    starter_lite,
    starter_lite_128,
    starter_lite_mixed,
    starter_teacher,
    starter_distilled,
    lstm,
    cnn28_norm,
    cnn28_oversampled,
    cnn75,
    cnn75_lstm,
    isic9_cnn,
    isic9_transfer,
    fused,
)
EXPERIMENTS: dict[str, Experiment] = {
    experiment.id: experiment
    for experiment in (*(module.EXPERIMENT for module in _SINGLE), *overfitting.EXPERIMENTS, *transfer.EXPERIMENTS)
}


def find_experiment(experiment_id: str) -> Experiment:
    """The experiment of this id.

    Raises:
        InvalidRequestError: there is none.
    """
    if experiment_id not in EXPERIMENTS:
        raise InvalidRequestError(f"experiment {experiment_id!r}: expected one of {sorted(EXPERIMENTS)}")
    return EXPERIMENTS[experiment_id]
