"""serving.tensors and TensorFlow's own make_ndarray / make_tensor_proto read and write the same tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from serving.embedded.tensorflow_runtime import tf
from serving.protos.tensor_pb2 import TensorProto
from serving.tensors import fill_tensor, to_array, to_tensor

# TensorFlow 2.21's own make_ndarray sets a half-precision array's dtype in place, which NumPy 2.5 (Python >= 3.12) warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Setting the dtype on a NumPy array:DeprecationWarning")

DTYPES = ["<f2", "<f4", "<f8", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "?", "<c8", "<c16"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))


@settings(max_examples=60, deadline=None)
@given(array=ARRAYS, as_content=st.booleans())
def test_tensorflow_reads_what_we_write(array: np.ndarray[Any, Any], as_content: bool) -> None:
    ours = fill_tensor(TensorProto(), array, as_content=as_content)
    official = tensor_pb2.TensorProto.FromString(ours.SerializeToString())
    theirs = tf.make_ndarray(official)
    assert theirs.dtype == array.dtype
    np.testing.assert_array_equal(theirs, array)


@settings(max_examples=60, deadline=None)
@given(array=ARRAYS)
def test_we_read_what_tensorflow_writes(array: np.ndarray[Any, Any]) -> None:
    official = tf.make_tensor_proto(array)  # a single value goes into *_val, several into tensor_content
    ours = to_array(TensorProto.FromString(official.SerializeToString()))
    assert ours.dtype == array.dtype
    np.testing.assert_array_equal(ours, array)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint8", "int32", "int64", "bool", "complex64", "string"])
def test_we_fill_a_shape_from_one_value_as_tensorflow_does(dtype: str) -> None:
    value = {"bool": True, "string": b"x"}.get(dtype, 3)
    official = tf.make_tensor_proto(value, dtype=tf.as_dtype(dtype), shape=[2, 3])
    np.testing.assert_array_equal(to_array(official), tf.make_ndarray(official))


def test_strings_are_the_same_on_both_sides() -> None:
    array = np.array([[b"a", b""], [b"\xff\x00", b"bc"]], dtype=object)
    official = tensor_pb2.TensorProto.FromString(to_tensor(array).SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(official), array)
    np.testing.assert_array_equal(to_array(tf.make_tensor_proto(array)), array)


def test_our_functions_fill_the_official_message_as_well() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(tf.make_ndarray(fill_tensor(tensor_pb2.TensorProto(), array)), array)
