"""JSON bodies of REST predicts ↔ arrays, in TensorFlow Serving's row and columnar formats (json_tensor.cc).

Row: `{"instances": [row, …]}` → `{"predictions": [row, …]}`; columnar: `{"inputs": …}` → `{"outputs": …}`. Bytes travel as
`{"b64": "…"}`, in answers where the output's name ends in `_bytes`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.embedded.status import StatusError, invalid_argument
from serving.embedded.tensorflow_runtime import tf
from serving.tensors import dtype_name

Array = npt.NDArray[Any]


def parse_body(text: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        StatusError: INVALID_ARGUMENT, it is none.
    """
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(body, dict):
        raise invalid_argument("JSON Value: Is not object")
    if not isinstance(body.get("signature_name", ""), str):
        raise invalid_argument("JSON Value: 'signature_name' key must be a string value.")
    return body


def read_inputs(body: Mapping[str, Any], infos: Mapping[str, Any]) -> tuple[dict[str, Array], bool]:
    """The input arrays by alias, and whether they came in rows.

    Args:
        body: of `parse_body`.
        infos: tensorflow.TensorInfo by alias, of the signature.

    Raises:
        StatusError: INVALID_ARGUMENT, they do not fit the signature.
    """
    if "instances" in body and "inputs" in body:
        raise invalid_argument(
            "JSON Value: Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    if "instances" in body:
        columns = _columns(body["instances"], infos)
    elif "inputs" in body:
        columns = _named(body["inputs"], infos)
    else:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    return {alias: _array(alias, value, infos[alias].dtype) for alias, value in columns.items()}, "instances" in body


def write_outputs(outputs: Mapping[str, Array], *, in_rows: bool) -> dict[str, Any]:
    """The answer's JSON object.

    Raises:
        StatusError: INVALID_ARGUMENT, rows were asked for, but the outputs do not have equally many.
    """
    values = {alias: _values(alias, array) for alias, array in outputs.items()}
    if not in_rows:
        return {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    if any(array.ndim == 0 for array in outputs.values()):
        raise invalid_argument("Tensor has no shape information, but rows were asked for; send 'inputs' instead of 'instances'")
    if len({len(array) for array in outputs.values()}) > 1:
        sizes = ", ".join(f"{alias}: {len(array)}" for alias, array in sorted(outputs.items()))
        raise invalid_argument(f"Tensors have inconsistent batch sizes ({sizes}); send 'inputs' instead of 'instances'")
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    return {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}


def _columns(rows: Any, infos: Mapping[str, Any]) -> dict[str, list[Any]]:
    if not isinstance(rows, list):
        raise invalid_argument("JSON Value: Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid_argument("JSON Value: No values in 'instances' array")
    if not _is_named(rows[0]):
        if len(infos) > 1:
            raise invalid_argument(
                "instances is a plain list, but expecting list of objects as multiple input tensors "
                "required as per tensorinfo_map"
            )
        for number, row in enumerate(rows):
            if _is_named(row):
                raise invalid_argument(f"Expecting value/list but got object at item {number} of input list")
        return {next(iter(infos)): rows}
    for number, row in enumerate(rows):
        if not _is_named(row):
            raise invalid_argument(f"Expecting object but got list at item {number} of input list")
        if row.keys() != infos.keys():
            raise invalid_argument(
                f"Failed to process element: {number} of 'instances' list. JSON object: keys must be equal to: "
                f"{','.join(sorted(infos))}"
            )
    return {alias: [row[alias] for row in rows] for alias in infos}


def _named(value: Any, infos: Mapping[str, Any]) -> dict[str, Any]:
    if not _is_named(value):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
            )
        return {next(iter(infos)): value}
    for alias in sorted(infos):
        if alias not in value:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: value[alias] for alias in infos}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_bytes(value)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _array(alias: str, value: Any, dtype: int) -> Array:
    wanted = tf.as_dtype(dtype).as_numpy_dtype
    try:
        if wanted is object:
            return np.array(_decode(value), dtype=object)
        found = np.array(value)
        if np.can_cast(found.dtype, wanted, "same_kind") or (found.dtype.kind in "iu" and np.dtype(wanted).kind in "iufc"):
            return _narrow(found, np.dtype(wanted))
    except (ValueError, OverflowError) as error:
        raise invalid_argument(f"Failed to process '{alias}': {error}") from error
    raise _wrong_type(alias, dtype)


def _narrow(array: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu" and array.size and (array.min() < np.iinfo(dtype).min or array.max() > np.iinfo(dtype).max):
        raise OverflowError(f"values from {array.min()} to {array.max()} do not fit {dtype}")
    return array.astype(dtype)


def _wrong_type(alias: str, dtype: int) -> StatusError:
    return invalid_argument(f"Failed to process '{alias}': JSON Value is not of expected type: {dtype_name(dtype)}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(each) for each in value]
    if isinstance(value, str):
        return value.encode()
    if _is_bytes(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"Unable to base64 decode: {error}") from error
    raise ValueError(f"expected strings, got {type(value).__name__}")


def _values(alias: str, array: Array) -> Any:
    if array.dtype.kind == "O":
        return _encode(array.tolist(), as_bytes=alias.endswith("_bytes"))
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:  # 0.1, not the 0.10000000149011612 that a double makes of it
        shortest = np.array([float(str(value)) for value in array.ravel()])
        return shortest.reshape(array.shape).tolist()
    return array.tolist()


def _encode(value: Any, *, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_encode(each, as_bytes=as_bytes) for each in value]
    raw = bytes(value)
    return {"b64": base64.b64encode(raw).decode()} if as_bytes else raw.decode("utf-8", "replace")
