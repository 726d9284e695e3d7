"""Maps of which places speak for a class: the values that the formula gives, in the model and in the exported graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

tf = pytest.importorskip("tensorflow", reason="the graphs are TensorFlow's")

import keras  # noqa: E402
from keras import layers  # noqa: E402

from core.errors import InvalidRequestError  # noqa: E402
from core.modelspec import ExplainSpec  # noqa: E402
from tests.support.tiny_model import tiny_spec  # noqa: E402
from training.architectures.registry import build  # noqa: E402
from training.saliency import Explainer  # noqa: E402
from training.savedmodel import write_saved_model  # noqa: E402

Array = npt.NDArray[Any]
DRAW = np.random.default_rng(3)


def network(size: tuple[int, int], *chain: Any) -> Any:
    """A network of these layers, with drawn weights."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((*size, 3)), *chain])


def explained(model: Any, images: Array) -> tuple[Array, Array]:
    """The feature map and the maps of float32 images."""
    explainer = Explainer(model)
    whole = keras.Model(model.inputs, explainer.tensors)

    def compute(pixels: Any) -> Any:
        features, before = whole(pixels, training=False)
        return features, explainer.maps(features, before)

    features, maps = tf.function(compute, autograph=False)(tf.constant(images, tf.float32))
    return features.numpy(), maps.numpy()


def normalised(raw: Array) -> Array:
    """Raw maps [n, h, w, classes] without what is below 0, each divided by its highest value."""
    positive = np.maximum(raw, 0)
    highest: Array = positive.max(axis=(1, 2), keepdims=True)
    return np.divide(positive, highest, out=np.zeros_like(positive), where=highest > 0)


