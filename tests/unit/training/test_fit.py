"""Training's own parts: the loss of several sources, the prior that is given back, rounding, and runs of a single step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.errors import InvalidRequestError
from core.evaluation.metrics import negative_log_likelihood
from training.architectures.registry import build
from training.experiments.base import Experiment
from training.experiments.registry import find_experiment
from training.fitting import Arrays, Fitting, fit, fit_prior, give_back_shares, predict, round_weights
from training.losses import SourceAccuracy, SourceCrossentropy, SourceRecall
from training.targets import targets_of

LABELS = np.array([0, 1, 2, 1])
ALL = np.ones((4, 3), np.bool_)
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_with_every_class_labelled_the_loss_is_plain_cross_entropy(smoothing: float) -> None:
    targets = targets_of(LABELS, 3, ALL)
    plain = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(targets, PROBABILITIES)
    np.testing.assert_allclose(SourceCrossentropy(smoothing)(targets, PROBABILITIES), plain, rtol=1e-5)


def test_a_class_that_nobody_looked_for_is_left_out_of_loss_and_accuracy() -> None:
    targets = targets_of(np.array([1]), 3, np.array([[False, True, True]]))
    assert targets.tolist() == [[-1.0, 1.0, 0.0]]
    answers = np.array([[0.6, 0.3, 0.1]], np.float32)
    assert float(SourceCrossentropy()(targets, answers)) == pytest.approx(-np.log(0.75), rel=1e-5)
    other = np.array([[0.2, 0.6, 0.2]], np.float32)  # the same odds of the two that count
    assert float(SourceCrossentropy(0.1)(targets, other)) == pytest.approx(
        float(SourceCrossentropy(0.1)(targets, np.array([[0.6, 0.3, 0.1]], np.float32))), rel=1e-5
    )
    accuracy = SourceAccuracy()
    accuracy.update_state(targets, answers)
    assert float(accuracy.result()) == 1.0
    recall = SourceRecall()
    recall.update_state(targets, answers)
    recall.update_state(targets, other)
    assert float(recall.result()) == 0.5


def test_the_prior_fitted_on_validation_is_the_one_that_made_the_labels() -> None:
    generator, shares = np.random.default_rng(1), np.array([0.7, 0.2, 0.1])
    train = generator.choice(3, 5000, p=shares)
    likely = generator.dirichlet(np.ones(3), 20_000)
    posterior = likely * shares**0.35
    posterior /= posterior.sum(axis=1, keepdims=True)
    labels = (posterior.cumsum(axis=1) > generator.random((len(posterior), 1))).argmax(axis=1)
    assert fit_prior(train, labels, likely) == pytest.approx(0.35, abs=0.04)


def small(experiment: str = "starter", **changes: object) -> Experiment:
    options = {"widths": (4, 8), "blocks": (1, 1)}
    return replace(find_experiment(experiment), height=16, width=16, batch_size=8, options=options, **changes)  # type: ignore[arg-type]


def built(experiment: Experiment) -> Any:
    """Without `build_model`, which sets the threads of a process that trains."""
    return build(experiment.architecture, experiment.height, experiment.width, 3, **experiment.options)


def parts(count: int) -> dict[str, Arrays]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    return {name: Arrays(pixels, np.arange(count) % 3) for name in ("train", "validation")}


def test_a_run_of_one_step_comes_to_its_end(tmp_path: Path) -> None:
    how = Fitting(epochs=1, seed=1, threads=1)
    experiment = small()
    model = built(experiment)
    history = fit(model, experiment, parts(8), fitting=how, backup=tmp_path / "backup")
    assert len(history["loss"]) == 1
    assert np.isfinite(history["loss"][0])
    assert predict(model, parts(8)["train"].pixels).shape == (8, 3)


def test_averaged_weights_and_the_best_epochs_weights_exclude_each_other(tmp_path: Path) -> None:
    how = Fitting(epochs=1, seed=1, threads=1)
    experiment = small(best_by="val_loss")
    assert experiment.ema_momentum
    with pytest.raises(InvalidRequestError, match=r"averaged weights \(ema_momentum\) or the best epoch's weights \(best_by\)"):
        fit(built(experiment), experiment, parts(8), fitting=how, backup=tmp_path / "backup")


def test_shares_given_back_tilt_the_answers_and_rounding_changes_little() -> None:
    model = built(small())
    pixels, labels = parts(8)["train"].pixels, np.array([0] * 6 + [1] * 2 + [2] * 2)
    before = predict(model, pixels).astype(np.float64)
    give_back_shares(model, labels, 0.5)
    tilted = before * np.array([0.6, 0.2, 0.2]) ** 0.5
    np.testing.assert_allclose(predict(model, pixels), tilted / tilted.sum(axis=1, keepdims=True), rtol=1e-4)
    round_weights(model)
    kernels = [np.asarray(weight) for weight in model.weights if weight.name == "kernel"]
    assert all(np.array_equal(kernel, kernel.astype(np.float16).astype(np.float32)) for kernel in kernels)
    answers = predict(model, pixels)
    np.testing.assert_allclose(answers, tilted / tilted.sum(axis=1, keepdims=True), atol=5e-3)
    assert negative_log_likelihood(np.arange(8) % 3, answers) > 0
