"""The search for settings: within bounds, by validation, on disk after each trial, and resumed without drawing again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InvalidRequestError
from training.experiments.base import Experiment
from training.experiments.registry import find_experiment
from training.tuning import JOURNAL, RESULT, refuse_watched, search, show


def log_loss(experiment: Experiment) -> float:
    """Best at a rate of 2e-3 and little smoothing."""
    return 0.5 + abs(experiment.learning_rate - 2e-3) * 100 + experiment.label_smoothing


def test_trials_stay_within_bounds_and_the_best_comes_first(tmp_path: Path) -> None:
    starter, seen = find_experiment("starter"), []

    def judge(experiment: Experiment) -> float:
        seen.append(experiment)
        return log_loss(experiment)

    found = search(starter, judge, tmp_path, trials=8, seed=1)
    assert [row["log_loss"] for row in found] == sorted(row["log_loss"] for row in found)
    assert len(seen) == 8
    for each in seen:
        assert starter.learning_rate / 10 <= each.learning_rate <= starter.learning_rate * 10
        assert each.batch_size in (32, 64)
        assert 0 <= each.label_smoothing <= 0.2
        assert 0 <= each.balance <= 0.8
        assert each.epochs == starter.epochs
    kept = json.loads((tmp_path / RESULT).read_text(encoding="utf-8"))
    assert kept["part"] == "validation"
    assert kept["trials"][0] == found[0]
    assert f"learning_rate={found[0]['settings']['learning_rate']!r}" in show(found)


def test_an_interrupted_search_goes_on_with_new_draws(tmp_path: Path) -> None:
    starter, rates = find_experiment("starter"), []

    def judge(experiment: Experiment) -> float:
        rates.append(experiment.learning_rate)
        if len(rates) == 3:
            raise KeyboardInterrupt
        return log_loss(experiment)

    with pytest.raises(KeyboardInterrupt):
        search(starter, judge, tmp_path, trials=4, seed=1)
    assert (tmp_path / JOURNAL).is_file()
    found = search(starter, judge, tmp_path, trials=4, seed=1)
    assert len(found) == 4
    assert len(rates) == 5  # the interrupted one does not count, the two before it are not run again
    assert len(set(rates)) == 5
    assert search(starter, judge, tmp_path, trials=4, seed=1) == found
    assert len(rates) == 5


def test_what_an_experiment_does_without_is_not_searched(tmp_path: Path) -> None:
    found = search(find_experiment("cnn28-oversampled"), log_loss, tmp_path, trials=1, seed=1)
    assert set(found[0]["settings"]) == {"learning_rate", "batch_size", "label_smoothing"}


def test_a_watched_test_part_is_refused() -> None:
    refuse_watched(find_experiment("lstm"), False)
    with pytest.raises(InvalidRequestError, match="--split grouped"):
        refuse_watched(find_experiment("lstm"), True)
