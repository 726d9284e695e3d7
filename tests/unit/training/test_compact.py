"""Weights that float16 holds are stored in half the space, and the answers stay the same to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the graphs are TensorFlow's")

from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

from training.compact import SMALLEST_SIZE, halve_constants  # noqa: E402
from training.rewriting import rewritten  # noqa: E402

SIDE = 40
IMAGES = np.random.default_rng(1).normal(size=(3, SIDE)).astype(np.float32)


def frozen(weights: np.ndarray[Any, Any]) -> Any:
    variable, bias = tf.Variable(weights), tf.Variable(np.linspace(0, 1, weights.shape[1], dtype=np.float32))
    function = tf.function(lambda x: tf.nn.softmax(x @ variable + bias))
    return convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec([None, SIDE], tf.float32)))


def test_representable_weights_take_half_the_space_and_give_the_same_answers() -> None:
    weights = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float16).astype(np.float32)
    before = frozen(weights)
    after = rewritten(before, halve_constants)
    np.testing.assert_array_equal(after(tf.constant(IMAGES))[0].numpy(), before(tf.constant(IMAGES))[0].numpy())
    sizes = [len(each.graph.as_graph_def().SerializeToString()) for each in (before, after)]
    assert sizes[0] - sizes[1] == pytest.approx(2 * SIDE * SIDE, abs=300)


def test_a_constant_that_is_written_twice_is_stored_once() -> None:
    weights = (
        np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    )  # TensorFlow stores one value once by itself
    function = tf.function(lambda x: tf.matmul(tf.matmul(x, weights), weights.copy(), transpose_b=True))
    before = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec([None, SIDE], tf.float32)))
    after = rewritten(before, halve_constants)
    np.testing.assert_array_equal(after(tf.constant(IMAGES))[0].numpy(), before(tf.constant(IMAGES))[0].numpy())
    sizes = [len(each.graph.as_graph_def().SerializeToString()) for each in (before, after)]
    assert sizes[0] - sizes[1] == pytest.approx(4 * SIDE * SIDE, abs=300)


@pytest.mark.parametrize(
    "weights", [np.random.default_rng(0).normal(size=(SIDE, SIDE)), np.ones((SIDE, 2))], ids=["inexact", "small"]
)
def test_other_weights_stay_as_they_are(weights: np.ndarray[Any, Any]) -> None:
    before = frozen(weights.astype(np.float32))
    assert weights.size < SMALLEST_SIZE or not np.array_equal(weights.astype(np.float16), weights.astype(np.float32))
    assert rewritten(before, halve_constants) is before