def test_maps_computed_by_hand() -> None:
    """Two channels at 2x2 places, two classes: the first is channel 0 less channel 1, the second twice that less the other."""
    model = network((2, 2), layers.Conv2D(2, 1), layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax"))
    model.set_weights([np.eye(3)[:, :2].reshape(1, 1, 3, 2), np.zeros(2), np.array([[1, -1], [-1, 2]]), np.zeros(2)])
    image = np.zeros((1, 2, 2, 3))
    image[0, :, :, 0] = [[1, 0], [0, 3]]
    image[0, :, :, 1] = [[0, 2], [0, 1]]
    features, maps = explained(model, image)
    np.testing.assert_array_equal(features, image[..., :2])
    np.testing.assert_allclose(maps[0, :, :, 0], [[0.5, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(maps[0, :, :, 1], [[0.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize("last", ["softmax", "sigmoid"])
def test_after_global_average_pooling_the_map_is_the_closed_form(last: str) -> None:
    """Zhou et al. 2016: the feature map times the kernel of the last layer."""
    chain = [layers.Conv2D(5, 3), layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D()]
    model = network((10, 12), *chain, layers.Dropout(0.3), layers.Dense(4, activation=last))
    images = DRAW.normal(size=(3, 10, 12, 3))
    features, maps = explained(model, images)
    expected = normalised(np.einsum("nhwk,kc->nhwc", features, np.asarray(model.layers[-1].kernel)))
    assert (np.asarray(model.layers[-1].kernel) < 0).any()  # else nothing is cut off
    assert expected.max() == 1
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_before_dense_layers_the_gradients_are_theirs() -> None:
    """Flatten, dense with ReLU, dense: the gradient of each picture by NumPy, then its mean over the places."""
    chain = [layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(6, activation="relu")]
    model = network((6, 7), *chain, layers.Dense(2), layers.Activation("softmax"))
    images = DRAW.normal(size=(4, 6, 7, 3))
    features, maps = explained(model, images)
    kernel, bias, top, _ = (np.asarray(each) for each in model.weights[2:])
    open_units = (features.reshape(len(images), -1) @ kernel + bias > 0).astype(float)
    assert 0 < open_units.mean() < 1
    gradients = np.einsum("du,nu,uc->ndc", kernel, open_units, top).reshape(4, 4, 5, 3, 2)
    expected = normalised(np.einsum("nhwk,nkc->nhwc", features, gradients.mean(axis=(1, 2))))
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_pooling_before_the_dense_layers_does_not_cost_resolution() -> None:
    chain = [layers.Conv2D(3, 3, padding="same"), layers.MaxPooling2D(2), layers.Dropout(0.5), layers.Flatten()]
    model = network((6, 8), *chain, layers.Dense(2, activation="softmax"))
    assert Explainer(model).spec == ExplainSpec(method="grad_cam", height=6, width=8)


def test_where_no_place_speaks_for_a_class_its_map_is_zero() -> None:
    pooled = layers.GlobalAveragePooling2D()
    model = network((3, 3), layers.Conv2D(2, 1, activation="relu"), pooled, layers.Dense(2, activation="softmax"))
    model.set_weights([np.ones((1, 1, 3, 2)), np.zeros(2), np.array([[1.0, -1.0], [1.0, -1.0]]), np.zeros(2)])
    _, maps = explained(model, np.ones((1, 3, 3, 3)))
    assert (maps[..., 0] == 1).all()
    assert (maps[..., 1] == 0).all()


def test_a_picture_has_the_same_maps_in_any_batch() -> None:
    model = build("starter", 32, 32, 3, widths=(4, 4, 4, 4))
    images = DRAW.uniform(0, 255, size=(5, 32, 32, 3))
    together = explained(model, images)[1]
    apart = np.concatenate([explained(model, images[each : each + 1])[1] for each in range(5)])
    assert together.shape == (5, 2, 2, 3)
    np.testing.assert_allclose(together, apart, atol=1e-4)


def branched(_: tuple[int, int]) -> Any:
    """Something beside the picture's features goes into the last layer."""
    images = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(images))
    both = layers.concatenate([pooled, layers.GlobalMaxPooling2D()(images)])
    return keras.Model(images, layers.Dense(2, activation="softmax")(both), name="branched")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param(lambda size: build("lstm", *size, 7), "no convolution leads to its layer lstm", id="recurrent"),
        pytest.param(lambda size: build("cnn28_norm", *size, 7), "no place can be told from another", id="one place"),
        pytest.param(branched, "no convolution leads to its layer concatenate", id="two branches"),
        pytest.param(
            lambda size: network(size, layers.Flatten(), layers.Dense(2, activation="softmax")),
            "no convolution leads to its layer input",
            id="no convolution",
        ),
        pytest.param(
            lambda size: network(size, layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)),
            "is no softmax or sigmoid",
            id="no probabilities",
        ),
    ],
)
def test_what_has_no_feature_map_is_refused(made: Callable[[tuple[int, int]], Any], reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        Explainer(made((28, 28)))


def exportable() -> Any:
    """Convolutions with normalisation, as `training.folding` folds them, and a head that is most of the weights."""
    normalised_convolution = [layers.Conv2D(16, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(6.0)]
    depthwise = [layers.DepthwiseConv2D(3, use_bias=False), layers.BatchNormalization(), layers.ReLU(6.0)]
    head = [layers.Flatten(), layers.Dense(400, activation="relu"), layers.Dense(3, activation="softmax")]
    model = network((12, 12), layers.Rescaling(1 / 127.5, -1.0), *normalised_convolution, *depthwise, *head)
    for weight in model.weights:  # float16 holds them, as after a training with `half_precision`
        drawn = DRAW.uniform(0.5, 2, weight.shape) if "variance" in weight.path else np.asarray(weight)
        weight.assign(drawn.astype(np.float16).astype(np.float32))
    return model


def test_an_exported_graph_gives_the_same_maps_and_keeps_one_copy_of_the_weights(tmp_path: Path) -> None:
    model = exportable()
    explainer, spec = Explainer(model), tiny_spec(height=12, width=12, classes=("bcc", "mel", "nv"))
    write_saved_model(model, spec, tmp_path / "without")
    write_saved_model(
        model, spec.model_copy(update={"explain": explainer.spec}), tmp_path / "with", tta=True, explainer=explainer
    )
    without, complete = (tf.saved_model.load(str(tmp_path / name)).signatures for name in ("without", "with"))
    images = DRAW.integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    maps = complete["explain"](images=tf.constant(images))["maps"].numpy()
    assert maps.shape == (2, 8, 8, 3)
    assert 0.05 < maps.mean() < 0.95
    np.testing.assert_allclose(maps, explained(model, images)[1], atol=1e-4)
    answers = [each["serving_default"](images=tf.constant(images))["probabilities"] for each in (without, complete)]
    np.testing.assert_array_equal(*answers)
    assert set(complete["tta"](images=tf.constant(images))) == {"probabilities"}
    sizes = [(tmp_path / name / "saved_model.pb").stat().st_size for name in ("without", "with")]
    weights = 2 * model.count_params()  # bytes, as float16
    assert weights < sizes[0]
    assert sizes[1] - sizes[0] < weights / 4


def test_a_spec_that_says_otherwise_than_the_graph_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="or neither"):
        write_saved_model(exportable(), tiny_spec(), tmp_path / "model", explainer=Explainer(exportable()))
