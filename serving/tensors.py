"""numpy ↔ TensorProto, the one pair of functions on both sides of the wire.

They read and write any message with TensorProto's fields, DermQ's own and the official one alike: client and embedded server
share them. TensorFlow Serving answers in the `*_val` fields and accepts `tensor_content` (predict_util.cc), so both are read.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from serving.protos import tensor_pb2
from serving.protos.tensor_pb2 import TensorProto

Array = npt.NDArray[Any]
Message = TypeVar("Message")  # TensorProto, ours or the official one

# dtype number → numpy type and the field that holds its values. Both halves of a complex number follow each other in its field.
_DTYPES: dict[int, tuple[np.dtype[Any], str]] = {
    tensor_pb2.DT_FLOAT: (np.dtype("<f4"), "float_val"),
    tensor_pb2.DT_DOUBLE: (np.dtype("<f8"), "double_val"),
    tensor_pb2.DT_HALF: (np.dtype("<f2"), "half_val"),
    tensor_pb2.DT_INT8: (np.dtype("i1"), "int_val"),
    tensor_pb2.DT_INT16: (np.dtype("<i2"), "int_val"),
    tensor_pb2.DT_INT32: (np.dtype("<i4"), "int_val"),
    tensor_pb2.DT_INT64: (np.dtype("<i8"), "int64_val"),
    tensor_pb2.DT_UINT8: (np.dtype("u1"), "int_val"),
    tensor_pb2.DT_UINT16: (np.dtype("<u2"), "int_val"),
    tensor_pb2.DT_UINT32: (np.dtype("<u4"), "uint32_val"),
    tensor_pb2.DT_UINT64: (np.dtype("<u8"), "uint64_val"),
    tensor_pb2.DT_BOOL: (np.dtype("?"), "bool_val"),
    tensor_pb2.DT_COMPLEX64: (np.dtype("<c8"), "scomplex_val"),
    tensor_pb2.DT_COMPLEX128: (np.dtype("<c16"), "dcomplex_val"),
    tensor_pb2.DT_STRING: (np.dtype("O"), "string_val"),
}
_NUMBERS = {dtype: number for number, (dtype, _) in _DTYPES.items()}


class TensorError(ValueError):
    """A TensorProto that contradicts itself, or a dtype without a numpy counterpart."""


MAX_EXPANSION_BYTES = 128 << 20  # more than the largest float32 batch in use, 128 images of 224 x 224 x 3: 77 MB


class ExpansionError(TensorError):
    """A short `*_val` field that stands for more memory than one tensor of this kind may take."""


def can_read(number: int) -> bool:
    """Whether a dtype number has a numpy counterpart here."""
    return number in _DTYPES


def dtype_name(number: int) -> str:
    """TensorFlow's word for a dtype number: 4 → 'uint8', 1 → 'float'."""
    if number not in tensor_pb2.DataType.values():
        return f"dtype {number}"
    return str(tensor_pb2.DataType.Name(number)).removeprefix("DT_").lower()


def fill_tensor(proto: Message, array: Array, *, as_content: bool = True) -> Message:
    """Write an array into an empty TensorProto, in place, and return it.

    Args:
        proto: the message to fill; in place because map entries cannot be assigned.
        array: any shape; bool, integer, float, complex, `object` of bytes or str, or bytes.
        as_content: one copy of the array's memory (1.5 ms for 9.6 MB), or else the `*_val` fields as TensorFlow Serving
            answers. Strings have no other place than `string_val`.

    Raises:
        TensorError: numpy's dtype has no counterpart.
    """
    target: Any = proto
    if array.dtype.kind in "SU":
        array = array.astype(object)
    dtype = array.dtype.newbyteorder("<")
    number = _NUMBERS.get(dtype)
    if number is None:
        known = ", ".join(sorted(str(known) for known in _NUMBERS))
        raise TensorError(f"an array of {array.dtype} has no TensorProto counterpart; expected one of {known}")
    target.dtype = number
    target.tensor_shape.SetInParent()  # a scalar has a shape without dimensions
    for size in array.shape:
        target.tensor_shape.dim.add().size = size
    if number == tensor_pb2.DT_STRING:
        target.string_val.extend(_as_bytes(value) for value in array.ravel())
    elif as_content:
        target.tensor_content = array.astype(dtype, copy=False).tobytes()
    else:
        getattr(target, _DTYPES[number][1]).extend(_as_values(array, number))
    return proto


