"""The ONNX operators that are translated, by name: https://onnx.ai/onnx/operators/ says what each computes.

docs/reference/foreign-models.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from training.wrapping import onnxwindows as windows
from training.wrapping.onnxgraph import Node, Value, aligned, axis_of

Operator = Callable[[Node], Value | list[Value]]


def _each(function: Callable[..., Any]) -> Operator:
    """An operator that computes every element by itself; the axes stay as they are held."""

    def operator(node: Node) -> Value:
        value = node.input(0)
        return Value(function(value.tensor), value.channels_last)

    return operator


def _together(function: Callable[[Any, Any], Any]) -> Operator:
    """An operator of two or more tensors that broadcast."""

    def operator(node: Node) -> Value:
        tensors, last = aligned([node.input(position) for position in range(len(node.inputs))])
        answer = tensors[0]
        for each in tensors[1:]:
            answer = function(answer, each)
        return Value(answer, last)

    return operator


def _divide(a: Any, b: Any) -> Any:
    return tf.math.truncatediv(a, b) if tf.convert_to_tensor(a).dtype.is_integer else tf.divide(a, b)


def _clip(node: Node) -> Value:
    value, kind = node.input(0), node.input(0).tensor.dtype
    limits = tf.as_dtype(kind)
    low = float(node.constant(1, node.number("min", limits.min)))
    high = float(node.constant(2, node.number("max", limits.max)))
    return Value(tf.clip_by_value(value.tensor, tf.cast(low, limits), tf.cast(high, limits)), value.channels_last)


def _leaky(node: Node) -> Value:
    return Value(tf.nn.leaky_relu(node.input(0).tensor, node.number("alpha", 0.01)), node.input(0).channels_last)


def _elu(node: Node) -> Value:
    value, alpha = node.input(0), node.number("alpha", 1.0)
    return Value(tf.where(value.tensor > 0, value.tensor, alpha * tf.math.expm1(value.tensor)), value.channels_last)


def _parametric(node: Node) -> Value:
    (x, slope), last = aligned([node.input(0), node.input(1)])
    return Value(tf.where(x >= 0, x, x * slope), last)


def _hard_sigmoid(node: Node) -> Value:
    value = node.input(0)
    line = value.tensor * node.number("alpha", 0.2) + node.number("beta", 0.5)
    return Value(tf.clip_by_value(line, 0.0, 1.0), value.channels_last)


def _hard_swish(x: Any) -> Any:
    return x * tf.clip_by_value(x / 6.0 + 0.5, 0.0, 1.0)


def _gelu(node: Node) -> Value:
    value = node.input(0)
    return Value(tf.nn.gelu(value.tensor, approximate=node.text("approximate", "none") == "tanh"), value.channels_last)


def _softmax(function: Callable[..., Any]) -> Operator:
    def operator(node: Node) -> Value:
        value = node.input(0)
        axis = node.whole("axis", -1 if node.opset >= 13 else 1)
        alone = node.opset >= 13 or axis in (-1, value.rank - 1)
        node.require(alone, "softmax over several axes at once (opset below 13)")
        return Value(function(value.tensor, axis=axis_of(axis, value)), value.channels_last)

    return operator


def _normalise(node: Node) -> Value:
    """BatchNormalization as a trained network uses it."""
    node.require(not node.whole("training_mode", 0), "training mode: export the model after `eval()`")
    value = node.input(0).as_image() if node.input(0).rank == 4 else node.input(0)
    node.require(value.channels_last or value.rank == 2, f"{value.rank} axes")
    scale, shift, mean, variance = (node.constant(position) for position in range(1, 5))
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    return Value(value.tensor * factor + (shift - mean * factor), value.channels_last)


def _normalise_layer(node: Node) -> Value:
    x = node.input(0).as_onnx().tensor
    axes = list(range(node.whole("axis", -1) % len(x.shape), len(x.shape)))
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    answer = (x - mean) * tf.math.rsqrt(variance + node.number("epsilon", 1e-5)) * node.constant(1)
    return Value(answer if node.optional(2) is None else answer + node.constant(2))


def _normalise_local(node: Node) -> Value:
    size = node.whole("size", 0)
    node.require(size % 2 == 1, "an even size")
    terms = {"bias": node.number("bias", 1.0), "alpha": node.number("alpha", 1e-4) / size, "beta": node.number("beta", 0.75)}
    image = node.input(0).as_image().tensor
    return Value(tf.nn.local_response_normalization(image, depth_radius=size // 2, **terms), channels_last=True)


def _reduce(function: Callable[..., Any]) -> Operator:
    def operator(node: Node) -> Value:
        value, axes, keep = node.input(0), node.axes(), bool(node.whole("keepdims", 1))
        if axes is None:
            node.require(not node.whole("noop_with_empty_axes", 0), "no axes at all")
            axes = list(range(value.rank))
        if not keep:  # the axes that stay must stand in ONNX's order
            value = value.as_onnx()
        held = [axis_of(axis, value) for axis in axes]
        return Value(function(value.tensor, axis=held, keepdims=keep), value.channels_last and keep)

    return operator


def _matrix(node: Node) -> Value:
    a, b = node.input(0).as_onnx().tensor, node.input(1).as_onnx().tensor
    product = tf.matmul(a, b, transpose_a=bool(node.whole("transA", 0)), transpose_b=bool(node.whole("transB", 0)))
    product = product * node.number("alpha", 1.0) if node.number("alpha", 1.0) != 1 else product
    added = node.optional(2)
    return Value(product if added is None else product + node.number("beta", 1.0) * added.as_onnx().tensor)


def _concatenate(node: Node) -> Value:
    values = [node.input(position) for position in range(len(node.inputs))]
    last = any(value.channels_last for value in values)
    held = [value.as_image() if last else value for value in values]
    return Value(tf.concat([value.tensor for value in held], axis=axis_of(node.whole("axis", 0), held[0])), last)


def _flatten(node: Node) -> Value:
    x, axis = node.input(0).as_onnx().tensor, node.whole("axis", 1)
    node.require(axis == 1, "an axis other than 1")
    return Value(tf.reshape(x, [-1, int(np.prod(x.shape[1:]))]))


def _reshape(node: Node) -> Value:
    x, wanted = node.input(0).as_onnx().tensor, node.input(1)
    node.require(not node.whole("allowzero", 0), "allowzero")
    known = wanted.constant
    if known is None:
        return Value(tf.reshape(x, wanted.tensor))
    now, sides = tf.shape(x), [int(side) for side in known]
    kept = [x.shape[axis] if axis < len(x.shape) else None for axis in range(len(sides))]
    return Value(tf.reshape(x, [side or (kept[axis] or now[axis]) for axis, side in enumerate(sides)]))


def _transpose(node: Node) -> Value:
    x = node.input(0).as_onnx().tensor
    return Value(tf.transpose(x, node.numbers("perm", range(len(x.shape))[::-1])))


def _squeeze(node: Node) -> Value:
    return Value(tf.squeeze(node.input(0).as_onnx().tensor, node.axes()))


def _unsqueeze(node: Node) -> Value:
    x, axes = node.input(0).as_onnx().tensor, node.axes() or []
    rank = len(x.shape) + len(axes)
    for axis in sorted(each % rank for each in axes):
        x = tf.expand_dims(x, axis)
    return Value(x)


def _gather(node: Node) -> Value:
    x = node.input(0).as_onnx().tensor
    return Value(tf.gather(x, node.input(1).as_onnx().tensor, axis=node.whole("axis", 0)))


def _slice(node: Node) -> Value:
    x = node.input(0).as_onnx().tensor
    old = node.opset < 10
    starts = node.numbers("starts", ()) if old else node.constant(1).tolist()
    ends = node.numbers("ends", ()) if old else node.constant(2).tolist()
    axes = node.numbers("axes", range(len(starts))) if old else node.constant(3, range(len(starts))).tolist()
    steps = [1] * len(starts) if old else node.constant(4, [1] * len(starts)).tolist()
    cuts = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        node.require(step > 0, "a negative step")
        cuts[axis] = slice(start, None if end >= 2**31 - 1 else end, step)
    return Value(x[tuple(cuts)])


def _split(node: Node) -> list[Value]:
    value = node.input(0)
    sizes = node.numbers("split", ()) if "split" in node.attributes else node.constant(1, []).tolist()
    axis = axis_of(node.whole("axis", 0), value)
    node.require(bool(sizes), "parts of no stated size")
    return [Value(part, value.channels_last) for part in tf.split(value.tensor, sizes, axis=axis)]


def _shape(node: Node) -> Value:
    x = node.input(0).as_onnx().tensor
    whole = np.array(x.shape, np.int64) if None not in tuple(x.shape) else tf.shape(x, out_type=tf.int64)
    return Value(whole[node.whole("start", 0) : node.attributes.get("end")])


def _cast(node: Node) -> Value:
    value = node.input(0)
    target = tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(node.whole("to", 1)))
    return Value(tf.cast(value.tensor, target), value.channels_last)


def _constant(node: Node) -> Value:
    if "value" in node.attributes:
        return Value(node.attributes["value"])
    kinds = {"value_float": np.float32, "value_int": np.int64, "value_floats": np.float32, "value_ints": np.int64}
    for name, kind in kinds.items():
        if name in node.attributes:
            return Value(np.array(node.attributes[name], kind))
    raise node.refuse("a constant that is no number")


def _pad(node: Node) -> Value:
    node.require(node.text("mode", "constant") == "constant", "padding that is no constant")
    node.require(node.optional(3) is None, "axes of a padding")
    x = node.input(0).as_onnx().tensor
    pads = node.numbers("pads", ()) if node.opset < 11 else [int(each) for each in node.constant(1)]
    node.require(min(pads) >= 0, "negative padding")
    value = node.number("value", 0.0) if node.opset < 11 else float(node.constant(2, 0.0))
    half = len(pads) // 2
    return Value(tf.pad(x, list(zip(pads[:half], pads[half:], strict=True)), constant_values=value))


def _same(node: Node) -> Value:
    return node.input(0)


OPERATORS: dict[str, Operator] = {
    "Abs": _each(tf.abs),
    "Add": _together(tf.add),
    "AveragePool": windows.average_pool,
    "BatchNormalization": _normalise,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenate,
    "Constant": _constant,
    "Conv": windows.convolve,
    "Div": _together(_divide),
    "Dropout": _same,
    "Elu": _elu,
    "Erf": _each(tf.math.erf),
    "Exp": _each(tf.exp),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _matrix,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _each(_hard_swish),
    "Identity": _same,
    "LRN": _normalise_local,
    "LayerNormalization": _normalise_layer,
    "LeakyRelu": _leaky,
    "Log": _each(tf.math.log),
    "LogSoftmax": _softmax(tf.nn.log_softmax),
    "MatMul": _matrix,
    "Max": _together(tf.maximum),
    "MaxPool": windows.max_pool,
    "Min": _together(tf.minimum),
    "Mish": _each(lambda x: x * tf.tanh(tf.math.softplus(x))),
    "Mul": _together(tf.multiply),
    "Neg": _each(tf.negative),
    "PRelu": _parametric,
    "Pad": _pad,
    "Pow": _together(lambda a, b: tf.pow(a, tf.cast(b, tf.convert_to_tensor(a).dtype))),
    "Reciprocal": _each(tf.math.reciprocal),
    "ReduceMax": _reduce(tf.reduce_max),
    "ReduceMean": _reduce(tf.reduce_mean),
    "ReduceSum": _reduce(tf.reduce_sum),
    "Relu": _each(tf.nn.relu),
    "Reshape": _reshape,
    "Selu": _each(tf.nn.selu),
    "Shape": _shape,
    "Sigmoid": _each(tf.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax(tf.nn.softmax),
    "Softplus": _each(tf.math.softplus),
    "Softsign": _each(tf.nn.softsign),
    "Split": _split,
    "Sqrt": _each(tf.sqrt),
    "Squeeze": _squeeze,
    "Sub": _together(tf.subtract),
    "Sum": _together(tf.add),
    "Tanh": _each(tf.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
