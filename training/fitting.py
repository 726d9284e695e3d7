"""The part of training that needs TensorFlow: set up, compile, fit, predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.architectures.registry import build
from training.datasets.base import FloatArray, IntArray, UInt8Array
from training.experiments.base import Experiment
from training.pipeline import evaluation_batches, training_batches


@dataclass(frozen=True, slots=True)
class Arrays:
    """One part of a split: pixels uint8 [n, h, w, 3], labels int64 [n]."""

    pixels: UInt8Array
    labels: IntArray


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to run an experiment on this machine."""

    epochs: int
    seed: int
    threads: int
    resume: bool = False
    mixed_precision: bool = False
    xla: bool = False


def build_model(experiment: Experiment, classes: int, fitting: Fitting) -> Any:
    """Sets threads, seeds and precision, and builds the experiment's model. The first call in a process."""
    tf.config.threading.set_intra_op_parallelism_threads(fitting.threads)
    tf.config.threading.set_inter_op_parallelism_threads(fitting.threads)
    keras.utils.set_random_seed(fitting.seed)
    keras.mixed_precision.set_global_policy("mixed_float16" if fitting.mixed_precision else "float32")
    return build(experiment.architecture, experiment.height, experiment.width, classes, **experiment.options)


def fit(
    model: Any, experiment: Experiment, parts: Mapping[str, Arrays], *, fitting: Fitting, backup: Path
) -> dict[str, list[float]]:
    """Trains the model in place and returns its history, metric name → one value per epoch.

    Args:
        model: of `build_model`.
        experiment: the recipe.
        parts: at least `train` and `validation`.
        fitting: how to run it here.
        backup: folder for the state of an interrupted run.
    """
    classes, train = model.output_shape[-1], parts["train"]
    batches, steps = training_batches(
        train.pixels,
        train.labels,
        classes=classes,
        batch_size=experiment.batch_size,
        seed=fitting.seed,
        balance=experiment.balance,
        augmentation=experiment.augmentation,
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=experiment.label_smoothing)
    model.compile(_optimizer(experiment, fitting.epochs * steps), loss, metrics=["accuracy"], jit_compile=fitting.xla)
    history = model.fit(
        batches,
        epochs=fitting.epochs,
        steps_per_epoch=steps,
        validation_data=_validation_batches(parts["validation"], classes),
        callbacks=[keras.callbacks.BackupAndRestore(str(backup))] if fitting.resume else [],
        shuffle=False,  # the pipeline has shuffled already
        verbose=2,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def predict(model: Any, pixels: UInt8Array) -> FloatArray:
    """Uncalibrated probabilities, float32 [n, classes]."""
    probabilities: FloatArray = model.predict(evaluation_batches(pixels), verbose=0)
    return probabilities


def _validation_batches(part: Arrays, classes: int) -> Any:
    targets = tf.data.Dataset.from_tensor_slices(np.eye(classes, dtype=np.float32)[part.labels]).batch(128)
    return tf.data.Dataset.zip(evaluation_batches(part.pixels, 128), targets)


def _optimizer(experiment: Experiment, steps: int) -> Any:
    rate: Any = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = max(1, steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, alpha=0.0, warmup_target=experiment.learning_rate, warmup_steps=warm_up
        )
    averaging = {"use_ema": True, "ema_momentum": experiment.ema_momentum} if experiment.ema_momentum else {}
    if experiment.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=experiment.weight_decay, **averaging)
    return keras.optimizers.Adam(rate, **averaging)
