"""Loss and metrics that know which classes the source of a picture labels.

Targets are those of `training.targets.targets_of`: -1 marks a class that nobody looked for. The model's answer is renormalised
over the classes that were looked for before it is compared, the same as a softmax over these classes alone, so that pictures of
a source teach nothing about the classes that it lacks.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_SMALLEST = 1e-7


class SourceCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Mean cross-entropy in nats over the labelled classes, with label smoothing over the same.

    Equal to `keras.losses.CategoricalCrossentropy` where no target is -1.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "source_crossentropy") -> None:
        super().__init__(name=name)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """float32 [batch], of targets and probabilities, both float32 [batch, classes]."""
        labelled = ops.cast(y_true >= 0, y_pred.dtype)
        even = labelled / ops.sum(labelled, axis=-1, keepdims=True)
        wanted = ops.maximum(ops.cast(y_true, y_pred.dtype), 0.0) * (1.0 - self.label_smoothing) + even * self.label_smoothing
        among = ops.sum(y_pred * labelled, axis=-1, keepdims=True)
        logarithms = ops.log(ops.maximum(y_pred, _SMALLEST)) - ops.log(ops.maximum(among, _SMALLEST))
        return -ops.sum(wanted * logarithms, axis=-1)


class SourceAccuracy(keras.metrics.MeanMetricWrapper):  # type: ignore[misc]
    """Share of the pictures whose most probable class, of those that their source labels, is the true one."""

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(_matches, name=name)


def _matches(y_true: Any, y_pred: Any) -> Any:
    among = ops.where(y_true >= 0, y_pred, -1.0)
    return ops.cast(ops.argmax(y_true, axis=-1) == ops.argmax(among, axis=-1), "float32")


class SourceRecall(keras.metrics.Recall):  # type: ignore[misc]
    """Share of the pictures whose true class has a probability over one half."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts one batch."""
        super().update_state(ops.maximum(y_true, 0.0), y_pred, sample_weight)
