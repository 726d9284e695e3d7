"""The part of training that needs Keras: set up, compile, fit, predict.

With TensorFlow, experiments without mixing or teachers are fed by `tf.data`. All others, and every other backend of Keras, take
`training.trainee`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.errors import InvalidRequestError
from training.architectures.registry import build
from training.architectures.transfer import thaw
from training.datasets.base import BoolArray, FloatArray, IntArray, UInt8Array
from training.experiments.base import Experiment, Plateau
from training.feeding import HeldOutBatches, TrainingBatches, answers_of
from training.losses import SourceAccuracy, SourceCrossentropy, SourceRecall
from training.normalisation import collect_statistics
from training.scaling import fit_tilt
from training.targets import oversampled, strata_of, targets_of
from training.trainee import Trainee


@dataclass(frozen=True, slots=True)
class Arrays:
    """One part of a split: pixels uint8 [n, h, w, 3], labels int64 [n].

    `labelled`, bool [n, classes], is there where the pictures come from several sources: the classes that each source labels.
    """

    pixels: UInt8Array
    labels: IntArray
    labelled: BoolArray | None = None
    metadata: FloatArray | None = None  # float [n, columns], for nets that take it
    wide: UInt8Array | None = None  # the same pictures at the teachers' size, uint8 [n, h', w', 3]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to run an experiment on this machine."""

    epochs: int
    seed: int
    threads: int
    resume: bool = False
    mixed_precision: bool = False
    xla: bool = False
    teachers: tuple[Any, ...] = ()  # models, for experiments that are taught


def with_tensorflow() -> bool:
    """Whether Keras computes with TensorFlow here; the environment variable KERAS_BACKEND names another."""
    return bool(keras.backend.backend() == "tensorflow")


def set_threads(threads: int) -> None:
    """Sets how many threads an operation uses. TensorFlow refuses it after the first operation of a process.

    Other backends choose for themselves.
    """
    if not with_tensorflow():
        return
    tf = import_module("tensorflow")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # Two at least: gradients of weights and of activations do not wait for one another. On a busy machine one thread an
    # operation is faster than two, which wait for each other at the end of each.
    tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))


def build_model(experiment: Experiment, classes: int, fitting: Fitting) -> Any:
    """Sets threads, seeds and precision, and builds the experiment's model."""
    set_threads(fitting.threads)
    keras.utils.set_random_seed(fitting.seed)
    # bfloat16 keeps float32's range, so that no loss scaling is needed, and newer CPUs multiply it as well as GPUs do.
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if fitting.mixed_precision else "float32")
    return build(experiment.architecture, experiment.height, experiment.width, classes, **experiment.options)


def give_back_shares(model: Any, labels: IntArray, exponent: float) -> None:
    """Tilts the model's answers towards the larger classes: p becomes proportional to p · share ** exponent.

    Balanced drawing teaches a model that classes are more alike in size than they are; a bias on the logits undoes as much of
    that as is wanted, without training again (Saerens et al. 2002; Menon et al. 2021, logit adjustment after training).

    Args:
        model: ends in a dense softmax layer named `probabilities`.
        labels: int64 [n], of the training part: their shares.
        exponent: `balance` for all of it, 0 for nothing.
    """
    layer = model.get_layer("probabilities")
    kernel, bias = layer.get_weights()
    counts = np.maximum(np.bincount(labels, minlength=len(bias)), 1)
    layer.set_weights([kernel, bias + exponent * np.log(counts / counts.sum())])


def in_precision(model: Any, experiment: Experiment, classes: int, *, mixed: bool) -> Any:
    """The same weights in a model that computes in float32, or mostly in bfloat16.

    What is evaluated and exported is of float32: it must not depend on where bfloat16 is fast.
    """
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed else "float32")
    options = {name: "none" if name == "weights" else value for name, value in experiment.options.items()}
    twin = build(experiment.architecture, experiment.height, experiment.width, classes, **options)
    twin.set_weights(model.get_weights())  # variables are float32 under either policy
    return twin


def round_weights(model: Any) -> None:
    """Rounds the weights of convolutions and dense layers to what float16 can hold; biases and statistics stay as they are."""
    for weight in model.weights:
        if weight.name == "kernel":
            weight.assign(np.asarray(weight).astype(np.float16).astype(np.float32))


def fit_prior(labels: IntArray, held_out: IntArray, probabilities: FloatArray) -> float:
    """The exponent of `give_back_shares` that validation asks for, when a temperature is fitted at the same time.

    Args:
        labels: int64 [n], of the training part.
        held_out: int64 [m], labels of the validation part.
        probabilities: float [m, classes], what the model answers for them.
    """
    counts = np.maximum(np.bincount(labels, minlength=probabilities.shape[1]), 1)
    return fit_tilt(held_out, probabilities, np.log(counts / counts.sum()))[1]


