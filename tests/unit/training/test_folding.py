"""Batch normalisation goes into the convolution before it: the answers stay, up to rounding. What cannot be folded stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the graphs are TensorFlow's")

import keras  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

from training.compact import halve_constants  # noqa: E402
from training.folding import fold_normalisation  # noqa: E402
from training.rewriting import rewritten  # noqa: E402

IMAGES = np.random.default_rng(1).normal(size=(2, 12, 12, 3)).astype(np.float32)


def frozen(*layers: Any) -> Any:
    """A network of these layers with drawn statistics and, where float16 holds it, drawn weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 2, size=each.shape).astype(np.float16) for each in layer.weights])
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    return convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec([None, 12, 12, 3], tf.float32)))


def answers(function: Any) -> Any:
    return function(tf.constant(IMAGES))[0].numpy()


def kinds(function: Any) -> Counter[str]:
    return Counter(node.op for node in function.graph.as_graph_def().node)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(lambda: keras.layers.Conv2D(8, 3, use_bias=False), id="conv"),
        pytest.param(lambda: keras.layers.DepthwiseConv2D(3, use_bias=False), id="depthwise"),
        pytest.param(lambda: keras.layers.DepthwiseConv2D(3, use_bias=False, depth_multiplier=2), id="depthwise, two each"),
        pytest.param(lambda: keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False), id="strides"),
    ],
)
def test_a_convolution_takes_its_normalisation(layer: Any) -> None:
    before = frozen(layer(), keras.layers.BatchNormalization(), keras.layers.ReLU(6.0))
    after = rewritten(before, fold_normalisation, halve_constants)
    np.testing.assert_allclose(answers(after), answers(before), rtol=1e-5, atol=1e-5)
    assert np.abs(answers(before)).max() > 0.1
    assert (kinds(before)["BiasAdd"], kinds(after)["BiasAdd"]) == (0, 1)
    [bias] = [node for node in after.graph.as_graph_def().node if node.op == "BiasAdd"]
    nodes = {node.name: node.op for node in after.graph.as_graph_def().node}
    assert nodes[bias.input[0]] in ("Conv2D", "DepthwiseConv2dNative")  # nothing between the two: a server fuses them


def test_a_whole_network_is_folded_and_answers_alike() -> None:
    block = [
        each
        for _ in range(3)
        for each in (
            keras.layers.Conv2D(6, 1, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
        )
    ]
    before = frozen(*block, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3))
    after = rewritten(before, fold_normalisation)
    np.testing.assert_allclose(answers(after), answers(before), rtol=1e-4, atol=1e-5)
    assert kinds(after)["BiasAdd"] - kinds(before)["BiasAdd"] == 6


def test_a_convolution_that_others_read_keeps_its_answers() -> None:
    """Its output is used twice: beside the normalisation, and as it is."""
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 3))
    convolved = keras.layers.Conv2D(4, 3, use_bias=False)(images)
    model = keras.Model(images, keras.layers.Add()([keras.layers.BatchNormalization(momentum=0.5)(convolved), convolved]))
    model(IMAGES, training=True)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    before = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec([None, 12, 12, 3], tf.float32)))
    assert rewritten(before, fold_normalisation) is before


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(lambda: (keras.layers.BatchNormalization(), keras.layers.Conv2D(4, 3)), id="normalised first"),
        pytest.param(lambda: (keras.layers.Conv2D(4, 3), keras.layers.ReLU()), id="without normalisation"),
        pytest.param(lambda: (keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.Rescaling(2.0, 1.0)), id="scalars"),
    ],
)
def test_what_is_no_such_chain_stays(layers: Any) -> None:
    before = frozen(*layers())
    assert rewritten(before, fold_normalisation) is before
