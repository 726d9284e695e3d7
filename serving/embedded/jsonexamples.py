"""JSON bodies of REST classify and regress ↔ messages (json_tensor.cc).

`{"context": {…}, "examples": [{"feature": value or list, …}, …]}` → `{"results": …}`. Whole numbers and booleans are int64,
others float, strings and `{"b64": "…"}` bytes; one feature holds one kind.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.embedded.status import invalid_argument

_NAMES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_MAX_SHOWN = 256  # characters of a body in a message
_INT64 = range(-(1 << 63), 1 << 63)


def fill_examples(message: Any, body: Mapping[str, Any]) -> None:
    """The Input of a ClassificationRequest or RegressionRequest, from the JSON object of a body.

    Args:
        message: tensorflow.serving.Input, empty.
        body: of `jsontensor.parse_body`.

    Raises:
        StatusError: INVALID_ARGUMENT, they are no examples.
    """
    listed = message.example_list
    if "context" in body:
        listed = message.example_list_with_context
        _fill_example(listed.context, body["context"])
    if "examples" not in body:
        raise _malformed(body, "When method is classify, key 'examples' is expected and was not found")
    if not isinstance(body["examples"], list):
        raise _malformed(body, "Expecting 'examples' value to be an list/array")
    if not body["examples"]:
        raise _malformed(body, "'examples' value is an empty array")
    for example in body["examples"]:
        _fill_example(listed.examples.add(), example)


def classification_results(result: Any) -> dict[str, Any]:
    """ClassificationResult → the answer's JSON object: label and score of each class of each example."""
    found = [[[each.label, _shortest(each.score)] for each in row.classes] for row in result.classifications]
    if not found:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    return {"results": found}


def regression_results(result: Any) -> dict[str, Any]:
    """RegressionResult → the answer's JSON object: one value for each example."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    return {"results": [_shortest(each.value) for each in result.regressions]}


def _shortest(value: float) -> float:
    return float(str(np.float32(value)))  # 0.1, not the 0.10000000149011612 that a double makes of it


def _malformed(body: Mapping[str, Any], words: str) -> Exception:
    return invalid_argument(f"JSON Value: {json.dumps(body, indent=4)[:_MAX_SHOWN]} {words}")


def _fill_example(example: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {_json_type(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for each in content if isinstance(content, list) else [content]:
            _add_value(feature, name, each)


def _add_value(feature: Any, name: str, value: Any) -> None:
    if isinstance(value, int) and int(value) not in _INT64:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    plain: int | float | bytes
    if isinstance(value, (bool, int)):
        kind, plain = "int64_list", int(value)
    elif isinstance(value, float):
        kind, plain = "float_list", value
    elif isinstance(value, str):
        kind, plain = "bytes_list", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        kind, plain = "bytes_list", _decoded(value["b64"])
    else:
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {_json_type(value)}")
    present = feature.WhichOneof("kind")
    if present not in {None, kind}:
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_NAMES[present]}")
    getattr(feature, kind).value.append(plain)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # also of characters beyond ASCII, which b64decode has no error of its own for
        raise invalid_argument("Unable to base64 decode") from error


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    kinds = ((dict, "Object"), (list, "Array"), (str, "String"), ((int, float), "Number"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "Null")
