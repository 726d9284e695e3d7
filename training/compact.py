"""Frozen weights that float16 can hold exactly are stored in half the space, equal ones once, without changing any answer.

Each such constant becomes a float16 constant under a cast to float32. A server folds the cast into a float32 constant when it
loads the graph, so that it costs nothing afterwards. Weights get this way by `training.fitting.round_weights`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

SMALLEST_SIZE = 1024  # values; below this nothing is gained


def halve_constants(graph: Any, _: Any) -> int:
    """A pass of `training.rewriting`: large constants that float16 represents exactly become float16."""
    shared = _share_constants(graph)
    halved: list[Any] = []
    for node in graph.node:
        value = _representable(node)
        if value is None:
            continue
        name = node.name
        node.name = f"{name}/half"
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.attr["dtype"].type = tf.float16.as_datatype_enum
        node.attr.pop("_output_shapes", None)
        halved.append(_cast(name, node.name))
    graph.node.extend(halved)
    return len(halved) + shared


def _share_constants(graph: Any) -> int:
    """Keeps one copy of each large constant, which a tracer writes at each of its uses; returns how many copies are gone."""
    first: dict[bytes, str] = {}
    gone = 0
    for node in graph.node:
        if node.op != "Const" or node.ByteSize() < SMALLEST_SIZE:
            continue
        name, kind = node.name, node.attr["dtype"].type
        known = first.setdefault(node.attr["value"].SerializeToString(), name)
        if known != name:
            node.Clear()
            node.name, node.op = name, "Identity"
            node.input.append(known)
            node.attr["T"].type = kind
            gone += 1
    return gone


def _representable(node: Any) -> Any:
    """The value as float16, if the node is a large float32 constant and this loses nothing; else None."""
    if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
        return None
    value = tf.make_ndarray(node.attr["value"].tensor)
    if value.size < SMALLEST_SIZE:
        return None
    half = value.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), value) else None


def _cast(name: str, source: str) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type, node.attr["DstT"].type = tf.float16.as_datatype_enum, tf.float32.as_datatype_enum
    return node
