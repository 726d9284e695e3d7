"""ONNX operators that move a window over the image: convolution and pooling. All on tensors with the colours last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from training.wrapping.onnxgraph import Node, Value


@dataclass(frozen=True)
class _Window:
    """Geometry of one operator; pairs are rows, columns."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    before: Sequence[int]  # padding
    after: Sequence[int]
    beyond: Sequence[int]  # padding of ceil_mode, which counts as no pixel in a mean

    def pad(self, image: Any, value: float = 0.0) -> Any:
        ends = [end + more for end, more in zip(self.after, self.beyond, strict=True)]
        sides = [[0, 0], *([begin, end] for begin, end in zip(self.before, ends, strict=True)), [0, 0]]
        return tf.pad(image, sides, constant_values=value) if np.any(sides) else image


def _window(node: Node, image: Any, kernel: Sequence[int]) -> _Window:
    node.require(len(kernel) == 2 and len(image.shape) == 4, "windows over other than two axes")
    strides, dilations = node.numbers("strides", (1, 1)), node.numbers("dilations", (1, 1))
    reach = [(side - 1) * gap + 1 for side, gap in zip(kernel, dilations, strict=True)]
    sides = [int(image.shape[axis]) for axis in (1, 2)]
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(sides, strides, reach, strict=True)]
        small = [each // 2 for each in total]
        large = [each - half for each, half in zip(total, small, strict=True)]
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    else:
        pads = node.numbers("pads", (0, 0, 0, 0)) if mode == "NOTSET" else [0, 0, 0, 0]
        before, after = pads[:2], pads[2:]
    node.require(min(*before, *after) >= 0, "negative padding")
    beyond = [0, 0]
    if node.whole("ceil_mode", 0):
        beyond = [_beyond(*each) for each in zip(sides, before, after, reach, strides, strict=True)]
    return _Window(kernel, strides, dilations, before, after, beyond)


def _beyond(side: int, before: int, after: int, reach: int, stride: int) -> int:
    """What ceil_mode adds at the end; a window that would begin beyond the image and its padding in front is left out."""
    padded = side + before + after
    windows = -(-(padded - reach) // stride) + 1
    if (windows - 1) * stride >= side + before:
        windows -= 1
    return max((windows - 1) * stride + reach - padded, 0)


def convolve(node: Node) -> Value:
    """Conv, with groups."""
    image, weights = node.input(0).as_image().tensor, node.constant(1)  # [out, in / groups, rows, columns]
    node.require(weights.ndim == 4, "a convolution over other than two axes")
    window = _window(node, image, weights.shape[2:])
    kernel, groups = weights.transpose(2, 3, 1, 0), node.whole("group", 1)
    answer = _convolve(window, window.pad(image), kernel, groups)
    bias = node.optional(2)
    return Value(answer if bias is None else tf.nn.bias_add(answer, node.constant(2)), channels_last=True)


def _convolve(window: _Window, image: Any, kernel: Any, groups: int) -> Any:
    rows, columns, depth, filters = kernel.shape
    plain = {"padding": "VALID", "dilations": list(window.dilations)}
    if groups == 1:
        return tf.nn.conv2d(image, kernel, strides=list(window.strides), **plain)
    even = window.strides[0] == window.strides[1] and (max(window.dilations) == 1 or max(window.strides) == 1)
    if depth == 1 and even:  # one group for each colour; TensorFlow wants equal strides there
        separate = kernel.reshape(rows, columns, groups, filters // groups)
        return tf.nn.depthwise_conv2d(image, separate, strides=[1, *window.strides, 1], **plain)
    parts = zip(tf.split(image, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
    return tf.concat([tf.nn.conv2d(part, each, strides=list(window.strides), **plain) for part, each in parts], axis=3)


def max_pool(node: Node) -> Value:
    """MaxPool."""
    image = node.input(0).as_image().tensor
    window = _window(node, image, node.numbers("kernel_shape", ()))
    node.require(max(window.dilations) == 1, "dilations of a pooling")
    padded = window.pad(image, float(image.dtype.min))
    return Value(tf.nn.max_pool2d(padded, list(window.kernel), list(window.strides), "VALID"), channels_last=True)


def average_pool(node: Node) -> Value:
    """AveragePool: the mean of the pixels, and of the padding only where it is to be counted."""
    image = node.input(0).as_image().tensor
    window = _window(node, image, node.numbers("kernel_shape", ()))
    node.require(max(window.dilations) == 1, "dilations of a pooling")
    means = tf.nn.avg_pool2d(window.pad(image), list(window.kernel), list(window.strides), "VALID")
    counted = np.ones((1, *image.shape[1:3], 1), np.float32)
    sides = [(0, 0), *zip(window.before, window.after, strict=True), (0, 0)]
    counted = np.pad(counted, sides, constant_values=float(bool(node.whole("count_include_pad", 0))))
    counted = np.pad(counted, [(0, 0), *((0, more) for more in window.beyond), (0, 0)])
    if counted.all():
        return Value(means, channels_last=True)
    share = tf.nn.avg_pool2d(counted, list(window.kernel), list(window.strides), "VALID")
    return Value(means / tf.cast(share, means.dtype), channels_last=True)


def global_average_pool(node: Node) -> Value:
    """GlobalAveragePool."""
    return Value(tf.reduce_mean(node.input(0).as_image().tensor, axis=[1, 2], keepdims=True), channels_last=True)


def global_max_pool(node: Node) -> Value:
    """GlobalMaxPool."""
    return Value(tf.reduce_max(node.input(0).as_image().tensor, axis=[1, 2], keepdims=True), channels_last=True)
