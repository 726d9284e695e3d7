"""Trains an experiment: data → split → batches → model → a run's folder.

python -m training.train starter --data ../shared/data/ham10000 --split grouped
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DermqError, InvalidRequestError
from core.imaging import preprocessing_hash
from training.architectures import registry as architectures
from training.cache import load_pixels
from training.datasets.base import Dataset, FloatArray, UInt8Array
from training.datasets.ham10000 import load_ham10000
from training.experiments.base import Experiment
from training.experiments.registry import EXPERIMENTS, find_experiment
from training.pipeline import evaluation_batches, training_batches
from training.runs import DEFAULT_ROOT, Predictions, RunFolder, RunRecord, git_commit, versions
from training.splits import Split, split_grouped

DEFAULT_DATA = Path("../shared/data/ham10000")
SPLIT_SEED = 7


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can change of an experiment."""

    data: Path = DEFAULT_DATA
    out: Path | None = None
    epochs: int | None = None
    seed: int = 1
    threads: int = 2
    resume: bool = False


def train(experiment: Experiment, options: Options) -> RunFolder:
    """Runs one experiment and returns its folder.

    Raises:
        InvalidRequestError: the data are not as expected.
    """
    dataset = load_ham10000(options.data)
    split = split_grouped(dataset, seed=SPLIT_SEED)
    folder = RunFolder(options.out or DEFAULT_ROOT / f"{experiment.id}-{split.kind}")
    pixels = load_pixels(dataset, height=experiment.height, width=experiment.width)
    _prepare_tensorflow(options)
    model = architectures.build(
        experiment.architecture, experiment.height, experiment.width, len(dataset.classes), **experiment.options
    )
    record = _record(experiment, dataset, split, options, parameters=model.count_params())
    folder.save(record, split)
    started = time.perf_counter()
    record.history = _fit(model, experiment, dataset, split, pixels, options, folder)
    record.train_seconds = round(time.perf_counter() - started, 1)
    model.save(folder.model_path)
    folder.save_predictions({part: predict_part(model, dataset, split, part, pixels) for part in ("validation", "test")})
    folder.save(record, split)
    return folder


def predict_part(model: Any, dataset: Dataset, split: Split, part: str, pixels: UInt8Array) -> Predictions:
    """The model's uncalibrated probabilities of one part of a split."""
    positions = dataset.positions(split.part(part))
    probabilities: FloatArray = model.predict(evaluation_batches(pixels[positions]), verbose=0)
    return Predictions(dataset.label_indices()[positions], probabilities)


def _prepare_tensorflow(options: Options) -> None:
    import keras
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise InvalidRequestError("training expects TensorFlow in eager mode")
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(options.seed)


def _record(experiment: Experiment, dataset: Dataset, split: Split, options: Options, parameters: int) -> RunRecord:
    return RunRecord(
        experiment=experiment.id,
        dataset=dataset.title,
        licence=dataset.licence,
        classes=dataset.classes,
        malignant=dataset.malignant,
        height=experiment.height,
        width=experiment.width,
        resize="stretch",
        preprocessing_hash=preprocessing_hash(experiment.height, experiment.width, "stretch"),
        seed=options.seed,
        split=split.title,
        epochs=options.epochs or experiment.epochs,
        parameters=parameters,
        git_commit=git_commit(),
        versions=versions(),
    )


def _fit(
    model: Any, experiment: Experiment, dataset: Dataset, split: Split, pixels: UInt8Array, options: Options, folder: RunFolder
) -> dict[str, list[float]]:
    import keras

    labels, classes = dataset.label_indices(), len(dataset.classes)
    positions = dataset.positions(split.train)
    batches, steps = training_batches(
        pixels[positions],
        labels[positions],
        classes=classes,
        batch_size=experiment.batch_size,
        seed=options.seed,
        balance=experiment.balance,
        augmentation=experiment.augmentation,
    )
    epochs = options.epochs or experiment.epochs
    _compile(model, experiment, epochs * steps)
    held_out = dataset.positions(split.validation)
    history = model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=(pixels[held_out].astype(np.float32), np.eye(classes, dtype=np.float32)[labels[held_out]]),
        callbacks=[keras.callbacks.BackupAndRestore(str(folder.backup_path))] if options.resume else [],
        verbose=2,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _compile(model: Any, experiment: Experiment, steps: int) -> None:
    import keras

    rate: Any = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = max(1, steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, alpha=0.0, warmup_target=experiment.learning_rate, warmup_steps=warm_up
        )
    averaging = {"use_ema": True, "ema_momentum": experiment.ema_momentum} if experiment.ema_momentum else {}
    optimizer = (
        keras.optimizers.AdamW(rate, weight_decay=experiment.weight_decay, **averaging)
        if experiment.weight_decay
        else keras.optimizers.Adam(rate, **averaging)
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=experiment.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)  # XLA's convolutions are slower on a CPU


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.train EXPERIMENT …`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    chosen = vars(parser.parse_args(arguments))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        folder = train(find_experiment(chosen.pop("experiment")), Options(**chosen))
    except DermqError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    print(f"run: {folder.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