def to_tensor(array: Array) -> TensorProto:
    """A new TensorProto (our own message) with the array in `tensor_content`."""
    return fill_tensor(TensorProto(), array)


def to_array(proto: Any) -> Array:
    """The array a TensorProto holds, ours or the official message, in `tensor_content` or in `*_val`.

    A `*_val` field shorter than the shape repeats its last value, as TensorFlow does (tensor.cc, FromProtoField); an empty one
    is zeros. Such a field may stand for MAX_EXPANSION_BYTES at most, since a message of 43 bytes can announce any shape.

    Returns:
        An array of the announced shape; read-only where it looks into `tensor_content`; `object` of bytes for strings.

    Raises:
        TensorError: unknown dtype, unknown or impossible shape, or more or fewer values than the shape announces.
    """
    known = _DTYPES.get(proto.dtype)
    if known is None:
        raise TensorError(f"{dtype_name(proto.dtype)} tensors cannot be read")
    dtype, field = known
    shape = _shape(proto.tensor_shape)
    if proto.tensor_content and dtype.kind != "O":
        return _from_content(proto.tensor_content, dtype, shape)
    return _from_values(getattr(proto, field), dtype, shape)


def _shape(proto: Any) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank or any(size < 0 for size in shape):
        raise TensorError(f"expected a fully known shape, got {'unknown rank' if proto.unknown_rank else list(shape)}")
    return shape


def check_expansion(proto: Any, *, itemsize: int) -> None:
    """Refuse a message without `tensor_content` whose shape stands for too much memory; for dtypes that TensorFlow decodes.

    Raises:
        ExpansionError: more than MAX_EXPANSION_BYTES.
        TensorError: unknown shape.
    """
    shape, given = _shape(proto.tensor_shape), max(len(proto.half_val), len(proto.int_val))
    if not proto.tensor_content and given < math.prod(shape):
        _check_size(math.prod(shape) * itemsize, given, shape)


def _check_size(size: int, given: int, shape: tuple[int, ...]) -> None:
    if size > MAX_EXPANSION_BYTES:
        raise ExpansionError(
            f"{given} values for the shape {list(shape)} would be repeated to {size} bytes, at most {MAX_EXPANSION_BYTES} are "
            "taken; send all values, in tensor_content"
        )


def _from_content(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise TensorError(f"tensor_content has {len(content)} bytes, expected {expected} for {dtype} {list(shape)}")
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def _from_values(values: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    size = math.prod(shape)
    flat = _decode_values(values, dtype)
    if len(flat) > size:
        raise TensorError(f"{len(flat)} values are too many for the shape {list(shape)}")
    if len(flat) < size:
        _check_size(size * dtype.itemsize, len(flat), shape)
        last = flat[-1] if len(flat) else (b"" if dtype.kind == "O" else dtype.type(0))
        padded = np.full(size, last, dtype=dtype)
        padded[: len(flat)] = flat
        flat = padded
    return flat.reshape(shape)


def _decode_values(values: Any, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "O":
        strings = np.empty(len(values), dtype=object)
        strings[:] = list(values)
        return strings
    if dtype.kind == "c":
        halves = np.array(values, dtype=f"<f{dtype.itemsize // 2}")
        if len(halves) % 2:
            raise TensorError(f"{len(halves)} halves of complex numbers, expected an even count")
        return halves.view(dtype)
    if dtype == np.dtype("<f2"):
        return np.array(values, dtype=np.uint16).view(dtype)  # half_val holds bits
    if dtype.itemsize < 4 and dtype.kind in "iu":
        return np.array(values, dtype=np.int32).astype(dtype)  # int_val carries the narrow types: cut off, as TensorFlow does
    return np.array(values, dtype=dtype)


def _as_values(array: Array, number: int) -> list[Any]:
    flat = np.ascontiguousarray(array).ravel()
    if number == tensor_pb2.DT_HALF:
        flat = flat.view(np.uint16)
    elif flat.dtype.kind == "c":
        flat = flat.view(f"f{flat.dtype.itemsize // 2}")
    values: list[Any] = flat.tolist()
    return values


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TensorError(f"a string tensor holds bytes or str, got {type(value).__name__}")
