"""ONNX files, translated operator by operator into TensorFlow; an operator that is not known is refused by name.

The operators are those of the ONNX standard (https://onnx.ai/onnx/operators/), opset 7 to 23, as usual classifiers use them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import numpy_helper

from core.errors import InvalidRequestError
from training.wrapping.foreign import Foreign, choose_one
from training.wrapping.onnxgraph import Node, Value
from training.wrapping.onnxoperators import OPERATORS

_STANDARD = ("", "ai.onnx")
_OLDEST = 7  # since then operators broadcast as numpy does


def open_onnx_file(path: Path, output_name: str | None) -> Foreign:
    """Open it; raises InvalidRequestError as `open_foreign`."""
    model = _load(path)
    opset = _opset(path, model)
    _require_known(path, model)
    graph = model.graph
    weights = {each.name: Value(numpy_helper.to_array(each)) for each in graph.initializer}
    images = [each for each in graph.input if each.name not in weights]
    if len(images) != 1:
        raise InvalidRequestError(f"{path}: expected a model of one input, the image, got {[each.name for each in images]}")
    (image,) = images
    output = choose_one([each.name for each in graph.output], output_name, what="outputs", option="--output-name")
    return Foreign(
        kind="ONNX file",
        call=lambda tensor: _run(graph, weights, {image.name: Value(tensor)}, output, opset),
        input_name=image.name,
        input_dtype=tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)),
        input_shape=_shape(image),
        output_name=output,
        owner=model,
    )


def _load(path: Path) -> Any:
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidRequestError(
            f"{path}: expected an ONNX file, with its .data file beside it if it has one: {reason}"
        ) from error
    return model


def _opset(path: Path, model: Any) -> int:
    opset = next((int(each.version) for each in model.opset_import if each.domain in _STANDARD), 0)
    if opset < _OLDEST:
        raise InvalidRequestError(
            f"{path}: expected ONNX opset {_OLDEST} or newer, got {opset}: export it with `opset_version=17`"
        )
    return opset


def _require_known(path: Path, model: Any) -> None:
    unknown = {
        node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"
        for node in model.graph.node
        if node.domain not in _STANDARD or node.op_type not in OPERATORS
    }
    if unknown:
        raise InvalidRequestError(
            f"{path}: DermQ does not translate the ONNX operators {sorted(unknown)}; convert the model to a SavedModel "
            "where it was "
            "made, and wrap that folder. It knows those of usual convolutional networks: docs/reference/foreign-models.md"
        )


def _shape(value: Any) -> tuple[int | None, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in dimensions)


def _run(graph: Any, weights: dict[str, Value], given: dict[str, Value], output: str, opset: int) -> Any:
    values: dict[str, Value | None] = {"": None, **weights, **given}
    for node in graph.node:
        attributes = {each.name: _attribute(each) for each in node.attribute}
        inputs = tuple(values[name] for name in node.input)
        made = OPERATORS[node.op_type](Node(node.op_type, node.name or node.output[0], inputs, attributes, opset))
        results = made if isinstance(made, list) else [made]
        if sum(map(bool, node.output)) > len(results):
            raise InvalidRequestError(
                f"ONNX {node.op_type} {node.name!r}: expected {len(results)} output(s), got {len(node.output)}"
            )
        values.update(zip(node.output, results, strict=False))
    found = values[output]
    if found is None:
        raise InvalidRequestError(f"the ONNX graph does not compute its output {output!r}; export it again")
    return tf.convert_to_tensor(found.as_onnx().tensor)


def _attribute(attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return np.array(numpy_helper.to_array(value)) if isinstance(value, onnx.TensorProto) else value
