"""From features to a version's measure: its unit, its false alarms, which detector is taken; and the features themselves."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from core.errors import InvalidRequestError
from training.novelty.detectors import Head
from training.novelty.features import head_of, observer_of, with_observed
from training.novelty.fitting import FALSE_ALARMS, NOT_NOVEL, THRESHOLD, HeldOut, Known, choose, fit_scaled, noted_share
from training.novelty.pictures import draw_kinds, inverted, photographs, turned
from training.novelty.statistics import STATISTICS, statistics_of

HEAD = Head(np.zeros((12, 2), np.float32), np.zeros(2, np.float32))


def cloud(seed: int, pictures: int, away: float = 0.0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    values = np.random.default_rng(seed).normal(size=(pictures, 12 + STATISTICS)) + away
    return values.astype(np.float32)


@pytest.mark.parametrize("pictures", [8, 100, 999])
def test_the_unit_leaves_no_more_than_the_promised_share_above_1(pictures: int) -> None:
    validation = cloud(1, pictures)
    measure = fit_scaled(lambda features: np.abs(features[:, 0]), validation)
    share = noted_share(measure, validation)
    assert share <= FALSE_ALARMS
    assert share >= FALSE_ALARMS - 1 / pictures - 1e-9, "and no fewer than that many"


def test_distances_that_are_all_alike_are_no_alarm() -> None:
    measure = fit_scaled(lambda features: np.zeros(len(features), np.float32), cloud(1, 50))
    assert noted_share(measure, cloud(2, 50)) == 0


def test_the_detector_with_the_fewest_false_alarms_is_taken_and_the_rest_is_told() -> None:
    known = Known(cloud(0, 800), np.arange(800) % 2, HEAD)
    held_out = HeldOut(cloud(1, 400), cloud(2, 400))
    kinds, others = {"far": cloud(3, 60, away=9.0)}, {NOT_NOVEL: cloud(4, 400)}
    found = choose(known, held_out, kinds, others=others)
    assert found.spec.method == "mahalanobis"
    assert found.spec.threshold == THRESHOLD == 1.0
    assert found.figures["kinds"]["mahalanobis"]["far"] == {"pictures": 60, "auroc": 1.0, "fpr95": 0.0, "noted": 1.0}
    assert found.figures["kinds"]["energy"]["far"]["auroc"] == 0.5  # a head of zeros knows nothing
    assert found.figures["kinds"]["mahalanobis"][NOT_NOVEL]["noted"] < 0.05
    assert found.figures["noted"]["validation"] <= FALSE_ALARMS
    assert found.spec.false_alarms == round(noted_share(found.measure, held_out.test), 4)
    assert choose(known, held_out, kinds, others=others, method="energy").spec.method == "energy"


def test_features_are_what_goes_into_the_last_dense_layer() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add(name="add")([inputs, inputs]))
    x = keras.layers.Dense(5, activation="relu")(x)
    logits = keras.layers.Dense(2, use_bias=False)(keras.layers.Dropout(0.5)(x))
    model = keras.Model(inputs, keras.layers.Activation("softmax")(logits))
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    observed, head = observer_of(model)(pixels), head_of(model)
    assert (observed.shape, observed.dtype) == ((300, 5 + STATISTICS), np.float32)
    assert (head.kernel.shape, head.bias.tolist()) == ((5, 2), [0, 0])
    softmax, again = with_observed(model)(pixels.astype(np.float32), training=False)
    np.testing.assert_allclose(again, observed, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(observed[:, 5:], statistics_of(pixels), rtol=1e-5, atol=1e-6)
    logits = observed[:, :5] @ head.kernel
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(softmax, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_model_without_such_features_is_refused_by_name() -> None:
    inputs = keras.Input((6, 6, 3))
    pooled = keras.Model(inputs, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(inputs)), name="pooled")
    with pytest.raises(InvalidRequestError, match=r"model pooled: expected a dense layer.*Softmax.*--novelty none"):
        with_observed(pooled)
    everywhere = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="everywhere")
    with pytest.raises(InvalidRequestError, match=r"model everywhere: expected the input of dense.* to be \[batch, features\]"):
        observer_of(everywhere)


def test_drawn_pictures_are_the_same_each_time_and_of_the_size_asked_for() -> None:
    kinds = draw_kinds(20, 30, count=6)
    assert set(kinds) == {"shapes", "text pages", "noise", "flat colours"}
    for name, pixels in kinds.items():
        assert (pixels.shape, pixels.dtype) == ((6, 20, 30, 3), np.uint8)
        assert (draw_kinds(20, 30, count=6)[name] == pixels).all()
        assert len({each.tobytes() for each in pixels}) == 6
    assert {each.std(axis=(0, 1)).max() for each in kinds["flat colours"]} == {0.0}
    assert kinds["text pages"].mean() > 128


def test_photographs_turned_and_inverted() -> None:
    found = photographs(20, 30, count=4)  # scikit-learn is here, so there are some
    assert found is not None
    assert (found.shape, found.dtype) == ((4, 20, 30, 3), np.uint8)
    assert (inverted(inverted(found)) == found).all()
    assert (turned(found)[:, 0, 0] == found[:, -1, -1]).all()
