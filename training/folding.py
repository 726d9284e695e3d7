"""Batch normalisation folded into the convolution before it, so that a server computes both, and the activation, in one step.

Keras writes a normalisation as `convolution * scale + shift`. Here the scale goes into the kernel, and the shift is a bias.
The kernel stays as it is beside its scale, so that one that float16 holds still takes half the space (`training.compact`): the
server multiplies the two when it loads the graph. TensorFlow's own optimiser folds small kernels only, and no depthwise ones.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def fold_normalisation(graph: Any, frozen: Any) -> int:
    """A pass of `training.rewriting`: nothing but a bias is left behind a convolution. Answers stay, up to rounding."""
    nodes = {node.name: node for node in graph.node}
    uses = Counter(_source(name) for node in graph.node for name in node.input)
    outputs = {_source(each.name) for each in frozen.outputs}
    constant = _constants(graph)
    added: list[Any] = []
    for shift in graph.node:
        found = _chain(shift, nodes, constant)
        if found is None or any(uses[each.name] != 1 or each.name in outputs for each in found):
            continue
        added += _fold(*found, shift, frozen.graph)
    graph.node.extend(added)
    return len(added)


def _chain(shift: Any, nodes: dict[str, Any], constant: set[str]) -> tuple[Any, Any] | None:
    """The convolution and the multiplication that this addition ends, if the other operands do not depend on the images."""
    if shift.op not in ("AddV2", "Add") or _source(shift.input[1]) not in constant:
        return None
    scale = nodes[_source(shift.input[0])]
    if scale.op != "Mul" or _source(scale.input[1]) not in constant:
        return None
    convolution = nodes[_source(scale.input[0])]
    fits = convolution.op in _CONVOLUTIONS and convolution.attr["data_format"].s in (b"", b"NHWC")
    return (convolution, scale) if fits and _source(convolution.input[1]) in constant else None


def _fold(convolution: Any, scale: Any, shift: Any, graph: Any) -> list[Any]:
    """Change the three nodes in place: `scale` becomes the scaled kernel, `shift` the bias. Returns what has to be added."""
    kernel, factor, bias = convolution.input[1], scale.input[1], shift.input[1]
    if [_rank(graph, name) for name in (factor, bias)] != [1, 1]:
        return []
    added = []
    if convolution.op == "DepthwiseConv2dNative":  # its kernel is [height, width, channels, multiplier]
        shape = graph.get_tensor_by_name(_tensor(kernel)).shape
        name = f"{scale.name}/shape"
        added = [
            _node("Const", name, [], dtype=tf.int32, value=tf.make_tensor_proto(shape.as_list()[2:], tf.int32)),
            _node("Reshape", f"{scale.name}/factor", [factor, name], T=tf.float32, Tshape=tf.int32),
        ]
        factor = f"{scale.name}/factor"
    multiplied = _node("Mul", f"{scale.name}/kernel", [kernel, factor], T=tf.float32)
    convolution.input[1] = multiplied.name
    biased = _node("BiasAdd", shift.name, [convolution.name, bias], T=tf.float32)
    shift.CopyFrom(biased)
    scale.CopyFrom(_node("NoOp", scale.name, []))
    return [*added, multiplied]


def _constants(graph: Any) -> set[str]:
    """Nodes that depend on no placeholder. A frozen graph is written in the order of its computation, or nearly so."""
    found: set[str] = set()
    before = -1
    while len(found) != before:
        before = len(found)
        for node in graph.node:
            if node.op == "Const" or (node.input and all(_source(name) in found for name in node.input)):
                found.add(node.name)
    return found


def _rank(graph: Any, name: str) -> int | None:
    rank: int | None = graph.get_tensor_by_name(_tensor(name)).shape.rank
    return rank


def _node(op: str, name: str, inputs: list[str], *, value: Any = None, **types: Any) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op=op, input=inputs)
    for attribute, kind in types.items():
        node.attr[attribute].type = kind.as_datatype_enum
    if value is not None:
        node.attr["value"].tensor.CopyFrom(value)
    return node


def _source(name: str) -> str:
    """The node of an input: `node`, `node:1` or `^node`."""
    return name.lstrip("^").partition(":")[0]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
