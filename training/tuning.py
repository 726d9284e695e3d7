"""A small search for an experiment's settings, by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

Each trial trains the experiment with other settings and is judged by the log-loss of the validation part, after a temperature
is fitted there, so that label smoothing is not punished for its own sake. The test part is not predicted. Every trial is on
disk once it has ended: the same command goes on where an interrupted search stopped, and a larger number adds trials.

`tuning.jsonl` in the run's folder is Optuna's journal, `tuning.json` the trials in the order of their log-loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from core.errors import InvalidRequestError
from training.experiments.base import Experiment

JOURNAL, RESULT = "tuning.jsonl", "tuning.json"
Settings = dict[str, Any]
Judge = Callable[[Experiment], float]


def search(experiment: Experiment, judge: Judge, folder: Path, *, trials: int, seed: int) -> list[Settings]:
    """Goes on until the folder holds this many finished trials; returns them, the best first.

    Args:
        experiment: the recipe to change.
        judge: trains a recipe and returns its validation log-loss.
        folder: keeps the journal.
        trials: how many in all.
        seed: of the draws.

    Returns:
        For each trial its `number`, `log_loss` and `settings`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    known = len(_finished(_study(experiment, storage, seed)))
    # A sampler does not remember what it drew before an interruption: with the same seed it would draw the same again.
    study = _study(experiment, storage, seed + known)
    for _ in range(known, trials):
        study.optimize(lambda trial: judge(changed(experiment, trial)), n_trials=1)
        last = _finished(study)[-1]
        print(f"trial {len(_finished(study))} of {trials}: log-loss {last.value:.4f} with {last.params}", flush=True)
    rows = sorted(_finished(study), key=lambda trial: (trial.value, trial.number))
    found = [{"number": row.number, "log_loss": round(row.value, 6), "settings": row.params} for row in rows]
    text = json.dumps({"experiment": experiment.id, "part": "validation", "trials": found}, indent=1)
    (folder / RESULT).write_text(text + "\n", encoding="utf-8")
    return found


def changed(experiment: Experiment, trial: Any) -> Experiment:
    """The recipe with the settings that a trial draws: rate, batches, smoothing, and how alike the classes are drawn."""
    rate = experiment.learning_rate
    settings: Settings = {
        "learning_rate": trial.suggest_float("learning_rate", rate / 10, rate * 10, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [experiment.batch_size // 2 or 1, experiment.batch_size]),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
    }
    if experiment.weight_decay:
        decay = experiment.weight_decay
        settings["weight_decay"] = trial.suggest_float("weight_decay", decay / 10, decay * 10, log=True)
    if not experiment.oversample and not experiment.class_weights:
        settings["balance"] = trial.suggest_float("balance", 0.0, 0.8)
    return replace(experiment, **settings)


def judge_by_validation(fitting: Any, how: Any, parts: Any, classes: int, folder: Path) -> Judge:
    """A judge that trains on `parts["train"]` and measures the calibrated log-loss of `parts["validation"]`.

    Args:
        fitting: the module `training.fitting`.
        how: a `Fitting`.
        parts: `Arrays` by part; others than these two are not looked at.
        classes: how many.
        folder: for the state of a trial.
    """
    keras = import_module("keras")
    scaling = import_module("training.scaling")
    metrics = import_module("core.evaluation.metrics")

    def judge(experiment: Experiment) -> float:
        keras.backend.clear_session()
        model = fitting.build_model(experiment, classes, how)
        fitting.fit(model, experiment, parts, fitting=how, backup=folder / "backup")
        held_out = parts["validation"]
        probabilities = fitting.predict(model, held_out.pixels, held_out.metadata)
        calibrated = scaling.apply_temperature(probabilities, scaling.fit_temperature(held_out.labels, probabilities))
        return float(metrics.negative_log_likelihood(held_out.labels, calibrated))

    return judge


def show(found: list[Settings]) -> str:
    """The trials as a table, the best first, and what to do with it."""
    names = list(dict.fromkeys(name for row in found for name in row["settings"]))
    lines = ["  ".join([f"{'trial':>5}", f"{'log-loss':>8}", *(f"{name:>15}" for name in names)])]
    for row in found:
        values = (f"{row['settings'].get(name, float('nan')):>15.5g}" for name in names)
        lines.append("  ".join([f"{row['number']:>5}", f"{row['log_loss']:>8.4f}", *values]))
    best = ", ".join(f"{name}={value!r}" for name, value in found[0]["settings"].items())
    return "\n".join([*lines, f"best on validation: {best}", "to keep it, write these settings into the experiment's file"])


def refuse_watched(experiment: Experiment, watched: bool) -> None:
    """Raises where validation is the test part.

    Raises:
        InvalidRequestError: settings would be chosen on the images that are counted in the end.
    """
    if watched:
        raise InvalidRequestError(
            f"{experiment.id}: its published protocol validates on the test part, so nothing is held out to choose "
            "settings by; use --split grouped"
        )


def _study(experiment: Experiment, storage: JournalStorage, seed: int) -> Any:
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(storage=storage, study_name=experiment.id, sampler=sampler, load_if_exists=True)


def _finished(study: Any) -> list[Any]:
    trials: list[Any] = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return trials
