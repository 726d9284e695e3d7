"""numpy ↔ TensorProto: nothing is lost on the way, and what contradicts itself is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.protos import tensor_pb2
from serving.protos.tensor_pb2 import TensorProto
from serving.tensors import TensorError, can_read, dtype_name, fill_tensor, to_array, to_tensor

DTYPES = ["<f2", "<f4", "<f8", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "?", "<c8", "<c16"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))


@given(array=ARRAYS, as_content=st.booleans())
def test_an_array_comes_back_as_it_was(array: np.ndarray[Any, Any], as_content: bool) -> None:
    wire = fill_tensor(TensorProto(), array, as_content=as_content).SerializeToString()
    back = to_array(TensorProto.FromString(wire))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@given(texts=st.lists(st.binary(max_size=8), max_size=6))
def test_strings_come_back_as_bytes(texts: list[bytes]) -> None:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    assert list(to_array(to_tensor(array))) == texts


def test_numpy_strings_and_text_become_bytes() -> None:
    assert list(to_array(to_tensor(np.array(["ä", "b"])))) == ["ä".encode(), b"b"]
    assert to_array(to_tensor(np.array(b"x"))).item() == b"x"


def test_big_endian_arrays_are_turned_round() -> None:
    proto = to_tensor(np.array([1, 258], dtype=">i4"))
    assert proto.tensor_content == b"\x01\x00\x00\x00\x02\x01\x00\x00"


def test_a_batch_of_images_is_one_copy_of_its_memory() -> None:
    images = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    proto = to_tensor(images)
    assert proto.tensor_content == images.tobytes()
    assert not proto.int_val
    assert [dim.size for dim in proto.tensor_shape.dim] == [2, 3, 3, 3]


def test_an_array_that_is_not_contiguous_is_written_in_its_own_order() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_array(to_tensor(images)), images)
    np.testing.assert_array_equal(to_array(fill_tensor(TensorProto(), images, as_content=False)), images)


@pytest.mark.parametrize(
    ("dtype", "field", "value", "expected"),
    [
        ("DT_FLOAT", "float_val", 0.5, np.float32(0.5)),
        ("DT_HALF", "half_val", 0x3C00, np.float16(1)),
        ("DT_UINT8", "int_val", 200, np.uint8(200)),
        ("DT_INT8", "int_val", -3, np.int8(-3)),
        ("DT_BOOL", "bool_val", True, np.True_),
        ("DT_UINT64", "uint64_val", 2**64 - 1, np.uint64(2**64 - 1)),
        ("DT_STRING", "string_val", b"a", b"a"),
    ],
)
def test_a_single_value_fills_the_shape(dtype: str, field: str, value: Any, expected: Any) -> None:
    proto = _proto(dtype, [2, 3])
    getattr(proto, field).append(value)
    array = to_array(proto)
    assert array.shape == (2, 3)
    assert (array == expected).all()


def test_the_last_value_is_repeated_and_no_value_is_zero() -> None:
    proto = _proto("DT_INT32", [4])
    assert list(to_array(proto)) == [0, 0, 0, 0]
    proto.int_val.extend([7, 8])
    assert list(to_array(proto)) == [7, 8, 8, 8]


def test_a_shape_without_dimensions_is_a_scalar() -> None:
    proto = TensorProto(dtype=tensor_pb2.DT_FLOAT, float_val=[2.5])
    assert to_array(proto).shape == ()
    assert to_tensor(np.float32(2.5).reshape(())).HasField("tensor_shape")


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (TensorProto(), "invalid tensors cannot be read"),
        (TensorProto(dtype=tensor_pb2.DT_VARIANT), "variant tensors cannot be read"),
        (TensorProto(dtype=999), "dtype 999"),
        (TensorProto(dtype=1, tensor_shape={"unknown_rank": True}), "unknown rank"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": -1}]}), "fully known shape"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 2}]}, tensor_content=b"abc"), "3 bytes, expected 8"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}]}, float_val=[1, 2]), "2 values are too many"),
        (TensorProto(dtype=8, tensor_shape={"dim": [{"size": 1}]}, scomplex_val=[1]), "even count"),
    ],
)
def test_what_contradicts_itself_is_refused(proto: TensorProto, words: str) -> None:
    with pytest.raises(TensorError, match=words):
        to_array(proto)


def test_an_array_without_a_counterpart_is_refused() -> None:
    with pytest.raises(TensorError, match="datetime64"):
        to_tensor(np.array(["2026-01-01"], dtype="datetime64[D]"))
    with pytest.raises(TensorError, match="bytes or str, got int"):
        to_tensor(np.array([1], dtype=object))


def test_names_are_tensorflows() -> None:
    assert [dtype_name(number) for number in (1, 3, 4, 7)] == ["float", "int32", "uint8", "string"]
    assert can_read(tensor_pb2.DT_UINT8)
    assert not can_read(tensor_pb2.DT_BFLOAT16)


def _proto(dtype: str, shape: list[int]) -> TensorProto:
    return TensorProto(dtype=tensor_pb2.DataType.Value(dtype), tensor_shape={"dim": [{"size": size} for size in shape]})
