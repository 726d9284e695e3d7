"""A network in training, with what happens to its pictures on the way: augmentation, mixing and teachers, all on its device.

Runs on every backend of Keras. On an accelerator (KERAS_BACKEND=jax) only bytes of pictures travel to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from training.augment import augment, draw_from
from training.experiments.base import Experiment
from training.losses import SourceAccuracy, SourceCrossentropy, SourceRecall
from training.mixing import mix


class Trainee(keras.Model):  # type: ignore[misc]
    """Trains `model` in place, from batches of `training.feeding.TrainingBatches`.

    With teachers the loss is a part of cross-entropy with the labels and a part of cross-entropy with the mean of the teachers'
    answers for the same views of the pictures (Hinton et al. 2015; Beyer et al. 2022 for "the same views").

    Args:
        model: float32 [b, h, w, 3] in 0…255 → probabilities float32 [b, classes].
        experiment: its augmentation, label smoothing and `teaching`, the teachers' part of the loss.
        teachers: models of one size of pictures and the same classes; they do not learn.
    """

    def __init__(self, model: Any, experiment: Experiment, teachers: Sequence[Any] = ()) -> None:
        super().__init__(dtype="float32")  # else mixed precision would round the draws; the networks keep their own policy
        self.model, self.teachers = model, list(teachers)
        for teacher in self.teachers:
            teacher.trainable = False
        self.augmentation, self.teaching = experiment.augmentation, experiment.teaching if self.teachers else 0.0
        self.by_labels, self.by_teachers = SourceCrossentropy(experiment.label_smoothing), SourceCrossentropy()
        self.figures: list[Any] = [SourceAccuracy(), SourceRecall(name="recall")]
        self.built = True  # as `model` is: an interrupted run is kept before the first batch

    def call(self, inputs: Any, training: bool = False) -> Any:
        """{"answers": float32 [b, classes]} and, in training with teachers, `taught` of the same shape."""
        if not training:
            return {"answers": self.model(ops.cast(inputs["images"], "float32"), training=False)}
        found = {"answers": self.model(self._changed(inputs["images"], inputs), training=True)}
        if self.teachers:
            wide = self._changed(inputs["wide"], inputs)
            taught = sum(ops.cast(teacher(wide, training=False), "float32") for teacher in self.teachers)
            found["taught"] = ops.stop_gradient(taught / len(self.teachers))
        return found

    def _changed(self, images: Any, inputs: Any) -> Any:
        """The same draws give the same view at every size."""
        images = ops.cast(images, "float32")
        if self.augmentation is not None:
            images = augment(images, draw_from(inputs["draws"]), self.augmentation)
        return mix(images, inputs["mixture"])

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The mean over the batch, in nats. Keras fixes the arguments; neither inputs nor weights of samples are used."""
        del x, sample_weight, training
        answers, share = y_pred["answers"], y["share"][:, 0]
        each = share * self.by_labels.call(y["targets"], answers) + (1.0 - share) * self.by_labels.call(y["partner"], answers)
        if "taught" in y_pred:
            each = (1.0 - self.teaching) * each + self.teaching * self.by_teachers.call(y_pred["taught"], answers)
        return ops.mean(each)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Against the picture's own label, whatever is mixed in. Keras fixes the arguments."""
        del x, sample_weight
        for figure in self.figures:
            figure.update_state(y["targets"], y_pred["answers"])
        return self.get_metrics_result()