def fit(
    model: Any, experiment: Experiment, parts: Mapping[str, Arrays], *, fitting: Fitting, backup: Path
) -> dict[str, list[float]]:
    """Trains the model in place, both phases where there are two, and returns its history: metric name → one value per epoch.

    Args:
        model: of `build_model`.
        experiment: the recipe.
        parts: at least `train` and `validation`.
        fitting: how to run it here.
        backup: folder for the state of an interrupted run.

    Raises:
        InvalidRequestError: the experiment averages weights and would bring the best epoch's own weights back.
    """
    if experiment.ema_momentum and experiment.best_by:
        raise InvalidRequestError(
            f"{experiment.id}: expected averaged weights (ema_momentum) or the best epoch's weights (best_by), got both; "
            "restoring an epoch would throw the average away"
        )
    history = _fit_phase(model, experiment, parts, fitting, rate=experiment.learning_rate, epochs=fitting.epochs, backup=backup)
    tuning = experiment.fine_tuning
    if tuning is not None:
        thaw(model, tuning.layers)
        epochs = min(tuning.epochs, fitting.epochs)
        second = backup.with_name(f"{backup.name}-fine-tuning")
        more = _fit_phase(model, experiment, parts, fitting, rate=tuning.learning_rate, epochs=epochs, backup=second)
        history = {name: values + more.get(name, []) for name, values in history.items()}
    return history


def predict(model: Any, pixels: UInt8Array, metadata: FloatArray | None = None) -> FloatArray:
    """Uncalibrated probabilities, float32 [n, classes], of pixels uint8 [n, h, w, 3] and, where the net takes it, metadata."""
    if not with_tensorflow():
        return answers_of(model, pixels)
    probabilities: FloatArray = model.predict(_pipeline().evaluation_batches(pixels, metadata=metadata), verbose=0)
    return probabilities


def _pipeline() -> Any:
    return import_module("training.pipeline")  # imports TensorFlow


def _fit_phase(
    model: Any,
    experiment: Experiment,
    parts: Mapping[str, Arrays],
    fitting: Fitting,
    *,
    rate: float,
    epochs: int,
    backup: Path,
) -> dict[str, list[float]]:
    course = (_by_trainee if needs_trainee(experiment, fitting) else _by_tf_data)(model, experiment, parts, fitting)
    course.model.compile(
        _optimizer(experiment, rate, epochs * course.steps),
        course.loss,
        metrics=course.metrics,
        jit_compile=fitting.xla if with_tensorflow() else "auto",
    )
    epochs_file = _EpochsFile(backup.with_name(f"{backup.name}.jsonl"))
    extra = [keras.callbacks.BackupAndRestore(str(backup)), epochs_file] if fitting.resume else []
    history = course.model.fit(
        course.batches,
        epochs=epochs,
        steps_per_epoch=course.steps,
        validation_data=course.validation,
        class_weight=inverse_shares(parts["train"].labels, model.output_shape[-1]) if experiment.class_weights else None,
        callbacks=[*_callbacks(experiment, epochs), *extra],
        shuffle=False,  # the pipeline has shuffled already
        verbose=2,
    )
    if experiment.statistics_batches:
        collect_statistics(course.model, course.batches, experiment.statistics_batches)
    if fitting.resume:
        return epochs_file.take()
    return {name: [float(value) for value in values] for name, values in history.history.items()}


@dataclass(frozen=True, slots=True)
class _Course:
    """What `fit` of Keras takes: a model, its batches, the steps of an epoch, validation, and what `compile` is told."""

    model: Any
    batches: Any
    steps: int
    validation: Any
    loss: Any = None
    metrics: Any = None


def _by_tf_data(model: Any, experiment: Experiment, parts: Mapping[str, Arrays], fitting: Fitting) -> _Course:
    classes, train, validation = model.output_shape[-1], parts["train"], parts["validation"]
    pipeline, several = _pipeline(), train.labelled is not None
    batches, steps = pipeline.training_batches(
        train.pixels,
        train.labels,
        classes=classes,
        batch_size=experiment.batch_size,
        seed=fitting.seed,
        balance=experiment.balance,
        oversample=experiment.oversample,
        augmentation=experiment.augmentation,
        metadata=train.metadata,
        labelled=train.labelled,
    )
    wanted = targets_of(validation.labels, classes, validation.labelled)
    return _Course(
        model,
        batches,
        steps,
        pipeline.validation_batches(validation.pixels, wanted, validation.metadata),
        SourceCrossentropy(experiment.label_smoothing) if several else _loss(experiment),
        [SourceAccuracy(), SourceRecall(name="recall")] if several else ["accuracy", keras.metrics.Recall(name="recall")],
    )


