"""The experiments by id."""

from __future__ import annotations

from core.errors import InvalidRequestError
from training.experiments import starter
from training.experiments.base import Experiment

EXPERIMENTS: dict[str, Experiment] = {module.EXPERIMENT.id: module.EXPERIMENT for module in (starter,)}


def find_experiment(experiment_id: str) -> Experiment:
    """The experiment of this id.

    Raises:
        InvalidRequestError: there is none.
    """
    if experiment_id not in EXPERIMENTS:
        raise InvalidRequestError(f"experiment {experiment_id!r}: expected one of {sorted(EXPERIMENTS)}")
    return EXPERIMENTS[experiment_id]
