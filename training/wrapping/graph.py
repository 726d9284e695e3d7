"""The graph around a foreign model: uint8 images in, probabilities out, all weights constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from core.errors import InvalidRequestError
from core.modelspec import INPUT_ALIAS
from core.wraprequest import Layout, Output, Scale, WrapRequest
from training.saliency import Explainer
from training.wrapping.foreign import Foreign
from training.wrapping.planning import Feeding

# Mean and deviation of ImageNet's colours in 0…1: https://docs.pytorch.org/vision/stable/models.html
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What a graph may not do, whatever its format: run Python, read or write files, call others.
_REFUSED = frozenset(
    {
        *("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "SaveV2", "Save", "RestoreV2"),
        *("ReaderReadV2", "TextLineReaderV2", "TFRecordReaderV2", "WholeFileReaderV2", "RpcCall", "RpcServer"),
    }
)


def raw_answers(foreign: Foreign, feeding: Feeding, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the model itself answers to images, float32 [images, outputs].

    Raises:
        InvalidRequestError: it cannot compute them, or answers no row of numbers for each.
    """
    try:
        found = tf.function(_reader(foreign, feeding), autograph=False)(tf.constant(images))
    except (tf.errors.OpError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise InvalidRequestError(
            f"the model cannot compute images {feeding.height}x{feeding.width} in {feeding.layout}: {reason}; see --size, "
            "--layout"
        ) from error
    answers: npt.NDArray[np.float32] = found.numpy()
    if answers.ndim != 2 or len(answers) != len(images):
        raise InvalidRequestError(
            f"expected one row of numbers for each image, [{len(images)}, classes], got {list(answers.shape)}: this is no "
            "classifier of whole images; if the model has another output, name it with --output-name"
        )
    return answers


def freeze(
    foreign: Foreign, feeding: Feeding, request: WrapRequest, output: Output, explainer: Explainer | None = None
) -> Callable[[Any], Sequence[Any]]:
    """uint8 [batch, height, width, 3] → float32 [batch, classes], with constants for weights; with `explainer` also its maps.

    Raises:
        InvalidRequestError: the graph runs Python, or reaches beyond itself.
    """
    read = _reader(foreign, feeding) if explainer is None else _explaining_reader(foreign, feeding, explainer)

    def answers(images: Any) -> list[Any]:
        found = read(images)
        answer, *maps = found if explainer else [found]
        return [_probabilities(answer, output, len(request.classes), request.multi_label), *maps]

    spec = tf.TensorSpec([None, feeding.height, feeding.width, 3], tf.uint8, name=INPUT_ALIAS)
    concrete = tf.function(answers, autograph=False).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(concrete)
    definition = frozen.graph.as_graph_def()
    names = {node.op for node in definition.node} | {node.op for each in definition.library.function for node in each.node_def}
    if found := sorted(names & _REFUSED):
        raise InvalidRequestError(
            f"the model's graph has {found}, which runs Python or reaches beyond the model: export it without"
        )
    return lambda images: list(frozen(images))


def _reader(foreign: Foreign, feeding: Feeding) -> Callable[[Any], Any]:
    """uint8 images → the model's own answer as float32 [batch, outputs]."""

    def read(images: Any) -> Any:
        fed = tf.cast(_scaled(images, feeding.scale), foreign.input_dtype)
        fed = tf.transpose(fed, (0, 3, 1, 2)) if feeding.layout is Layout.NCHW else fed
        answer = _one_by_one(foreign.call, fed) if feeding.one_by_one else foreign.call(fed)
        answer = tf.cast(answer, tf.float32)
        if answer.shape.rank == 4:  # [batch, classes, 1, 1] of a network without a last dense layer
            return tf.reshape(answer, [-1, int(np.prod(answer.shape[1:]))])
        return answer[:, tf.newaxis] if answer.shape.rank == 1 else answer

    return read


def _explaining_reader(foreign: Foreign, feeding: Feeding, explainer: Explainer) -> Callable[[Any], Any]:
    """The same with the maps of its classes, for a network that takes colours last."""
    whole = keras.Model(foreign.network.inputs, [*foreign.network.outputs, *explainer.tensors])

    def read(images: Any) -> list[Any]:
        answer, *more = whole(tf.cast(_scaled(images, feeding.scale), foreign.input_dtype), training=False)
        return [answer, explainer.maps(*more)]

    return read


def _one_by_one(call: Callable[[Any], Any], images: Any) -> Any:
    answers = tf.map_fn(lambda image: tf.cast(call(image[tf.newaxis])[0], tf.float32), images, fn_output_signature=tf.float32)
    first = call(tf.zeros([1, *images.shape[1:]], images.dtype))
    return tf.ensure_shape(answers, [None, *first.shape[1:]])


def _scaled(images: Any, scale: Scale) -> Any:
    if scale is Scale.NONE:
        return images
    pixels = tf.cast(images, tf.float32)
    if scale is Scale.SIGNED:
        return pixels / 127.5 - 1.0
    unit = pixels / 255.0
    return (unit - _MEAN) / _DEVIATION if scale is Scale.IMAGENET else unit


def _probabilities(answer: Any, output: Output, classes: int, multi_label: bool) -> Any:
    alone = multi_label or answer.shape[-1] == 1
    if output is Output.LOGITS:
        answer = tf.sigmoid(answer) if alone else tf.nn.softmax(answer)
    answer = tf.clip_by_value(answer, 0.0, 1.0)  # rounding of float16
    if answer.shape[-1] == 1:
        answer = tf.concat([1.0 - answer, answer], axis=1)
    return tf.ensure_shape(answer, [None, classes])
