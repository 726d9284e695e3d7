"""Which places of a picture speak for a class: gradient class activation maps (Grad-CAM), as part of an exported graph.

Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2. With the feature map A [h, w, k] that leaves the last convolution
(its normalisation and activation included), and the score y of a class before the softmax:

    weight of channel k:  the mean over all places of dy/dA[:, :, k]
    map of the class:     max(0, sum over k of weight[k] A[:, :, k]), divided by its highest value

Where global average pooling and one dense layer follow, dy/dA is that layer's kernel over h * w at each place, and the map is
the class activation map of Zhou et al. 2016 (arXiv 1512.04150). The gradients run through these last layers only, and share
their weights: a version grows by a few nodes.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from core.errors import InvalidRequestError
from core.modelspec import ExplainSpec

METHOD = "grad_cam"
_PROBABILITIES = ("softmax", "sigmoid")
_BEHIND = (  # what may stand between the last convolution and the vector that the dense layers read
    keras.layers.Dropout,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


class Explainer:
    """A model's last feature map, its scores, and the maps that follow from them."""

    def __init__(self, model: Any, *, logits: bool = False) -> None:
        """Finds both; nothing is computed.

        Args:
            model: a `keras.Model`, float32 [batch, height, width, 3] → softmax, or independent sigmoids, [batch, classes].
            logits: it answers the scores themselves, by a last dense layer without an activation.

        Raises:
            InvalidRequestError: its last layers are no chain from a feature map to classes, or the map has one place only.
        """
        self._last, before = _last_layers(model, logits=logits)
        features = _feature_map(model, before)
        self.tensors = [features, before]  # symbolic: further outputs of the model, which `maps` reads
        _, height, width, _ = features.shape
        self.spec = ExplainSpec(method=METHOD, height=height, width=width)

    def maps(self, features: Any, before: Any) -> Any:
        """The map of each class; to be traced in the graph that computes both tensors.

        Args:
            features: float32 [batch, h, w, k].
            before: what the last dense layer reads, float32 [batch, d]; or the scores, where that layer is an activation.

        Returns:
            float32 [batch, h, w, classes], 0…1. The highest value of a map is 1; where no place speaks for a class, all are 0.
            A model of one score has two classes: what speaks against the second one speaks for the first.
        """
        scores = self._scores(before)
        if scores.shape[-1] == 1:
            scores = tf.concat([-scores, scores], axis=-1)
        raw = [self._raw(scores[:, each], features) for each in range(scores.shape[-1])]
        found = tf.nn.relu(tf.stack(raw, axis=-1))
        return tf.math.divide_no_nan(found, tf.reduce_max(found, axis=[1, 2], keepdims=True))

    def _scores(self, before: Any) -> Any:
        if not isinstance(self._last, keras.layers.Dense):
            return before
        scores = tf.matmul(before, tf.convert_to_tensor(self._last.kernel))
        return scores if self._last.bias is None else scores + tf.convert_to_tensor(self._last.bias)

    @staticmethod
    def _raw(score: Any, features: Any) -> Any:
        [gradient] = tf.gradients(score, features)  # an image's score depends on its own features only: no sum over images
        weights = tf.reduce_mean(gradient, axis=[1, 2], keepdims=True)
        return tf.reduce_sum(weights * features, axis=-1)


def _last_layers(model: Any, *, logits: bool) -> tuple[Any, Any]:
    """The layer that makes probabilities, or with `logits` the scores, and the symbolic tensor that it reads."""
    last = _maker(model.outputs[0])
    name = getattr(getattr(last, "activation", None), "__name__", "")
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, (keras.layers.Dense, keras.layers.Activation)) and name in _PROBABILITIES
    ):
        return last, last.input
    if logits and isinstance(last, keras.layers.Dense) and name == "linear":
        return last, last.input
    raise _unexplained(model, f"its last layer {last.name} ({type(last).__name__}) is no softmax or sigmoid over classes")


def _feature_map(model: Any, tensor: Any) -> Any:
    """Goes back from a vector to the tensor [batch, h, w, k] it comes from, through layers of one input each."""
    while True:
        layer = _maker(tensor)
        begins = isinstance(layer, keras.layers.InputLayer)
        if len(tensor.shape) == 4 and not isinstance(layer, _BEHIND) and not begins:
            break
        if begins or isinstance(layer, keras.layers.RNN) or not hasattr(layer.input, "shape"):
            raise _unexplained(model, f"no convolution leads to its layer {layer.name} ({type(layer).__name__}) in a chain")
        tensor = layer.input
    _, height, width, _ = tensor.shape
    if not height or not width or height * width < 2:
        raise _unexplained(model, f"its last feature map is {list(tensor.shape)}, where no place can be told from another")
    return tensor


def _maker(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _unexplained(model: Any, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"model {model.name}: its answers cannot be explained: {reason}")