def needs_trainee(experiment: Experiment, fitting: Fitting) -> bool:
    """Whether a run goes through `training.trainee` instead of `tf.data`.

    Raises:
        InvalidRequestError: it would, but needs what only `tf.data` gives; or its teachers are not there, or for nothing.
    """
    if bool(experiment.teaching) != bool(fitting.teachers):
        teachers = "runs of teachers (--teachers)" if experiment.teaching else "no teachers"
        raise InvalidRequestError(f"{experiment.id}: expected {teachers}, got {len(fitting.teachers)} of them")
    if with_tensorflow() and not experiment.mixing and not experiment.teaching:
        return False
    if experiment.metadata or experiment.class_weights or experiment.loss != "cross_entropy":
        raise InvalidRequestError(
            f"{experiment.id}: expected a net of pictures alone, with cross-entropy and no class weights, to be trained with "
            f"mixing, teachers or the Keras backend {keras.backend.backend()!r}; train it with TensorFlow"
        )
    return True


def _by_trainee(model: Any, experiment: Experiment, parts: Mapping[str, Arrays], fitting: Fitting) -> _Course:
    """Loss and metrics are the trainee's own."""
    classes, train, validation = model.output_shape[-1], parts["train"], parts["validation"]
    chosen = oversampled(train.labels, fitting.seed) if experiment.oversample else slice(None)
    batches = TrainingBatches(
        train.pixels[chosen],
        targets_of(train.labels, classes, train.labelled)[chosen],
        strata_of(train.labels, train.labelled)[chosen],
        batch_size=experiment.batch_size,
        seed=fitting.seed,
        balance=experiment.balance,
        mixing=experiment.mixing,
        wide=None if train.wide is None else train.wide[chosen],
    )
    wanted = targets_of(validation.labels, classes, validation.labelled)
    trainee = Trainee(model, experiment, fitting.teachers)
    return _Course(trainee, batches, len(batches), HeldOutBatches(validation.pixels, wanted))


class _EpochsFile(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps each epoch's figures on disk, so that the history of a resumed run is whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        figures = {name: float(value) for name, value in (logs or {}).items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, "figures": figures}) + "\n")

    def take(self) -> dict[str, list[float]]:
        """The history, an epoch that ran twice counted once; the file is removed."""
        rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        self.path.unlink()
        figures = {row["epoch"]: row["figures"] for row in rows}
        names = list(figures[max(figures)])
        return {name: [figures[epoch][name] for epoch in sorted(figures)] for name in names}


def inverse_shares(labels: IntArray, classes: int) -> dict[int, float]:
    """Weights that make every class count alike, with a mean of 1 over the images; 1 for a class without images."""
    counts = np.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return {i: float(len(labels) / (present * count)) if count else 1.0 for i, count in enumerate(counts)}


def _loss(experiment: Experiment) -> Any:
    if experiment.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(label_smoothing=experiment.label_smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=experiment.label_smoothing)


def _optimizer(experiment: Experiment, peak: float, steps: int) -> Any:
    rate: Any = peak
    if experiment.schedule == "cosine":
        warm_up = min(max(1, steps // 20), steps - 1)
        rate = _cosine(peak, warm_up, steps - warm_up)
    averaging = {"use_ema": True, "ema_momentum": experiment.ema_momentum} if experiment.ema_momentum else {}
    if experiment.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=experiment.momentum, **averaging)
    if experiment.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=experiment.weight_decay, **averaging)
    return keras.optimizers.Adam(rate, **averaging)


def _cosine(peak: float, warm_up: int, decay: int) -> Any:
    """Up to `peak` in `warm_up` steps and down to 0 in `decay`, one at least; a run of one step has no warm-up."""
    if not warm_up:
        return keras.optimizers.schedules.CosineDecay(peak, decay)
    return keras.optimizers.schedules.CosineDecay(0.0, decay, warmup_target=peak, warmup_steps=warm_up)


def _callbacks(experiment: Experiment, epochs: int) -> list[Any]:
    callbacks: list[Any] = [keras.callbacks.TerminateOnNaN()]
    if experiment.ema_momentum:  # validation sees the averaged weights, which are those that stay
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=False))
    if experiment.plateau:
        callbacks += _plateau(experiment.plateau)
    if experiment.best_by:  # with this patience it never stops, it only brings the best epoch's weights back
        callbacks.append(keras.callbacks.EarlyStopping(experiment.best_by, patience=epochs, restore_best_weights=True))
    return callbacks


def _plateau(plateau: Plateau) -> list[Any]:
    reduce = keras.callbacks.ReduceLROnPlateau(
        plateau.metric, factor=plateau.factor, patience=plateau.reduce_after, min_lr=plateau.smallest_rate
    )
    stop = [keras.callbacks.EarlyStopping(plateau.metric, patience=plateau.stop_after)] if plateau.stop_after else []
    return [reduce, *stop]
